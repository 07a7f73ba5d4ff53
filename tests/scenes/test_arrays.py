import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.scenes import NOTHING, Scenes, concatenate, random_scattered, random_towers
from tests.scenes.notation import scattered, scenes_of, towers


def names(mask: np.ndarray) -> list[tuple[int, int]]:
    """Box and slot of the objects of a mask of one scene."""
    return [(int(box), int(slot)) for box, slot in np.argwhere(mask[0])]


def test_walls() -> None:
    scenes = scattered("ys10@0,40 bs20@40,0 ks30@70,40 yc10@50,90 bt20@80,80 | ys10@1,89 ks20@2,40 | ")
    assert {wall: names(mask) for wall, mask in scenes.walls.items()} == {
        "left": [(0, 0), (1, 0)],
        "right": [(0, 2), (0, 4)],
        "top": [(0, 1)],
        "bottom": [(0, 3), (0, 4), (1, 0)],
    }
    assert names(scenes.near_walls) == [(1, 1)]


def test_towers() -> None:
    scenes = towers("ybk b -")  # listed from the top, as in the data set
    assert scenes.height.tolist() == [[3, 1, 0]]
    assert scenes.level[0, 0, :4].tolist() == [2, 1, 0, NOTHING]
    assert names(scenes.top) == [(0, 0), (1, 0)]
    assert names(scenes.base) == [(0, 2), (1, 0)]
    assert names(scenes.present) == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_on_and_above() -> None:
    scenes = towers("ybk b -")
    assert np.argwhere(scenes.on[0, 0]).tolist() == [[0, 1], [1, 2]]
    assert np.argwhere(scenes.above[0, 0]).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert not scenes.above[0, 1:].any()
    apart = scattered("ys20@0,0 bs20@19,50 ks20@20,50 | | ")
    assert np.argwhere(apart.above[0, 0]).tolist() == [[0, 1]], "the third lies below it nowhere"
    assert not apart.on.any()


def test_touching_and_near() -> None:
    scenes = scattered("ys20@0,0 bs20@22,0 ks10@48,0 | ys10@0,0 bs10@13,13 ks10@30,30 | ")
    assert np.argwhere(scenes.touching[0, 0]).tolist() == [[0, 1], [1, 0]]
    assert np.argwhere(scenes.near[0, 0]).tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert np.argwhere(scenes.near[0, 1]).tolist() == [[0, 1], [1, 0]]
    assert not scenes.touching[0, 1:].any()


@given(st.integers(0, 1000), st.sampled_from([random_towers, random_scattered]))
def test_the_data_sets_form_and_back(seed: int, draw) -> None:
    scenes = draw(3, np.random.default_rng(seed))
    again = Scenes.of([scenes.structured(row) for row in range(3)])
    for name in ("shape", "colour", "size", "x", "y"):
        for row in range(3):
            for box in range(3):
                there = scenes.present[row, box]
                assert (
                    getattr(scenes, name)[row, box][there].tolist()
                    == getattr(again, name)[row, box][: there.sum()].tolist()
                ), "objects keep their order, gaps are closed"


def test_structured_by_hand() -> None:
    square = {"x_loc": 40.4, "y_loc": 79.6, "type": "square", "color": "#0099ff", "size": 20}
    scenes = Scenes.of([[[square], [], []]])
    assert (scenes.shape[0, 0, 0], scenes.colour[0, 0, 0], scenes.size[0, 0, 0]) == (0, 1, 20)
    assert scenes.structured(0) == [[square | {"x_loc": 40, "y_loc": 80}], [], []]


def test_rows_and_concatenation() -> None:
    scenes = scenes_of("y b k", "yy b k", "yyy b k")
    assert scenes[1:].height[:, 0].tolist() == [2, 3]
    assert scenes[np.array([2, 0])].height[:, 0].tolist() == [3, 1]
    assert len(concatenate([scenes, scenes[:1]])) == 4


def test_errors() -> None:
    scenes = towers("y b k")
    item = scenes.structured(0)[0][0]
    with pytest.raises(ValueError, match="A box may hold 8 objects, scene 0 has one with 9"):
        Scenes.of([[[item] * 9, [], []]])
    with pytest.raises(ValueError, match="A scene has 3 boxes, scene 0 has 2"):
        Scenes.of([[[item], []]])
    with pytest.raises(ValueError, match="type of an object of scene 0 is 'star', but must be one of square, circle"):
        Scenes.of([[[item | {"type": "star"}], [], []]])
    with pytest.raises(ValueError, match="colour of an object of scene 0 is 'Red', but must be one of Yellow, #0099ff"):
        Scenes.of([[[item | {"color": "Red"}], [], []]])
    with pytest.raises(ValueError, match="No scenes were given"):
        Scenes.of([])
    with pytest.raises(ValueError, match="No scenes were given"):
        concatenate([])
    with pytest.raises(ValueError, match=r"shape has shape \(3, 8\).*take scenes with a slice"):
        scenes[0]
    with pytest.raises(ValueError, match=r"x has shape \(2, 3, 8\), but must be \(S, 3, 8\) with the same S"):
        Scenes(scenes.shape, scenes.colour, scenes.size, np.zeros((2, 3, 8), int), scenes.y)
    with pytest.raises(TypeError, match="colour must be an array of signed integers such as int16, not float64"):
        Scenes(scenes.shape, scenes.colour.astype(float), scenes.size, scenes.x, scenes.y)
    with pytest.raises(TypeError, match="shape must be an array of signed integers such as int16, not list"):
        Scenes([], scenes.colour, scenes.size, scenes.x, scenes.y)  # type: ignore[arg-type]
