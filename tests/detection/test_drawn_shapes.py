from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lxmert.detection.drawn_shapes import DrawnShape, find_drawn_shapes
from lxmert.detection.shape_matching import SHAPES, Part, Shape, coverage, match_shapes

Placed = tuple[Shape, str, int, int, int]  # shape, colour, left, top, side


def panel_of(*shapes: Placed, size: tuple[int, int] = (100, 100), ground: str = "#d3d3d3") -> np.ndarray:
    """Anti-aliased shapes on a panel."""
    image = Image.new("RGB", size, ground)
    for shape, colour, x, y, side in shapes:
        mask = Image.fromarray((coverage(shape, side, side) * 255).round().astype(np.uint8))
        image.paste(colour, (x, y), mask)
    return np.asarray(image)


def found(panel: np.ndarray, minimum_area: int = 12, minimum_thickness: int = 3) -> list[DrawnShape]:
    return find_drawn_shapes(panel, 32, minimum_area, minimum_thickness)


def test_shapes_from_top_to_bottom_then_from_left_to_right() -> None:
    shapes: list[Placed] = [
        ("triangle", "black", 60, 5, 30),
        ("circle", "yellow", 5, 50, 20),
        ("square", "black", 40, 50, 10),
        ("circle", "#0099ff", 70, 70, 30),
    ]
    drawn = found(panel_of(*shapes[::-1]))
    assert [(s.shape, *s.box) for s in drawn] == [(kind, x, y, x + n, y + n) for kind, _, x, y, n in shapes]
    assert [s.colour.tolist() for s in drawn] == [[0, 0, 0], [255, 255, 0], [0, 0, 0], [0, 153, 255]]


@pytest.mark.parametrize("colour", ["yellow", "#0099ff", "black", "white", "#8080ff", "#606060"])
def test_boxes_are_exact_for_all_colours_and_sizes(colour: str) -> None:
    for shape, side in product(SHAPES, (8, 10, 15, 20, 30)):
        [drawn] = found(panel_of((shape, colour, 33, 41, side)))
        assert (drawn.shape, drawn.box) == (shape, (33, 41, 33 + side, 41 + side))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (80, 0), (0, 80), (80, 80), (40, 0), (0, 33), (80, 7), (51, 80)])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_at_edges_and_in_corners(shape: Shape, x: int, y: int) -> None:
    [drawn] = found(panel_of((shape, "black", x, y, 20)))
    assert (drawn.shape, drawn.box) == (shape, (x, y, x + 20, y + 20))


def test_shapes_of_different_colours_may_touch() -> None:
    shapes: list[Placed] = [
        ("square", "black", 10, 10, 20),
        ("square", "yellow", 30, 10, 20),
        ("circle", "#606060", 10, 30, 20),  # as if black were mixed with the ground
        ("triangle", "black", 30, 30, 20),
        ("square", "black", 60, 10, 20),
        ("circle", "#0099ff", 80, 10, 20),  # darker than the ground, as mixtures with black
    ]
    shapes.sort(key=lambda shape: (shape[3], shape[2]))
    drawn = found(panel_of(*shapes))
    assert [(s.shape, *s.box) for s in drawn] == [(kind, x, y, x + n, y + n) for kind, _, x, y, n in shapes]


def test_own_pixels_show_nothing_else() -> None:
    ground, black, yellow = (211, 211, 211), (0, 0, 0), (255, 255, 0)
    alone = panel_of(("circle", "black", 20, 20, 30))
    both = panel_of(("circle", "black", 20, 20, 30), ("circle", "yellow", 43, 43, 20))  # each in the other's box
    first, second = found(both)
    assert np.array_equal(first.own, found(alone)[0].own)
    clear = coverage("circle", 30, 30) > 0.1
    assert np.array_equal(first.own[clear], alone[20:50, 20:50][clear])
    assert tuple(first.own[-1, -1]) == ground
    assert tuple(second.own[10, 10]) == yellow
    assert black not in set(map(tuple, second.own.reshape(-1, 3).tolist()))


def test_own_pixels_of_shapes_that_touch() -> None:
    panel = panel_of(("triangle", "black", 10, 10, 20), ("square", "black", 5, 30, 30), ("circle", "black", 35, 30, 30))
    drawn = found(panel)
    assert [(s.shape, *s.box) for s in drawn] == [
        ("triangle", 10, 10, 30, 30),
        ("square", 5, 30, 35, 60),
        ("circle", 35, 30, 65, 60),
    ]
    for shape, side, part in (("triangle", 20, drawn[0]), ("square", 30, drawn[1]), ("circle", 30, drawn[2])):
        alone = found(panel_of((shape, "black", 10, 10, side)))[0].own  # type: ignore[arg-type]
        assert np.abs(part.own.astype(int) - alone).max() <= 1, shape


def test_noise_is_no_shape_and_changes_none() -> None:
    panel = panel_of(("circle", "black", 20, 20, 30), ("square", "yellow", 60, 60, 20)).copy()
    before = found(panel)
    generator = np.random.default_rng(0)
    for row, column in generator.integers(0, 100, (30, 2)):
        panel[row, column] = generator.integers(0, 256, 3)
    after = found(panel)
    assert [(s.shape, s.box) for s in after] == [(s.shape, s.box) for s in before]


def test_small_and_thin_things() -> None:
    image = Image.fromarray(panel_of(("square", "black", 10, 10, 5)))
    pen = ImageDraw.Draw(image)
    pen.line((0, 50, 99, 50), fill="black")
    panel = np.asarray(image)
    assert [s.box for s in found(panel)] == [(10, 10, 15, 15)]
    assert found(panel, minimum_area=26) == []
    assert [(s.shape, s.box) for s in found(panel, minimum_thickness=1)] == [
        ("square", (10, 10, 15, 15)),
        (None, (0, 50, 100, 51)),
    ]
    assert found(panel, minimum_thickness=101) == []


def test_other_shapes_are_one_without_a_kind() -> None:
    image = Image.fromarray(panel_of())
    ImageDraw.Draw(image).polygon([(10, 10), (50, 10), (30, 50)], fill="black")
    [drawn] = found(np.asarray(image))
    assert (drawn.shape, drawn.box) == (None, (10, 10, 51, 51))
    assert np.array_equal(drawn.own, np.asarray(image)[10:51, 10:51])


@pytest.mark.parametrize("size", [(1, 1), (2, 50), (100, 100)])
def test_an_empty_panel(size: tuple[int, int]) -> None:
    assert found(panel_of(size=size)) == []


def test_other_shapes_are_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def match(patch: np.ndarray, take_apart: bool) -> list[Part]:
        asked.append(take_apart)
        return match_shapes(patch, take_apart)

    monkeypatch.setattr("lxmert.detection.drawn_shapes.match_shapes", match)
    image = Image.fromarray(panel_of(("square", "black", 5, 85, 10)))
    pen = ImageDraw.Draw(image)
    for x, y in product(range(5, 85, 20), range(5, 65, 20)):
        pen.polygon([(x, y), (x + 12, y), (x + 6, y + 12)], fill="black")
    assert [shape.shape for shape in found(np.asarray(image))] == [*[None] * 12, "square"]
    assert asked == [*[True] * 8, *[False] * 5]
