"""Regions of drawings whose shapes lie in boxes, such as the pictures of NLVR v1."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from lxmert.detection.drawn_shapes import DrawnShape, find_drawn_shapes
from lxmert.detection.panels import find_panels, ground_colour
from lxmert.detection.pixels import PIXEL_MEAN, PIXEL_STANDARD_DEVIATION, check_channels, crop_features
from lxmert.detection.shape_matching import SHAPES
from lxmert.detection.shapes import COLOUR_ANCHORS, COLOURS, NO_LABEL
from lxmert.processing.images import load_image
from lxmert.processing.region_extractor import ImageInput, RegionExtractor, check_whole_numbers
from lxmert.processing.regions import Regions

BOX = "box"


class DrawnBoxesRegionExtractor(RegionExtractor):
    """Finds the boxes of a drawing, and in each its squares, circles and triangles.

    Boxes are light panels on a darker ground, of any number and size; a picture without them is one box. Regions are
    those of each box from left to right: its shapes, from top to bottom and then from left to right, and behind them
    the box itself. Shapes of one colour that touch are told apart; of shapes that overlap, what is seen is one region.

    A region's features are its own appearance: its crop, resized and standardised, in which all that is not the
    shape's own has the box's ground colour, and behind it its width and height divided by the box's. A box shows its
    ground alone. Labels are `object_ids` in `object_names` (square, circle, triangle, box; -1 for another shape) and
    `attribute_ids` in `attribute_names`, the nearest of a few named colours (-1 for boxes).

    Args:
        crop_size: side of the resized crops in pixels; features have 3 * crop_size ** 2 + 2 numbers.
        colour_tolerance: largest difference in any channel (0..255) between pixels of one colour.
        minimum_area: smallest shape in pixels.
        minimum_thickness: side in pixels of a square that must fit into a shape somewhere; 1 keeps thin lines.
        maximum_regions: keep the boxes and the largest shapes; of more boxes, the first.
        panel_share: smallest share of the picture, in (0, 1], that boxes cover together: less are light shapes.
        mean: subtracted from each channel's pixel values in [0, 1].
        standard_deviation: each channel is divided by it.

    Raises:
        ValueError: settings out of range.

    Example:
        >>> drawing = Image.new("RGB", (90, 40), "gray")
        >>> drawing.paste("white", (0, 0, 40, 40))
        >>> drawing.paste("white", (50, 0, 90, 40))
        >>> drawing.paste("blue", (60, 10, 70, 20))
        >>> regions = DrawnBoxesRegionExtractor()(drawing)[0]
        >>> [regions.describe(i) for i in range(3)], regions.boxes[1].tolist()
        (['box', 'blue square', 'box'], [60.0, 10.0, 70.0, 20.0])
    """

    object_names = (*SHAPES, BOX)
    attribute_names = COLOURS

    def __init__(
        self,
        crop_size: int = 8,
        colour_tolerance: int = 32,
        minimum_area: int = 12,
        minimum_thickness: int = 3,
        maximum_regions: int = 36,
        panel_share: float = 0.5,
        mean: Sequence[float] = PIXEL_MEAN,
        standard_deviation: Sequence[float] = PIXEL_STANDARD_DEVIATION,
    ):
        check_whole_numbers(
            crop_size=crop_size,
            minimum_area=minimum_area,
            minimum_thickness=minimum_thickness,
            maximum_regions=maximum_regions,
        )
        check_whole_numbers(0, colour_tolerance=colour_tolerance)
        if isinstance(panel_share, bool) or not isinstance(panel_share, (int, float)) or not 0 < panel_share <= 1:
            raise ValueError(f"panel_share must be a number in (0, 1], got {panel_share!r}.")
        self.crop_size = crop_size
        self.colour_tolerance = colour_tolerance
        self.minimum_area = minimum_area
        self.minimum_thickness = minimum_thickness
        self.maximum_regions = maximum_regions
        self.panel_share = float(panel_share)
        self.mean = check_channels("mean", mean)
        self.standard_deviation = check_channels("standard_deviation", standard_deviation, positive=True)

    @property
    def feature_dim(self) -> int:
        """3 * crop_size ** 2 + 2."""
        return 3 * self.crop_size**2 + 2

    def settings(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return {
            "crop_size": self.crop_size,
            "colour_tolerance": self.colour_tolerance,
            "minimum_area": self.minimum_area,
            "minimum_thickness": self.minimum_thickness,
            "maximum_regions": self.maximum_regions,
            "panel_share": self.panel_share,
            "mean": list(self.mean),
            "standard_deviation": list(self.standard_deviation),
        }

    def prepare(self, image: ImageInput) -> Image.Image:
        """The picture as RGB."""
        return load_image(image)

    def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
        """The regions of each drawing."""
        return [self._extract(np.asarray(image)) for image in prepared]

    def _extract(self, pixels: np.ndarray) -> Regions:
        height, width = pixels.shape[:2]
        panels = find_panels(pixels, self.colour_tolerance, self.panel_share)[: self.maximum_regions]
        limits = self.colour_tolerance, self.minimum_area, self.minimum_thickness
        drawn = [find_drawn_shapes(pixels[y1:y2, x1:x2], *limits) for x1, y1, x2, y2 in panels]
        features, boxes, shapes, colours = [], [], [], []
        for panel, inside in zip(panels, self._largest(drawn, self.maximum_regions - len(panels)), strict=True):
            x, y, right, bottom = panel
            for shape in inside:
                x1, y1, x2, y2 = shape.box
                boxes.append((x + x1, y + y1, x + x2, y + y2))
                features.append(self._features(shape.own, (x2 - x1) / (right - x), (y2 - y1) / (bottom - y)))
                shapes.append(NO_LABEL if shape.shape is None else SHAPES.index(shape.shape))
                colours.append(nearest_colour(*shape.colour.tolist()))
            boxes.append(panel)
            ground = ground_colour(pixels[y:bottom, x:right]).astype(np.uint8)
            features.append(self._features(ground[None, None], 1.0, 1.0))
            shapes.append(len(SHAPES))
            colours.append(NO_LABEL)
        return Regions(
            features=np.stack(features),
            boxes=np.array(boxes),
            image_size=(height, width),
            object_ids=np.array(shapes),
            attribute_ids=np.array(colours),
            object_names=self.object_names,
            attribute_names=self.attribute_names,
        )

    def _features(self, own: np.ndarray, width: float, height: float) -> np.ndarray:
        """(D,), float32, from a region's own pixels (h, w, 3) and its size as shares of its box's."""
        box = (0, 0, own.shape[1], own.shape[0])
        crop = crop_features(Image.fromarray(own), [box], self.crop_size, self.mean, self.standard_deviation)
        return np.append(crop[0], np.array([width, height], dtype=np.float32))

    @staticmethod
    def _largest(drawn: list[list[DrawnShape]], count: int) -> list[list[DrawnShape]]:
        """The largest shapes of all boxes together, in the order in which they came."""
        if sum(map(len, drawn)) <= count:
            return drawn
        areas = [[shape.own.shape[0] * shape.own.shape[1] for shape in inside] for inside in drawn]
        places = [(-area, i, j) for i, inside in enumerate(areas) for j, area in enumerate(inside)]
        kept = {(i, j) for _, i, j in sorted(places)[:count]}
        return [[shape for j, shape in enumerate(inside) if (i, j) in kept] for i, inside in enumerate(drawn)]


@lru_cache(maxsize=4096)
def nearest_colour(red: float, green: float, blue: float) -> int:
    """The position in `COLOURS` of the nearest named colour."""
    distances = [(red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2 for _, (r, g, b) in COLOUR_ANCHORS]
    return COLOURS.index(COLOUR_ANCHORS[distances.index(min(distances))][0])
