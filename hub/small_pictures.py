"""Example pictures as they are shown to others."""

from pathlib import Path

from PIL import Image

from lxmert.processing.images import load_image

LONGEST_SIDE = 640  # pixels


def small_copy(source: str | Path, target: Path) -> Path:
    """Write a picture as a small PNG: the pixels, and nothing of where and when it was taken.

    Raises:
        FileNotFoundError, TypeError, ValueError: see `load_image`.
    """
    picture = load_image(source)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, format="PNG", optimize=True)
    return target
