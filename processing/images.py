"""Pictures as people have them, made into RGB."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

# What undoes each orientation of EXIF.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
GREY_BITS = {"L;2": 2, "L;4": 4}  # what PNG files with fewer bits than a byte are decoded from


def load_image(image: Any) -> Image.Image:
    """An RGB picture from a PIL image, an array, a file or its bytes, as a person would see it.

    It is turned as its EXIF data says (broken EXIF data says nothing), transparency is laid on white, 16 bits are cut
    to their upper 8, and of an animation the first frame is taken; of a PIL image, the frame it stands at. Colour
    profiles (ICC) are not applied. Pillow's warnings are not shown: a picture between the size it warns about and
    twice that, which it refuses, is loaded like any other.

    Args:
        image: a `PIL.Image.Image`, a uint8 array (H, W), (H, W, 3) or (H, W, 4), the path of an image file, or the
            content of one as bytes.

    Returns:
        A picture of mode RGB; a copy, without EXIF and other data beside the pixels.

    Raises:
        FileNotFoundError: no file at the path.
        TypeError: something that is no picture.
        ValueError: a file, bytes or a PIL image that no picture can be read from, whatever the reason, which is told
            with the path; an array of another shape or type; numbers without a known range of brightness.
    """
    if isinstance(image, np.ndarray):
        return _to_rgb(_from_array(image))
    if isinstance(image, Image.Image):
        with _decoding(str(getattr(image, "filename", "") or f"the PIL image of mode {image.mode}")):
            return _to_rgb(image)
    if isinstance(image, bytes):
        with _decoding(f"{len(image)} bytes"):
            return _read(io.BytesIO(image), len(image))
    if not isinstance(image, (str, os.PathLike)):
        raise TypeError(
            "An image must be a PIL image, a uint8 array or a path, or the bytes of an image file, "
            f"got {type(image).__name__}."
        )
    with _decoding(str(image)):
        path = Path(image)
        status = path.stat()
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("it is a folder" if path.is_dir() else "it is no ordinary file")
        return _read(path, status.st_size)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Whatever goes wrong inside is raised as a ValueError with name and reason, but for a file that is not there."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no image file {name}.") from error
    except Exception as error:  # Pillow's decoders raise whatever broken bytes lead to, struct.error and IndexError too
        raise ValueError(f"No image can be read from {name}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "Pillow knows no picture format that begins like this, or its beginning is broken"
    if isinstance(error, Image.DecompressionBombError):
        return f"{str(error).removesuffix('.')}. Shrink it, or, if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (OSError, ValueError)) and str(error):
        return str(error).removesuffix(".")
    return f"its content is broken ({type(error).__name__}: {error})"


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(
            f"An image array must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), got {array.dtype} {array.shape}."
        )
    if 0 in array.shape:
        raise ValueError(f"An image array must hold pixels, got the shape {array.shape}.")
    return Image.fromarray(array)


def _read(file: Path | io.BytesIO, size: int) -> Image.Image:
    if not size:
        raise ValueError("it is empty")
    with Image.open(file) as opened:
        return _to_rgb(opened)


def _to_rgb(image: Image.Image) -> Image.Image:
    if 0 in image.size:
        raise ValueError(f"it holds no pixels, its size is {image.width} x {image.height}")
    tiles = getattr(image, "tile", None)  # what is to be decoded; gone after loading
    decoded_from = tiles[0].args if tiles else None
    image.load()
    picture = _flat(_to_eight_bits(image, decoded_from))
    picture.info.clear()  # an orientation that was followed must not be followed again
    turn = _turn(image)
    return picture if turn is None else picture.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as many kinds as for pixels, and no reason to refuse those
        return None


def _to_eight_bits(image: Image.Image, decoded_from: Any) -> Image.Image:
    """The picture with 8 bits or 1 in each channel, and `info["transparency"]` in the same measure as the pixels."""
    transparency = image.info.get("transparency")
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        pixels = np.asarray(image)  # converting would cut off all above 255
        grey = Image.fromarray((pixels >> 8).astype(np.uint8))
        if isinstance(transparency, int):
            grey.putalpha(Image.fromarray(np.where(pixels == transparency, 0, 255).astype(np.uint8)))
        return grey
    if image.mode in ("I", "F"):
        raise ValueError(f"a picture of mode {image.mode} has no known range of brightness: scale it to 0..255 first")
    if image.mode == "La":
        return image.convert("LA")
    # Of pixels that Pillow scales to bytes, it leaves the transparent value as it was.
    if decoded_from == "RGB;16B" and isinstance(transparency, tuple):
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in transparency)
    elif decoded_from in GREY_BITS and isinstance(transparency, int):
        image = image.copy()
        image.info["transparency"] = transparency * 255 // (2 ** GREY_BITS[decoded_from] - 1)
    return image


def _flat(image: Image.Image) -> Image.Image:
    """RGB, on white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
