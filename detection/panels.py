"""Light panels on a darker ground: the boxes that a drawing's shapes lie in."""

import numpy as np
from scipy import ndimage

PixelBox = tuple[int, int, int, int]

SURROUNDS = 8  # colours along the picture's border that are tried as what lies around the panels
SMALLEST_SIDE = 8  # pixels
STRAY = 2  # pixels that noise may stick out of a panel


def find_panels(pixels: np.ndarray, colour_tolerance: int, panel_share: float) -> list[PixelBox]:
    """Boxes x1, y1, x2, y2 (pixels, x2 and y2 exclusive) of the panels, from left to right, then from top to bottom.

    A panel is an upright rectangle in a surround of one colour that is darker than the panel along its edge. Without
    panels, or where they cover less than `panel_share`, the whole picture is the only one.

    Args:
        pixels: (H, W, 3), uint8.
        colour_tolerance: largest difference in any channel between a pixel and its colour.
        panel_share: smallest share of the picture that panels cover together.
    """
    height, width = pixels.shape[:2]
    for colour in _frequent(colour_codes(frame(pixels)), colour_tolerance):
        inside = difference(pixels, colour) > colour_tolerance
        if inside.mean() < panel_share:
            continue
        labels, _ = ndimage.label(inside)
        found = [
            box
            for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1)
            if (box := _rectangle(labels[rows, columns] == number, columns.start, rows.start))
            and _lighter(pixels, box, colour, colour_tolerance)
        ]
        outside = np.ones_like(inside)
        for x1, y1, x2, y2 in found:
            outside[y1:y2, x1:x2] = False
        # Without the second condition all that is around one dark shape would be a panel.
        if outside.mean() <= 1 - panel_share and 2 * inside[outside].sum() < outside.sum():
            return sorted(found)
    return [(0, 0, width, height)]


def ground_colour(pixels: np.ndarray) -> np.ndarray:
    """(3,), int16, the most frequent colour along the edge of a panel (H, W, 3)."""
    values, counts = np.unique(colour_codes(frame(pixels)), return_counts=True)
    return channels(values[counts.argmax()])


def colour_codes(pixels: np.ndarray) -> np.ndarray:
    """(...), int32, one number for each colour (..., 3)."""
    return pixels.astype(np.int32) @ np.array([65536, 256, 1], dtype=np.int32)


def channels(codes: np.ndarray) -> np.ndarray:
    """(..., 3), int16, the colours of the codes (...)."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.int16)


def difference(pixels: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(H, W), int16, by how much the pixels (H, W, 3) differ from a colour (3,) in the channel that differs most."""
    apart = [np.abs(pixels[..., i].astype(np.int16) - colour[i]) for i in range(3)]
    return np.maximum(np.maximum(apart[0], apart[1]), apart[2])


def frame(pixels: np.ndarray) -> np.ndarray:
    """The outermost pixels of (H, W, ...), one after the other."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _frequent(codes: np.ndarray, tolerance: int) -> list[np.ndarray]:
    """The most frequent colours, of those near each other one."""
    values, counts = np.unique(codes, return_counts=True)
    found: list[np.ndarray] = []
    for colour in channels(values[np.argsort(-counts, kind="stable")]):
        if all(np.abs(colour - other).max() > tolerance for other in found):
            found.append(colour)
        if len(found) == SURROUNDS:
            break
    return found


def _rectangle(component: np.ndarray, left: int, top: int) -> PixelBox | None:
    """The box of a component (h, w) whose upper left corner lies there, if it is a rectangle; shapes may bite into it.

    Outer rows and columns that reach over less than half of it are noise, if there are few, and otherwise no
    rectangle's.
    """
    height, width = component.shape
    if min(height, width) < SMALLEST_SIDE:
        return None
    full = []
    for axis in (1, 0):
        reach = _reach(component, axis)
        rows = np.flatnonzero(2 * reach >= reach.max())
        if rows[0] > STRAY or len(reach) - 1 - rows[-1] > STRAY:
            return None
        full.append((int(rows[0]), int(rows[-1]) + 1))
    (y1, y2), (x1, x2) = full
    inner = component[y1:y2, x1:x2]
    if min(edge.mean() for edge in (inner[0], inner[-1], inner[:, 0], inner[:, -1])) < 0.5:
        return None
    return left + x1, top + y1, left + x2, top + y2


def _reach(component: np.ndarray, axis: int) -> np.ndarray:
    """How far the pixels of each row (axis 1) or column (axis 0) reach from the first to the last."""
    length = component.shape[axis]
    first, last = component.argmax(axis), length - np.flip(component, axis).argmax(axis)
    return np.where(component.any(axis), last - first, 0)


def _lighter(pixels: np.ndarray, box: PixelBox, surround: np.ndarray, tolerance: int) -> bool:
    """Whether most of a panel's edge has one colour, lighter than the surround."""
    x1, y1, x2, y2 = box
    panel = pixels[y1:y2, x1:x2]
    ground = ground_colour(panel)
    edge = frame(difference(panel, ground)) <= tolerance
    return bool(ground.sum() > surround.sum() and 2 * edge.sum() > len(edge))
