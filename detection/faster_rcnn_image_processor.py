"""From a picture to what the Faster R-CNN takes. The one place where RGB becomes BGR."""

import math
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from lxmert.configuration.detectron import LOADER_KEYWORDS, find_original_config, image_processor_fields
from lxmert.configuration.plain_errors import refuse_misspelt, unknown_keywords_message
from lxmert.processing.images import load_image
from lxmert.processing.region_extractor import ImageInput, as_image_list

SETTINGS = frozenset({"shorter_side", "longer_side", "pixel_mean", "antialias"})
CAFFE_PIXEL_MEAN = (102.9801, 115.9465, 122.7717)


class FasterRcnnImageProcessor(BaseImageProcessor):
    """Resizes pictures, turns RGB into BGR, and subtracts the mean; pixel values stay on the scale of 0..255.

    Args:
        shorter_side: pixels that the shorter side is brought to; 800 and 1333 with the Hub's checkpoint, 600 and 1000
            in the Caffe code of bottom-up attention.
        longer_side: pixels that the longer side may not pass; a long picture becomes smaller instead.
        pixel_mean: of blue, green and red, on the scale of 0..255.
        antialias: False interpolates between the nearest four pixels, as Caffe and the Hub's port do, so that features
            match published ones. True averages over all pixels that a new one covers, as Pillow and Detectron2 do;
            values differ by up to 51 of 255 when a picture shrinks.

    Raises:
        TypeError: an unknown keyword.
        ValueError: sizes below 1 or in the wrong order, or a mean that is not three numbers.

    Example:
        >>> prepared = FasterRcnnImageProcessor(shorter_side=8, longer_side=16)(Image.new("RGB", (4, 2), "red"))
        >>> prepared["image_sizes"].tolist(), prepared["pixel_values"][0, :, 0, 0].round().tolist()
        ([[8, 16]], [-103.0, -116.0, 132.0])
    """

    model_input_names = ["pixel_values", "image_sizes", "scales_yx"]

    def __init__(
        self,
        shorter_side: int = 800,
        longer_side: int = 1333,
        pixel_mean: Sequence[float] = CAFFE_PIXEL_MEAN,
        antialias: bool = False,
        **kwargs: Any,
    ):
        saved = {"image_processor_type", "processor_class", "feature_extractor_type", "auto_map", "_commit_hash"}
        if unknown := kwargs.keys() - saved:
            raise TypeError(unknown_keywords_message("FasterRcnnImageProcessor", unknown, SETTINGS) + ".")
        super().__init__(**kwargs)
        for name, value in (("shorter_side", shorter_side), ("longer_side", longer_side)):
            if not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number of pixels, got {value!r}.")
        if not isinstance(antialias, bool):
            raise TypeError(f"antialias must be True or False, got {antialias!r}.")
        if not 1 <= shorter_side <= longer_side:
            raise ValueError(f"1 <= shorter_side <= longer_side must hold, got {shorter_side} and {longer_side}.")
        if len(pixel_mean) != 3 or not all(math.isfinite(value) for value in pixel_mean):
            raise ValueError(f"pixel_mean must be three numbers for B, G, R, got {pixel_mean!r}.")
        self.shorter_side = shorter_side
        self.longer_side = longer_side
        self.pixel_mean = [float(value) for value in pixel_mean]
        self.antialias = antialias

    def __call__(
        self, images: ImageInput | Sequence[ImageInput], return_tensors: Literal["pt", "np"] = "pt"
    ) -> BatchFeature:
        """Prepare pictures for `FasterRcnnForRegionFeatures`.

        Args:
            images: B pictures (PIL, array or path), or one.
            return_tensors: "pt" for PyTorch, "np" for numpy.

        Returns:
            `pixel_values` (B, 3, H, W), float32, filled up with zeros at the right and bottom; `image_sizes` (B, 2),
            int64, height and width that each picture takes of it; `scales_yx` (B, 2), float32, original size / that.
        """
        pictures = [load_image(image) for image in as_image_list(images)]
        if not pictures:
            raise ValueError("images is an empty list.")
        prepared = [self.prepare(picture) for picture in pictures]
        sizes = [(picture.height, picture.width) for picture in pictures]
        return BatchFeature(pad_prepared(prepared, sizes), tensor_type=return_tensors)

    preprocess = __call__

    def prepare(self, picture: Image.Image) -> torch.Tensor:
        """(3, h, w), one picture resized, as BGR, minus the mean."""
        if picture.mode != "RGB":
            picture = load_image(picture)
        size = resized_size(picture.height, picture.width, self.shorter_side, self.longer_side)
        if self.antialias:
            picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        blue_green_red = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1].transpose(2, 0, 1))
        pixels = torch.from_numpy(blue_green_red).float()  # (3, H, W)
        if not self.antialias:
            pixels = F.interpolate(pixels[None], size=size, mode="bilinear", align_corners=False)[0]
        return pixels - torch.tensor(self.pixel_mean)[:, None, None]

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """An image processor from the content of its file; `kwargs` override it and are checked like it.

        Raises:
            TypeError: a keyword that is nearly one of the settings, or as the constructor.
            ValueError: as the constructor.
        """
        overrides = {name: kwargs.pop(name) for name in SETTINGS & kwargs.keys()}
        refuse_misspelt(cls.__name__, kwargs, SETTINGS)
        return super().from_dict(image_processor_dict | overrides, **kwargs)

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The content of preprocessor_config.json or, where there is none, of the original's config.yaml."""
        original = find_original_config(pretrained_model_name_or_path, "preprocessor_config.json", kwargs)
        if original is None:
            return super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)
        return image_processor_fields(original), {k: v for k, v in kwargs.items() if k not in LOADER_KEYWORDS}


def resized_size(height: int, width: int, shorter_side: int, longer_side: int) -> tuple[int, int]:
    """(height, width) of a picture whose shorter side becomes `shorter_side`, unless the longer passes its limit."""
    scale = shorter_side / min(height, width)
    new: tuple[float, float] = (shorter_side, scale * width) if height < width else (scale * height, shorter_side)
    if max(new) > longer_side:
        shrink = longer_side / max(new)
        new = (new[0] * shrink, new[1] * shrink)
    return max(int(new[0] + 0.5), 1), max(int(new[1] + 0.5), 1)


def pad_prepared(
    prepared: Sequence[torch.Tensor], original_sizes: Sequence[tuple[int, int]]
) -> dict[str, torch.Tensor]:
    """Prepared pictures (3, h, w) of different sizes as one batch, with what the model must know of each.

    Args:
        prepared: B pictures.
        original_sizes: their B sizes (height, width) before they were resized.

    Returns:
        What `FasterRcnnImageProcessor` returns.
    """
    sizes = torch.tensor([tuple(pixels.shape[1:]) for pixels in prepared])  # (B, 2)
    height, width = sizes.amax(dim=0).tolist()
    pixel_values = torch.zeros(len(prepared), 3, height, width)
    for row, pixels in zip(pixel_values, prepared, strict=True):
        row[:, : pixels.shape[1], : pixels.shape[2]] = pixels
    return {
        "pixel_values": pixel_values,
        "image_sizes": sizes,
        "scales_yx": torch.tensor(original_sizes, dtype=torch.float32) / sizes,
    }
