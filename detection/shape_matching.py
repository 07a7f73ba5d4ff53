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
TOLERANCE = 0.45
SLACK = 0.3  # likewise, by which a shape may stick out of the patch that it is a part of
ASPECTS = {"square": (1.0,), "circle": (1.0,), "triangle": (1.0, 0.75**0.5)}  # heights for a width of 1, of parts
UPRIGHT_ASPECTS = (0.5, 2.0)  # lowest and highest triangle
SMALLEST_PART = 5  # pixels
LARGEST_PATCH = 256  # pixels along the longer side; what is larger is not taken apart
MOST_PARTS = 8
MOST_TRIALS = 4_000
OTHERS = (0, 1, 2, 3, 5, 8)  # how far the search leaves the order of its candidates
STEPS = (0, -1, 1)  # pixels by which a drawing program may place a shape's first pixel elsewhere
ROUNDING = 2
CROWD = 3.99  # pixels of nine, covered at least, where a shape begins; less is a crumb


@dataclass(frozen=True, order=True)
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


def coverage(shape: Shape, width: int, height: int) -> np.ndarray:
    """(height, width), float32 in [0, 1], how much of each pixel an upright shape covers that fills this box.

    Pixels are sampled at 4 x 4 points, which gives edges as NLVR's pictures have them. The array may be shared: read
    only.
    """
    if max(width, height) > LARGEST_PATCH:
        return _sampled(shape, width, height, samples=1)
    return _small_coverage(shape, width, height)


@lru_cache(maxsize=1024)
def _small_coverage(shape: Shape, width: int, height: int) -> np.ndarray:
    return _sampled(shape, width, height, SAMPLES)


def _sampled(shape: Shape, width: int, height: int, samples: int) -> np.ndarray:
    y = (np.arange(height * samples, dtype=np.float32)[:, None] + 0.5) / samples - height / 2  # pixels from the middle
    x = (np.arange(width * samples, dtype=np.float32)[None] + 0.5) / samples - width / 2
    if shape == "square":
        inside = np.ones((height * samples, width * samples), dtype=bool)
    elif shape == "circle":
        inside = (x / (width / 2 - INSET)) ** 2 + (y / (height / 2 - INSET)) ** 2 <= 1
    else:
        inside = np.abs(x) * height <= (y + height / 2) * width / 2
    covered = inside.reshape(height, samples, width, samples).mean(axis=(1, 3), dtype=np.float32)
    covered.flags.writeable = False
    return covered


def match_shapes(patch: np.ndarray, take_apart: bool = True) -> list[Part]:
    """The shapes that a connected patch of one colour consists of, which touch without overlapping.

    One shape, if one fills the patch's box: a square, a circle, or an isosceles triangle that points up. Otherwise a
    search: the first pixel from the top that is not accounted for belongs to a shape that begins there, until nothing
    is left. Parts are as wide as high, or triangles with equal sides. What is blurred is tried with sharp edges too.

    Args:
        patch: (h, w), float, how much of each pixel the colour covers, in [0, 1].
        take_apart: search, where it is not one shape; a patch of some other kind takes a quarter of a second.

    Returns:
        The shapes, or nothing if the patch does not consist of shapes.

    Example:
        >>> two = np.zeros((20, 20), dtype=np.float32)
        >>> two[:10, :10] = two[10:, 10:] = 1
        >>> [(part.shape, part.x, part.y, part.width) for part in match_shapes(two)]
        [('square', 0, 0, 10), ('square', 10, 10, 10)]
    """
    whole = (0, 0, patch.shape[1], patch.shape[0])
    sharp = (patch > 0.5).astype(np.float32)
    for drawn, boxes in ((patch, [whole]), (sharp, _boxes_of(sharp))):
        misfit, part = min(_fit(drawn, shape, *box) for shape, box in product(SHAPES, boxes))
        if misfit <= TOLERANCE * (part.width + part.height) and _upright(part):
            return [part]
    if not take_apart or max(patch.shape) > LARGEST_PATCH:
        return []
    return _Search(patch).parts() or _Search(sharp).parts()


def _fit(patch: np.ndarray, shape: Shape, x1: int, y1: int, x2: int, y2: int) -> tuple[float, Part]:
    """By how many pixels a patch differs from the shape that fills a box."""
    part = Part(shape, x1, y1, x2 - x1, y2 - y1)
    inside = patch[_place(part)]
    misfit = np.abs(inside - coverage(shape, part.width, part.height)).sum() + patch.sum() - inside.sum()
    return float(misfit), part


def _boxes_of(sharp: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Boxes x1, y1, x2, y2 around the pixels of a patch, each side also where its blurred edge ends."""
    sides = []
    for axis in (0, 1):
        places = np.flatnonzero(sharp.any(axis=axis))
        length = sharp.shape[1 - axis]
        sides.append(({0, int(places[0])}, {length, int(places[-1]) + 1}) if len(places) else ({0}, {length}))
    (lefts, rights), (tops, bottoms) = sides
    return sorted(product(lefts, tops, rights, bottoms))


def _upright(part: Part) -> bool:
    """Whether a shape may have its box: squares and circles are as wide as high, up to a rounding."""
    if part.shape == "triangle":
        return UPRIGHT_ASPECTS[0] <= part.height / part.width <= UPRIGHT_ASPECTS[1]
    return abs(part.width - part.height) <= max(1, 0.05 * max(part.width, part.height))


class _Search:
    """Takes a patch apart into shapes.

    The candidates at each step are ordered by how much of their outline is free, so the first is mostly right. Of all
    ways those are tried first that leave this order least often (limited discrepancy search, Harvey & Ginsberg 1995).

    Args:
        patch: (h, w), float, how much of each pixel is covered.
    """

    def __init__(self, patch: np.ndarray) -> None:
        self.patch = patch
        self.best: tuple[Part, ...] = ()
        self.misfit = np.inf
        self.trials = 0
        self.known: dict[tuple[Part, ...], list[tuple[Part, float]]] = {}

    def parts(self) -> list[Part]:
        """The shapes, from the top; nothing if there is no way, or it is not found in time."""
        for others in OTHERS:
            self._go_on(self.patch, (), 0.0, others)
            if self.best or self.trials > MOST_TRIALS:
                break
        return list(self.best)

    def _go_on(self, rest: np.ndarray, parts: tuple[Part, ...], misfit: float, others: int) -> None:
        """Account for what is left (h, w), `others` steps down the order of candidates at most."""
        start = _first_pixel(rest)
        if start is None:
            misfit += float(rest.sum())
            better = not self.best or (len(parts), misfit) < (len(self.best), self.misfit)
            if better and misfit <= TOLERANCE * sum(part.width + part.height for part in parts):
                self.best, self.misfit = parts, misfit
        elif len(parts) < (len(self.best) or MOST_PARTS):
            if parts not in self.known:
                self.known[parts] = [] if self.trials > MOST_TRIALS else self._candidates(rest, *start)
            for step, (part, excess) in enumerate(self.known[parts][: others + 1]):
                left = rest.copy()
                left[_place(part)] = np.maximum(left[_place(part)] - coverage(part.shape, part.width, part.height), 0)
                self._go_on(left, (*parts, part), misfit + excess, others - step)

    def _candidates(self, rest: np.ndarray, row: int, column: int) -> list[tuple[Part, float]]:
        """The shapes that may begin at a pixel, the best first, and how far each sticks out of what is left."""
        uncovered = np.flatnonzero(rest[row:, column] <= 0.5)
        reach = int(uncovered[0]) if len(uncovered) else rest.shape[0] - row
        found = []
        for width, shape in product(range(SMALLEST_PART, rest.shape[1] + 1), SHAPES):
            for aspect in ASPECTS[shape]:
                height = round(width * aspect)
                if SMALLEST_PART <= height <= min(reach + ROUNDING, rest.shape[0]):
                    self.trials += 1
                    options = [_judged(rest, part) for part in _beginning_at(rest, row, column, shape, width, height)]
                    found += [max(options, key=lambda option: option[0])] if options else []
        found = [
            option for option in found if option[0] >= 0 and option[1] <= SLACK * (option[2].width + option[2].height)
        ]
        best = sorted(found, key=lambda option: -option[0])[: OTHERS[-1] + 1]
        return [(part, excess) for _, excess, part in best]


def _first_pixel(patch: np.ndarray) -> tuple[int, int] | None:
    """Row and column of the first pixel, row by row, that is mostly covered and no crumb of an outline."""
    crowd = ndimage.uniform_filter(patch, 3, mode="constant") * 9
    found = np.flatnonzero((patch > 0.5) & (crowd >= CROWD))
    return None if not len(found) else divmod(int(found[0]), patch.shape[1])


@lru_cache(maxsize=1024)
def _beginning(shape: Shape, width: int, height: int) -> tuple[int, int]:
    return _first_pixel(coverage(shape, width, height)) or (0, 0)


def _beginning_at(rest: np.ndarray, row: int, column: int, shape: Shape, width: int, height: int) -> Iterator[Part]:
    """The shape where its first pixel is this one or a neighbour, as far as a look at few pixels tells."""
    first_row, first_column = _beginning(shape, width, height)
    rows, columns = _few_pixels(shape, width, height)
    for y, x in product((row - first_row + step for step in STEPS), (column - first_column + step for step in STEPS)):
        inside = 0 <= y <= rest.shape[0] - height and 0 <= x <= rest.shape[1] - width
        if inside and (rest[rows + y, columns + x] < 0.5).sum() <= 1:
            yield Part(shape, x, y, width, height)


def _judged(rest: np.ndarray, part: Part) -> tuple[float, float, Part]:
    """How good a shape is, and how far it sticks out of what is left (h, w): free outline counts for it."""
    excess = float(np.maximum(coverage(part.shape, part.width, part.height) - rest[_place(part)], 0).sum())
    rows, columns = _outline(part.shape, part.width, part.height)
    rows, columns = rows + part.y - 1, columns + part.x - 1
    inside = (rows >= 0) & (rows < rest.shape[0]) & (columns >= 0) & (columns < rest.shape[1])
    taken = int((rest[rows[inside], columns[inside]] > 0.5).sum())
    return len(rows) - 2 * taken - 2 * excess, excess, part


def _place(part: Part) -> tuple[slice, slice]:
    return slice(part.y, part.y + part.height), slice(part.x, part.x + part.width)


@lru_cache(maxsize=1024)
def _few_pixels(shape: Shape, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a few pixels that a shape covers: ends and middles of some of its rows."""
    covered = coverage(shape, width, height) > 0.9
    points = []
    for row in {height // 8, height // 4, height // 2, 3 * height // 4, height - 1}:
        columns = np.flatnonzero(covered[row])
        if len(columns):
            points += [(row, columns[0]), (row, columns[len(columns) // 2]), (row, columns[-1])]
    found = np.array(points)
    return found[:, 0], found[:, 1]


@lru_cache(maxsize=1024)
def _outline(shape: Shape, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels around a shape, the shape's upper left corner at row 1 and column 1."""
    covered = np.pad(coverage(shape, width, height) > 0, 1)
    rows, columns = np.nonzero(ndimage.binary_dilation(covered) & ~covered)
    return rows, columns
