from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from lxmert.detection.shape_matching import SHAPES, Shape, coverage, match_shapes

Placed = tuple[Shape, int, int, int]  # shape, left, top, side
Renderer = Callable[[Shape, int], np.ndarray]


def soft(shape: Shape, side: int) -> np.ndarray:
    return coverage(shape, side, side)


def hard(shape: Shape, side: int) -> np.ndarray:
    """As Pillow draws, without anti-aliasing."""
    image = Image.new("L", (side, side))
    pen = ImageDraw.Draw(image)
    if shape == "triangle":
        pen.polygon([(0, side - 1), (side - 1, side - 1), ((side - 1) / 2, 0)], fill=1)
    else:
        (pen.ellipse if shape == "circle" else pen.rectangle)((0, 0, side - 1, side - 1), fill=1)
    return np.asarray(image, dtype=np.float32)


def blurred(shape: Shape, side: int) -> np.ndarray:
    """Each pixel mixed with its neighbours; one pixel more on each side."""
    return ndimage.uniform_filter(np.pad(coverage(shape, side, side), 1), 3, mode="constant")


def patch_of(parts: list[Placed], renderer: Renderer = soft) -> np.ndarray:
    width, height = (max(part[axis] + part[3] for part in parts) for axis in (1, 2))
    patch = np.zeros((height, width), dtype=np.float32)
    for shape, x, y, side in parts:
        place = patch[y : y + side, x : x + side]
        np.minimum(place + renderer(shape, side), 1, out=place)
    return patch


def found(patch: np.ndarray) -> list[tuple[Shape, int, int, int, int]]:
    return sorted((part.shape, part.x, part.y, part.width, part.height) for part in match_shapes(patch))


def test_coverage_by_hand() -> None:
    assert (coverage("square", 3, 2) == 1).all()
    assert coverage("triangle", 4, 4).tolist() == [
        [0, 0.25, 0.25, 0],
        [0, 0.75, 0.75, 0],
        [0.25, 1, 1, 0.25],
        [0.75, 1, 1, 0.75],
    ]
    for side in (10, 25, 60, 300):
        assert coverage("circle", side, side).mean() == pytest.approx(np.pi / 4, rel=0.03)
        assert np.array_equal(coverage("circle", side, side), coverage("circle", side, side).T)
        assert coverage("triangle", side, side).mean() == pytest.approx(0.5, rel=0.02)
    with pytest.raises(ValueError, match="read-only"):
        coverage("circle", 10, 10)[0, 0] = 1


@pytest.mark.parametrize("renderer", [soft, hard])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_shape_of_any_size(shape: Shape, renderer: Renderer) -> None:
    for side in [*range(8, 40, 3), 77, 300]:
        assert found(renderer(shape, side)) == [(shape, 0, 0, side, side)]


@pytest.mark.parametrize("shape", SHAPES)
def test_one_blurred_shape(shape: Shape) -> None:
    for side in (12, 20, 41):
        [(kind, x, y, width, height)] = found(blurred(shape, side))
        assert kind == shape
        assert max(abs(width - side), abs(height - side), abs(x - 1), abs(y - 1)) <= 2


def test_isosceles_triangles() -> None:
    for width, height in ((20, 30), (30, 20), (40, 35)):
        assert found(coverage("triangle", width, height)) == [("triangle", 0, 0, width, height)]


@pytest.mark.parametrize("renderer", [soft, hard])
@pytest.mark.parametrize(("first", "second"), list(product(SHAPES, SHAPES)))
def test_two_that_touch(first: Shape, second: Shape, renderer: Renderer) -> None:
    for one, other in ((10, 10), (20, 10), (20, 30)):
        beside: list[Placed] = [(first, 0, max(other - one, 0), one), (second, one, max(one - other, 0), other)]
        below: list[Placed] = [
            (first, max(other - one, 0) // 2, 0, one),
            (second, max(one - other, 0) // 2, one, other),
        ]
        for parts in (beside, below):
            expected = sorted((*part, part[3]) for part in parts)
            got = found(patch_of(parts, renderer))
            assert [part[0] for part in got] == [part[0] for part in expected], parts
            nearest = 0 if renderer is soft else 1
            for here, there in zip(got, expected, strict=True):
                assert max(abs(a - b) for a, b in zip(here[1:], there[1:], strict=True)) <= nearest, parts


@pytest.mark.parametrize(
    "parts",
    [
        [("square", 0, 20 * i, 20) for i in range(4)],
        [("square", 0, 0, 20), ("square", 0, 20, 20), ("square", 20, 20, 20)],
        [("triangle", 10, 0, 20), ("square", 0, 20, 20), ("square", 20, 20, 20), ("circle", 40, 20, 20)],
        [("circle", 20 * i, 0, 20) for i in range(5)],
        [("circle", 0, 0, 20), ("square", 20, 0, 20), ("triangle", 40, 0, 20), ("triangle", 20, 20, 30)],
    ],
)
def test_several_that_touch(parts: list[Placed]) -> None:
    expected = sorted((*part, part[3]) for part in parts)
    assert found(patch_of(parts)) == expected
    assert found(patch_of(parts)) == expected, "the same again"


def test_equilateral_triangles_that_touch() -> None:
    pair = np.concatenate([coverage("triangle", 40, 35)] * 2, axis=1)
    assert found(pair) == [("triangle", 0, 0, 40, 35), ("triangle", 40, 0, 40, 35)]


def test_what_sticks_out_of_a_shape_is_left_out() -> None:
    patch = np.zeros((20, 21), dtype=np.float32)
    patch[:, :20] = 1
    patch[7, 20] = 1
    assert found(patch) == [("square", 0, 0, 20, 20)]


def test_other_patches_are_not_explained() -> None:
    ring = coverage("circle", 60, 60).copy()
    ring[15:45, 15:45] -= coverage("circle", 30, 30)
    for patch in (
        coverage("triangle", 20, 20)[::-1],
        coverage("circle", 40, 20),
        ring,
        np.ones((3, 40), dtype=np.float32),
        np.ones((300, 700), dtype=np.float32),
    ):
        assert found(patch) == []


def test_taking_apart_can_be_left_out() -> None:
    two = np.ones((10, 20), dtype=np.float32)
    assert len(match_shapes(two)) == 2
    assert match_shapes(two, take_apart=False) == []
    assert len(match_shapes(two[:, :10], take_apart=False)) == 1
