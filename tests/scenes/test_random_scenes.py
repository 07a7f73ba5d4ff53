import numpy as np
import pytest

from lxmert.scenes import NOTHING, Scenes, kind_of, random_scattered, random_towers

COUNT = 400


@pytest.fixture(scope="module")
def shapes() -> Scenes:
    return random_scattered(COUNT, np.random.default_rng(0))


@pytest.fixture(scope="module")
def blocks() -> Scenes:
    return random_towers(COUNT, np.random.default_rng(0))


def test_shapes_do_not_overlap_and_lie_inside(shapes: Scenes) -> None:
    right, bottom = shapes.x + shapes.size, shapes.y + shapes.size
    across = np.maximum(shapes.x[..., None] - right[..., None, :], shapes.x[..., None, :] - right[..., None])
    down = np.maximum(shapes.y[..., None] - bottom[..., None, :], shapes.y[..., None, :] - bottom[..., None])
    assert (np.maximum(across, down)[shapes.pairs] >= 1).all()
    there = shapes.present
    assert (shapes.x[there] >= 0).all()
    assert (right[there] <= 100).all()
    assert (shapes.y[there] >= 0).all()
    assert (bottom[there] <= 100).all()
    assert not kind_of(shapes).any()


def test_shapes_are_of_all_kinds(shapes: Scenes) -> None:
    there = shapes.present
    assert shapes.height.min() == 1
    assert shapes.height.max() == 7
    for name, values in [("shape", [0, 1, 2]), ("colour", [0, 1, 2]), ("size", [10, 20, 30])]:
        found, counts = np.unique(getattr(shapes, name)[there], return_counts=True)
        assert found.tolist() == values
        assert counts.min() > 0.2 * counts.sum(), name
        assert (getattr(shapes, name)[~there] == NOTHING).all()


def test_many_shapes_touch_the_floor_or_the_right_wall(shapes: Scenes) -> None:
    share = {wall: mask[shapes.present].mean() for wall, mask in shapes.walls.items()}
    assert 0.2 < share["bottom"] < 0.3
    assert 0.2 < share["right"] < 0.3
    assert 0.01 < share["left"] < 0.06
    assert 0.01 < share["top"] < 0.06


def test_towers_stand(blocks: Scenes) -> None:
    assert kind_of(blocks).all()
    assert np.unique(blocks.height).tolist() == [1, 2, 3, 4]
    assert (blocks.walls["bottom"] == blocks.base).all(), "the base and no other stands on the floor"
    assert (blocks.on.sum((-1, -2)) == blocks.height - 1).all(), "each block but the base stands on one"
    first = np.where(blocks.present, blocks.y, 1000)
    assert (np.argmin(first, -1) == 0).all(), "the top comes first"


def test_colours_of_towers(blocks: Scenes) -> None:
    alike = np.array([(blocks.colour == colour).sum(-1) == blocks.height for colour in range(3)]).any(0)
    assert alike[blocks.height > 2].mean() > 0.25, "more than chance would make"
    assert np.unique(blocks.colour[blocks.present], return_counts=True)[1].min() > 0.3 * blocks.present.sum()


@pytest.mark.parametrize("draw", [random_scattered, random_towers])
def test_seeds_and_counts(draw) -> None:
    one, same, other = (draw(5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all((getattr(one, name) == getattr(same, name)).all() for name in ("shape", "colour", "size", "x", "y"))
    assert (one.colour != other.colour).any()
    with pytest.raises(ValueError, match="count must be at least 1, not 0"):
        draw(0, np.random.default_rng(0))
