"""Squares, circles and triangles by how much of each pixel they cover, and what a coloured patch consists of."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

import numpy as np
from scipy import ndimage

Shape = Literal["square", "circle", "triangle"]

SHAPES: tuple[Shape, ...] = ("square", "circle", "triangle")
SAMPLES = 4  # points along a pixel's side at which a shape is sampled
INSET = 0.05  # pixels by which NLVR's circles stay inside their boxes
# Pixels by which a patch may differ from a shape, for each pixel of width and height: drawings without anti-aliasing
# differ by about a quarter of a pixel along an outline, a circle from the square around it by 0.1 of its side squared.
TOLERANCE = 0.4
SLACK = 0.2  # likewise, by which a shape may stick out of the patch that it is a part of
FREE_OUTLINE = 0.4  # share of a part's outline that borders on no later part
ASPECTS = {"square": (1.0,), "circle": (1.0,), "triangle": (1.0, 0.75**0.5)}  # heights for a width of 1, of parts
UPRIGHT_ASPECTS = (0.5, 2.0)  # lowest and highest triangle
SMALLEST_PART = 5  # pixels
LARGEST_PATCH = 400  # pixels along the longer side; what is larger is not taken apart
MOST_PARTS = 8
MOST_TRIALS = 20_000
SOLID = 4.0  # pixels of nine, covered at least, where a part begins; less is a crumb


@dataclass(frozen=True)
class Part:
    """A shape in a patch.

    Args:
        shape: its kind.
        x: left edge in pixels.
        y: upper edge in pixels.
        width: in pixels.
        height: in pixels.
    """

    shape: Shape
    x: int
    y: int
    width: int
    height: int


@lru_cache(maxsize=4096)
def coverage(shape: Shape, width: int, height: int) -> np.ndarray:
    """(height, width), float32 in [0, 1], how much of each pixel an upright shape covers that fills this box.

    Sampled at 4 x 4 points of each pixel, as browsers do, which NLVR's pictures come from. The array is shared: read
    only.
    """
    y = (np.arange(height * SAMPLES)[:, None] + 0.5) / SAMPLES - height / 2  # pixels from the middle
    x = (np.arange(width * SAMPLES)[None] + 0.5) / SAMPLES - width / 2
    if shape == "square":
        inside = np.ones((height * SAMPLES, width * SAMPLES), dtype=bool)
    elif shape == "circle":
        inside = (x / (width / 2 - INSET)) ** 2 + (y / (height / 2 - INSET)) ** 2 <= 1
    else:
        inside = np.abs(x) * height <= (y + height / 2) * width / 2
    covered = inside.reshape(height, SAMPLES, width, SAMPLES).mean(axis=(1, 3), dtype=np.float32)
    covered.flags.writeable = False
    return covered


def match_shapes(patch: np.ndarray) -> list[Part]:
    """The shapes that a connected patch of one colour consists of, which touch without overlapping.

    One shape, if one fills the patch's box: a square, a circle, or an isosceles triangle that points up. Otherwise a
    search: the first pixel from the top that is not accounted for belongs to a shape that begins there; of all ways to
    go on, the fewest shapes that leave nothing over are taken, and of these the best fit.

    Args:
        patch: (h, w), float, how much of each pixel the colour covers, in [0, 1].

    Returns:
        The shapes, or nothing if the patch does not consist of shapes.

    Example:
        >>> two = np.zeros((20, 20), dtype=np.float32)
        >>> two[:10, :10] = two[10:, 10:] = 1
        >>> [(part.shape, part.x, part.y, part.width) for part in match_shapes(two)]
        [('square', 0, 0, 10), ('square', 10, 10, 10)]
    """
    height, width = patch.shape
    fits = [(float(np.abs(patch - coverage(shape, width, height)).sum()), shape) for shape in SHAPES]
    misfit, best = min(fits)
    if misfit <= TOLERANCE * (width + height) and _upright(best, width, height):
        return [Part(best, 0, 0, width, height)]
    if max(height, width) > LARGEST_PATCH:
        return []
    search = _Search()
    for count in range(1, MOST_PARTS + 1):
        search.take_apart(patch, (), 0.0, count)
        if search.best or search.trials > MOST_TRIALS:
            break
    return list(search.best)


def _upright(shape: Shape, width: int, height: int) -> bool:
    """Whether a shape may have this box: squares and circles are as wide as high, up to a rounding."""
    if shape == "triangle":
        return UPRIGHT_ASPECTS[0] <= height / width <= UPRIGHT_ASPECTS[1]
    return abs(width - height) <= max(1, 0.05 * max(width, height))


class _Search:
    """Takes a patch apart into as many shapes as are asked for; remembers the best way."""

    def __init__(self) -> None:
        self.best: tuple[Part, ...] = ()
        self.cost = np.inf
        self.trials = 0

    def take_apart(self, rest: np.ndarray, parts: tuple[Part, ...], cost: float, count: int) -> None:
        """Account for what is left (h, w) by `count` more shapes; `cost` is how far those found stick out of it."""
        start = _first_pixel(rest)
        if start is None:
            self._finish(rest, parts, cost)
        elif count:
            for part in self._candidates(rest, *start):
                place = _place(part)
                covered = coverage(part.shape, part.width, part.height)
                excess = float(np.maximum(covered - rest[place], 0).sum())
                if excess <= SLACK * (part.width + part.height) and cost + excess < self.cost:
                    left = rest.copy()
                    left[place] = np.maximum(left[place] - covered, 0)
                    self.take_apart(left, (*parts, part), cost + excess, count - 1)
                if self.trials > MOST_TRIALS:
                    return

    def _finish(self, rest: np.ndarray, parts: tuple[Part, ...], cost: float) -> None:
        cost += float(rest.sum())
        if cost < self.cost and cost <= TOLERANCE * sum(part.width + part.height for part in parts):
            self.best, self.cost = parts, cost

    def _candidates(self, rest: np.ndarray, row: int, column: int) -> Iterator[Part]:
        """The shapes that begin at a pixel, largest first, as far as a look at few pixels tells."""
        height, width = rest.shape
        for side in range(width, SMALLEST_PART - 1, -1):
            for shape in SHAPES:
                for aspect in ASPECTS[shape]:
                    high = round(side * aspect)
                    if not SMALLEST_PART <= high <= height:
                        continue
                    first_row, first_column = _beginning(shape, side, high)
                    for down, right in product((0, -1, 1), repeat=2):
                        y, x = row - first_row + down, column - first_column + right
                        if 0 <= y <= height - high and 0 <= x <= width - side:
                            part = Part(shape, x, y, side, high)
                            self.trials += 1
                            if _fits_at_few_pixels(rest, part) and _free_outline(rest, part) >= FREE_OUTLINE:
                                yield part


def _first_pixel(patch: np.ndarray) -> tuple[int, int] | None:
    """Row and column of the first pixel, row by row, that is mostly covered and no crumb of an outline."""
    crowd = ndimage.uniform_filter(patch, 3, mode="constant") * 9
    found = np.flatnonzero((patch > 0.5) & (crowd >= SOLID - 0.01))
    return None if not len(found) else divmod(int(found[0]), patch.shape[1])


@lru_cache(maxsize=4096)
def _beginning(shape: Shape, width: int, height: int) -> tuple[int, int]:
    return _first_pixel(coverage(shape, width, height)) or (0, 0)


def _place(part: Part) -> tuple[slice, slice]:
    return slice(part.y, part.y + part.height), slice(part.x, part.x + part.width)


@lru_cache(maxsize=4096)
def _few_pixels(shape: Shape, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a few pixels that a shape covers: ends, middles and quarters of its rows."""
    covered = coverage(shape, width, height) > 0.9
    points = []
    for row in {height // 8, height // 4, height // 2, 3 * height // 4, height - 1}:
        columns = np.flatnonzero(covered[row])
        if len(columns):
            points += [(row, columns[0]), (row, columns[len(columns) // 2]), (row, columns[-1])]
    rows, columns = np.array(points).T
    return rows, columns


def _fits_at_few_pixels(rest: np.ndarray, part: Part) -> bool:
    rows, columns = _few_pixels(part.shape, part.width, part.height)
    missing = rest[rows + part.y, columns + part.x] < 0.5
    return bool(missing.sum() <= 1)


@lru_cache(maxsize=4096)
def _outline(shape: Shape, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels around a shape, the shape's upper left corner at row 1 and column 1."""
    covered = np.pad(coverage(shape, width, height) > 0, 1)
    rows, columns = np.nonzero(ndimage.binary_dilation(covered) & ~covered)
    return rows, columns


def _free_outline(rest: np.ndarray, part: Part) -> float:
    """Share of the pixels around a part that nothing is left at."""
    rows, columns = _outline(part.shape, part.width, part.height)
    rows, columns = rows + part.y - 1, columns + part.x - 1
    inside = (rows >= 0) & (rows < rest.shape[0]) & (columns >= 0) & (columns < rest.shape[1])
    taken = int((rest[rows[inside], columns[inside]] > 0.5).sum())
    return 1 - taken / len(rows)
