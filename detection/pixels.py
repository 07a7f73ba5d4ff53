"""Features straight from pixels: a crop, resized and standardised."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

# Puts 0..255 on -2..2: symmetric, so that dark and bright colours weigh the same.
PIXEL_MEAN = (0.5, 0.5, 0.5)
PIXEL_STANDARD_DEVIATION = (0.25, 0.25, 0.25)


def crop_features(
    image: Image.Image,
    boxes: Sequence[tuple[float, float, float, float]],
    size: int,
    mean: Sequence[float],
    standard_deviation: Sequence[float],
) -> np.ndarray:
    """Each box's pixels, resized to size x size and standardised, as one vector.

    Without standardisation nothing is learned: layer normalisation sees the crops' common brightness only.

    Args:
        image: an RGB picture.
        boxes: x1, y1, x2, y2 in pixels, R of them.
        size: side of the resized crop in pixels.
        mean: of each channel, pixel values in [0, 1].
        standard_deviation: of each channel, pixel values in [0, 1].

    Returns:
        (R, size * size * 3), float32, row by row, the channels of a pixel side by side.
    """
    crops = np.stack([np.asarray(_resized(image, box, size), dtype=np.float32) for box in boxes])  # (R, size, size, 3)
    standardised = (crops / 255 - np.asarray(mean, np.float32)) / np.asarray(standard_deviation, np.float32)
    return standardised.reshape(len(boxes), -1)


def _resized(image: Image.Image, box: tuple[float, float, float, float], size: int) -> Image.Image:
    # Cropped first: the filter would otherwise mix in what lies around the box.
    left, top = math.floor(box[0]), math.floor(box[1])
    crop = image.crop((left, top, math.ceil(box[2]), math.ceil(box[3])))
    inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return crop.resize((size, size), Image.Resampling.BILINEAR, box=inner)


def check_channels(name: str, values: Sequence[float], positive: bool = False) -> tuple[float, float, float]:
    """Three numbers, one for each of R, G and B.

    Raises:
        ValueError: another count, or a number that must be positive and is not.
    """
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3 or (positive and min(numbers) <= 0):
        raise ValueError(f"{name} must be three {'positive ' if positive else ''}numbers for R, G, B, got {values!r}.")
    return numbers[0], numbers[1], numbers[2]
