"""What is in a drawn picture."""

from pathlib import Path

import numpy as np
from PIL import Image


def pixels_of(path: Path) -> np.ndarray:
    """(H, W, 3), whole numbers of 0 to 255."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def colour_share(pixels: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Share of the pixels that have nearly this colour."""
    return float((np.abs(pixels - colour).max(axis=2) <= 8).mean())
