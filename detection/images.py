"""Pictures as people have them, made into RGB."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def load_image(image: Any) -> Image.Image:
    """An RGB picture from a PIL image, an array or a path: turned as its EXIF data says, alpha laid on white.

    Args:
        image: a `PIL.Image.Image`, a uint8 array (H, W), (H, W, 3) or (H, W, 4), or the path of an image file.

    Raises:
        FileNotFoundError: no file at the path.
        TypeError: something that is no picture.
        ValueError: a file that no picture can be read from, or an array of another shape or type.
    """
    if isinstance(image, Image.Image):
        return _to_rgb(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
            raise ValueError(
                "An image array must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), "
                f"got {image.dtype} {image.shape}."
            )
        if 0 in image.shape:
            raise ValueError(f"An image array must hold pixels, got the shape {image.shape}.")
        return _to_rgb(Image.fromarray(image))
    if not isinstance(image, (str, Path)):
        raise TypeError(f"An image must be a PIL image, a uint8 array or a path, got {type(image).__name__}.")
    try:
        with Image.open(image) as opened:
            return _to_rgb(opened)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no image file {image}.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"No image can be read from {image}: {error}.") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # 16 bits of grey; converting would cut off all above 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"An image of mode {image.mode} has no known range of brightness: scale it to 0..255 first.")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(background, image).convert("RGB")
    return image.convert("RGB")
