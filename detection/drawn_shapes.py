"""Shapes drawn in a panel: where they are, what they are, and their own pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy import ndimage

from lxmert.detection.panels import PixelBox, channels, colour_codes, difference, ground_colour
from lxmert.detection.shape_matching import Part, Shape, coverage, match_shapes

FAINTEST = 8  # difference in any channel from the ground that may be the edge of a shape
LEAST_COVERED = 0.15  # of a pixel at a shape's edge
MOST_COLOURS = 64  # of a panel, that are tried; drawings have few
MOST_OTHER_PATCHES = 8  # of a panel that are tried in vain to be taken apart; of drawings' there are few
SAME_DIRECTION = 0.95  # cosine, seen from the ground's colour, between a mixture and the colour that is mixed in


@dataclass(frozen=True, eq=False)
class DrawnShape:
    """One shape.

    Args:
        box: x1, y1, x2, y2 in pixels of the panel, x2 and y2 exclusive.
        shape: its kind; None for a patch that does not consist of squares, circles and triangles.
        colour: (3,), its R, G and B.
        own: (h, w, 3), uint8, the pixels of the box, those that are not the shape's in the panel's ground colour.
    """

    box: PixelBox
    shape: Shape | None
    colour: np.ndarray
    own: np.ndarray


def find_drawn_shapes(
    panel: np.ndarray, colour_tolerance: int, minimum_area: int, minimum_thickness: int
) -> list[DrawnShape]:
    """The shapes of a panel, from top to bottom, then from left to right.

    Connected pixels of one colour are a patch. Anti-aliasing mixes colours along edges: a mixture of the ground and a
    patch's colour belongs to the patch, a patch is as wide and as high as what it covers. Patches are taken apart into
    squares, circles and triangles (`match_shapes`).

    Args:
        panel: (H, W, 3), uint8.
        colour_tolerance: largest difference in any channel between pixels of one colour.
        minimum_area: smallest patch in pixels.
        minimum_thickness: side in pixels of a square that must fit into a patch somewhere.
    """
    ground = ground_colour(panel)
    drawn = np.flatnonzero(difference(panel, ground) > FAINTEST)
    # Few colours, many pixels: colours are compared instead of pixels.
    drawn_codes = colour_codes(panel.reshape(-1, 3)[drawn])
    codes, numbers, counts = np.unique(drawn_codes, return_inverse=True, return_counts=True)
    colours = channels(codes).astype(np.float32) - ground  # (C, 3), as seen from the ground

    def image(values: np.ndarray) -> np.ndarray:
        """(H, W) from one value for each colour (C,); 0 where nothing is drawn."""
        pixels = np.zeros(panel.shape[:2], dtype=values.dtype)
        pixels.flat[drawn] = values[numbers]
        return pixels

    palette = []  # a colour, the colours near it, and the pixels of these that are no thin lines
    for colour, near in islice(_claims(colours, counts, colour_tolerance, minimum_area), MOST_COLOURS):
        thick = _opened(image(near), minimum_thickness)
        if thick.any():
            palette.append((colour, near, thick))
    found: list[DrawnShape] = []
    others = 0
    for colour, near, thick in palette:
        covered = image(_shares(colours, colour, near))
        for _, _, other in palette:
            if other is not thick:
                covered[other] = 0
        for rows, columns, patch in _patches(covered, thick, minimum_area):
            parts = match_shapes(patch, take_apart=others < MOST_OTHER_PATCHES)
            others += not parts
            place = columns.start, rows.start
            found += _shapes_of(patch, parts, panel[rows, columns], ground, colour + ground, place)
    return sorted(found, key=lambda shape: (shape.box[1], shape.box[0]))


def _claims(
    colours: np.ndarray, counts: np.ndarray, tolerance: int, minimum_area: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Colours (3,) that may be a shape's, the most frequent first, and which colours (C,) each claims as near it."""
    free = np.abs(colours).max(axis=1, initial=0) > tolerance  # the others are nearly the ground's
    for i in np.argsort(-counts, kind="stable"):
        if free[i]:
            near = free & (np.abs(colours - colours[i]) <= tolerance).all(axis=1)
            free &= ~near
            if counts[near].sum() >= minimum_area:
                yield colours[i], near


def _shares(colours: np.ndarray, colour: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(C,), float32 in [0, 1], how much of a colour (3,) is mixed with the ground in colours (C, 3), 0 for others."""
    along = colours @ colour
    length = np.linalg.norm(colour)
    shares = along / length**2
    mixed = (along >= SAME_DIRECTION * length * np.linalg.norm(colours, axis=1)) & (shares >= LEAST_COVERED)
    return np.where(near | (mixed & (shares <= 1)), shares.clip(0, 1), 0).astype(np.float32)


def _opened(pixels: np.ndarray, thickness: int) -> np.ndarray:
    """The pixels (H, W) that squares of this side cover which fit among them."""
    opened = np.zeros_like(pixels)
    rows, columns = (side - thickness + 1 for side in pixels.shape)
    if min(rows, columns) < 1:
        return opened
    steps = range(thickness)
    rowwise = np.logical_and.reduce([pixels[:, i : i + columns] for i in steps])
    corners = np.logical_and.reduce([rowwise[i : i + rows] for i in steps])  # upper left ones, of squares that fit
    rowwise = np.zeros((rows, pixels.shape[1]), dtype=bool)
    for i in steps:
        rowwise[:, i : i + columns] |= corners
    for i in steps:
        opened[i : i + rows] |= rowwise
    return opened


def _patches(covered: np.ndarray, thick: np.ndarray, minimum_area: int) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Rows, columns and coverage (h, w) of each connected patch of covered pixels (H, W), thick ones among them."""
    labels, count = ndimage.label(covered, structure=np.ones((3, 3)))
    thick_labels = np.bincount(labels[thick], minlength=count + 1)
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        if thick_labels[label]:
            patch = np.where(labels[rows, columns] == label, covered[rows, columns], 0)
            if patch.sum() >= minimum_area:
                yield rows, columns, patch


def _shapes_of(
    patch: np.ndarray,
    parts: list[Part],
    pixels: np.ndarray,
    ground: np.ndarray,
    colour: np.ndarray,
    corner: tuple[int, int],
) -> Iterator[DrawnShape]:
    """The shapes of a patch (h, w) of pixels (h, w, 3) whose upper left corner (x, y) lies there in the panel."""
    (left, top), (height, width) = corner, patch.shape
    if not parts or (parts[0].width, parts[0].height) == (width, height):
        own = np.where(patch[..., None] > 0, pixels, ground).astype(np.uint8)
        yield DrawnShape((left, top, left + width, top + height), parts[0].shape if parts else None, colour, own)
        return
    for part in parts:
        place = slice(part.y, part.y + part.height), slice(part.x, part.x + part.width)
        # Along an edge that two parts share, each gets what it covers of the patch.
        within = coverage(part.shape, part.width, part.height)
        share = np.minimum(within / np.maximum(patch[place], LEAST_COVERED), 1) * (patch[place] > 0)
        own = (ground + share[..., None] * (pixels[place] - ground)).round().astype(np.uint8)
        x, y = left + part.x, top + part.y
        yield DrawnShape((x, y, x + part.width, y + part.height), part.shape, colour, own)
