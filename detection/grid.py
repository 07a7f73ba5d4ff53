"""Regions without a detector: the cells of a grid, and the whole image."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import AutoBackbone, AutoConfig, AutoImageProcessor

from lxmert.detection.pixels import PIXEL_MEAN, PIXEL_STANDARD_DEVIATION, check_channels, crop_features
from lxmert.processing.images import load_image
from lxmert.processing.region_extractor import ImageInput, RegionExtractor, check_whole_numbers, nameless
from lxmert.processing.regions import Regions


class GridRegionExtractor(RegionExtractor):
    """Cuts an image into rows x columns cells and adds the whole image.

    Features are raw pixels (each cell resized and standardised), or, with a backbone, its last feature map averaged
    over each cell. For a backbone the picture is brought to its image processor's size without keeping its shape and
    without cropping: the feature map then covers all of it, and each cell's features belong to its box.

    Args:
        rows: cells from top to bottom.
        columns: cells from left to right.
        crop_size: raw pixels only: side of a resized cell; features have 3 * crop_size ** 2 numbers.
        mean: raw pixels only: subtracted from each channel's pixel values in [0, 1].
        standard_deviation: raw pixels only: each channel is divided by it.
        backbone: an image backbone of transformers (`AutoBackbone`: ResNet, Swin, DINOv2, ...), its name on the Hub
            or its folder.
        image_processor: the backbone's image processor; found by the backbone's name if left out.

    Raises:
        ValueError: settings out of range, or a backbone object without its image processor.

    Example:
        >>> GridRegionExtractor(rows=1, columns=2)(Image.new("RGB", (40, 20)))[0].boxes.tolist()
        [[0.0, 0.0, 20.0, 20.0], [20.0, 0.0, 40.0, 20.0], [0.0, 0.0, 40.0, 20.0]]
    """

    def __init__(
        self,
        rows: int = 8,
        columns: int = 8,
        crop_size: int = 8,
        mean: Sequence[float] = PIXEL_MEAN,
        standard_deviation: Sequence[float] = PIXEL_STANDARD_DEVIATION,
        backbone: Any = None,
        image_processor: Any | None = None,
    ):
        check_whole_numbers(rows=rows, columns=columns, crop_size=crop_size)
        self.rows = rows
        self.columns = columns
        self.crop_size = crop_size
        self.mean = check_channels("mean", mean)
        self.standard_deviation = check_channels("standard_deviation", standard_deviation, positive=True)
        # Only what was given by name alone can be found again by name.
        self.backbone_name = backbone if isinstance(backbone, str) and image_processor is None else None
        if isinstance(backbone, str):
            image_processor = image_processor or AutoImageProcessor.from_pretrained(backbone)
            backbone = _load_backbone(backbone)
        elif backbone is not None and image_processor is None:
            raise ValueError("backbone needs its image_processor: pass it too, or give the backbone by name.")
        self.backbone = backbone
        if self.backbone is not None:
            self.backbone.eval()
        self.image_processor = image_processor

    @property
    def feature_dim(self) -> int:
        """3 * crop_size ** 2, or the channels of the backbone's last feature map."""
        return 3 * self.crop_size**2 if self.backbone is None else self.backbone.channels[-1]

    def to(self, device: str | torch.device) -> Self:
        """This extractor, its backbone (if it has one) on the device."""
        if self.backbone is not None:
            self.backbone.to(device)
        return self

    def settings(self) -> dict[str, Any]:
        """The constructor's keywords; a backbone by its name.

        Raises:
            ValueError: a backbone that was given as an object and has no name to be found by.
        """
        settings: dict[str, Any] = {"rows": self.rows, "columns": self.columns}
        if self.backbone is None:
            pixels = {"mean": list(self.mean), "standard_deviation": list(self.standard_deviation)}
            return settings | {"crop_size": self.crop_size} | pixels
        if not self.backbone_name:
            raise nameless("backbone")
        return settings | {"backbone": self.backbone_name}

    def prepare(self, image: ImageInput) -> Image.Image:
        """The picture as RGB."""
        return load_image(image)

    def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
        """The regions of each image: its cells row by row, then the whole image."""
        return [self._extract(image) for image in prepared]

    def _extract(self, image: Image.Image) -> Regions:
        width, height = image.size
        boxes = grid_boxes(self.rows, self.columns, width, height)
        if self.backbone is None:
            features = crop_features(image, boxes, self.crop_size, self.mean, self.standard_deviation)
        else:
            features = self._backbone_features(image)
        return Regions(features=features, boxes=np.array(boxes), image_size=(height, width))

    @torch.inference_mode()
    def _backbone_features(self, image: Image.Image) -> np.ndarray:
        assert self.backbone is not None
        assert self.image_processor is not None
        # The whole picture must fill the feature map, or its cells would not lie where their boxes say.
        if getattr(self.image_processor, "do_resize", False):
            image = image.resize(_target_size(self.image_processor), Image.Resampling.BILINEAR)
        geometry = ("do_resize", "do_center_crop", "do_pad")
        switched_off = {name: False for name in geometry if getattr(self.image_processor, name, None)}
        pixel_values = self.image_processor(images=image, return_tensors="pt", **switched_off)["pixel_values"]
        pixel_values = pixel_values.to(self.backbone.device, self.backbone.dtype)
        feature_map = self.backbone(pixel_values).feature_maps[-1]  # (1, D, h, w)
        cells = F.adaptive_avg_pool2d(feature_map, (self.rows, self.columns)).flatten(2)  # (1, D, rows * columns)
        whole = feature_map.mean(dim=(2, 3)).unsqueeze(2)  # (1, D, 1)
        return torch.cat([cells, whole], dim=2)[0].T.float().cpu().numpy()


def _load_backbone(name: str) -> Any:
    """`AutoBackbone.from_pretrained`, which asks the Hub even about a folder, without that question."""
    with torch.device("meta"):
        backbone_class = type(AutoBackbone.from_config(AutoConfig.from_pretrained(name)))
    return backbone_class.from_pretrained(name)


def _target_size(image_processor: Any) -> tuple[int, int]:
    """(width, height) in pixels that an image processor brings pictures to; its shortest edge makes a square."""
    cropped = getattr(image_processor, "crop_size", None) if getattr(image_processor, "do_center_crop", False) else None
    size = dict(cropped or image_processor.size)
    if size.get("height") and size.get("width"):
        return size["width"], size["height"]
    side = size.get("shortest_edge") or 224
    return side, side


def grid_boxes(rows: int, columns: int, width: int, height: int) -> list[tuple[float, float, float, float]]:
    """Boxes x1, y1, x2, y2 in pixels of the cells, row by row, then of the whole image."""
    ys = [height * row / rows for row in range(rows + 1)]
    xs = [width * column / columns for column in range(columns + 1)]
    cells = [(xs[j], ys[i], xs[j + 1], ys[i + 1]) for i in range(rows) for j in range(columns)]
    return [*cells, (0.0, 0.0, float(width), float(height))]
