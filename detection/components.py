"""Regions of drawings: connected components of one colour."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from lxmert.detection.pixels import PIXEL_MEAN, PIXEL_STANDARD_DEVIATION, check_channels, crop_features
from lxmert.processing.images import load_image
from lxmert.processing.region_extractor import ImageInput, RegionExtractor, check_whole_numbers
from lxmert.processing.regions import Regions

PixelBox = tuple[int, int, int, int]


class ComponentRegionExtractor(RegionExtractor):
    """Finds the shapes of a drawing: connected pixels of one colour, and the whole image.

    The most frequent colour along the border is the background. Anti-aliasing mixes colours along edges: pixels
    within `colour_tolerance` of a shape's colour belong to it, and what is left in mixed colours is smaller than
    `minimum_area` or thinner than `minimum_thickness`. A region's features are its crop, resized and standardised;
    where it was, its box tells.

    Args:
        crop_size: side of the resized crops in pixels; features have 3 * crop_size ** 2 numbers.
        colour_tolerance: largest difference in any channel (0..255) between pixels of one colour.
        minimum_area: smallest component in pixels.
        minimum_thickness: side in pixels of a square that must fit into a component somewhere; 1 keeps thin lines.
        maximum_regions: keep the largest components, the whole image counted as one region.
        margin: pixels around a component that its crop shows beside it; its box stays tight.
        mean: subtracted from each channel's pixel values in [0, 1].
        standard_deviation: each channel is divided by it.

    Raises:
        ValueError: settings out of range.

    Example:
        >>> drawing = Image.new("RGB", (32, 32), "white")
        >>> drawing.paste("red", (4, 8, 14, 20))
        >>> ComponentRegionExtractor()(drawing)[0].boxes.tolist()
        [[4.0, 8.0, 14.0, 20.0], [0.0, 0.0, 32.0, 32.0]]
    """

    def __init__(
        self,
        crop_size: int = 8,
        colour_tolerance: int = 32,
        minimum_area: int = 12,
        minimum_thickness: int = 3,
        maximum_regions: int = 36,
        margin: int = 1,
        mean: Sequence[float] = PIXEL_MEAN,
        standard_deviation: Sequence[float] = PIXEL_STANDARD_DEVIATION,
    ):
        check_whole_numbers(
            crop_size=crop_size,
            minimum_area=minimum_area,
            minimum_thickness=minimum_thickness,
            maximum_regions=maximum_regions,
        )
        check_whole_numbers(0, colour_tolerance=colour_tolerance, margin=margin)
        self.crop_size = crop_size
        self.colour_tolerance = colour_tolerance
        self.minimum_area = minimum_area
        self.minimum_thickness = minimum_thickness
        self.maximum_regions = maximum_regions
        self.margin = margin
        self.mean = check_channels("mean", mean)
        self.standard_deviation = check_channels("standard_deviation", standard_deviation, positive=True)

    @property
    def feature_dim(self) -> int:
        """3 * crop_size ** 2."""
        return 3 * self.crop_size**2

    def settings(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return {
            "crop_size": self.crop_size,
            "colour_tolerance": self.colour_tolerance,
            "minimum_area": self.minimum_area,
            "minimum_thickness": self.minimum_thickness,
            "maximum_regions": self.maximum_regions,
            "margin": self.margin,
            "mean": list(self.mean),
            "standard_deviation": list(self.standard_deviation),
        }

    def prepare(self, image: ImageInput) -> Image.Image:
        """The picture as RGB."""
        return load_image(image)

    def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
        """The regions of each drawing: its components, largest first, then the whole image."""
        return [self._extract(image) for image in prepared]

    def _extract(self, image: Image.Image) -> Regions:
        width, height = image.size
        boxes = find_components(np.asarray(image), self.colour_tolerance, self.minimum_area, self.minimum_thickness)
        boxes = [*boxes[: self.maximum_regions - 1], (0, 0, width, height)]
        crops = [
            (
                max(x1 - self.margin, 0),
                max(y1 - self.margin, 0),
                min(x2 + self.margin, width),
                min(y2 + self.margin, height),
            )
            for x1, y1, x2, y2 in boxes
        ]
        features = crop_features(image, crops, self.crop_size, self.mean, self.standard_deviation)
        return Regions(features=features, boxes=np.array(boxes), image_size=(height, width))


def find_components(
    pixels: np.ndarray, colour_tolerance: int, minimum_area: int, minimum_thickness: int
) -> list[PixelBox]:
    """Boxes x1, y1, x2, y2 (pixels, x2 and y2 exclusive) of the connected components of one colour, largest first.

    Colours are taken from the most to the least frequent; each claims the unclaimed pixels near it. The border's
    most frequent colour, the background, gives no component.

    Args:
        pixels: (H, W, 3), uint8.
        colour_tolerance: largest difference in any channel between a pixel and its colour.
        minimum_area: smallest component in pixels.
        minimum_thickness: side in pixels of a square that must fit into a component somewhere.
    """
    codes = pixels.astype(np.int32) @ np.array([65536, 256, 1])  # (H, W), one number for each colour
    border = np.concatenate([codes[0], codes[-1], codes[:, 0], codes[:, -1]])
    # A photograph has so many colours that comparing all pixels with each takes minutes: colours are compared instead.
    values, numbers, counts = np.unique(codes, return_inverse=True, return_counts=True)
    colours = np.stack([values >> 16, values >> 8 & 255, values & 255]).astype(np.int16)  # (3, number of colours)
    free = np.flatnonzero(~_near(colours, _channels(_most_frequent(border)), colour_tolerance))
    order = free[np.argsort(-counts[free], kind="stable")]
    free_colours, area = colours[:, free], counts[free].sum()

    found: list[tuple[int, PixelBox]] = []
    for colour in colours[:, order].T:
        if area < minimum_area:
            break
        near = _near(free_colours, colour, colour_tolerance)
        if not near.any():
            continue
        claimed, free, free_colours = free[near], free[~near], free_colours[:, ~near]
        claimed_area = counts[claimed].sum()
        area -= claimed_area
        if claimed_area >= minimum_area:
            chosen = np.zeros(len(values), dtype=bool)
            chosen[claimed] = True
            found.extend(_thick_components(chosen[numbers], minimum_area, minimum_thickness))
    return [box for _, box in sorted(found, key=lambda item: -item[0])]


def _thick_components(claimed: np.ndarray, minimum_area: int, minimum_thickness: int) -> Iterator[tuple[int, PixelBox]]:
    """Area and box of the connected components of pixels (H, W)."""
    thick = claimed  # (H - t + 1, W - t + 1), whether a square of side t that has its upper left corner there fits
    for axis in (0, 1):
        size = thick.shape[axis] - minimum_thickness + 1
        if size < 1:
            return
        shifts = [thick.take(range(i, i + size), axis) for i in range(minimum_thickness)]
        thick = np.logical_and.reduce(shifts)
    if not thick.any():
        return
    labels, _ = ndimage.label(claimed, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    slices = ndimage.find_objects(labels)
    for label in np.unique(labels[: thick.shape[0], : thick.shape[1]][thick]):
        rows, columns = slices[label - 1]
        if areas[label] >= minimum_area:
            yield int(areas[label]), (columns.start, rows.start, columns.stop, rows.stop)


def _most_frequent(codes: np.ndarray) -> int:
    values, counts = np.unique(codes, return_counts=True)
    return int(values[counts.argmax()])


def _channels(code: int) -> np.ndarray:
    return np.array([code >> 16, code >> 8 & 255, code & 255], dtype=np.int16)


def _near(colours: np.ndarray, colour: np.ndarray, tolerance: int) -> np.ndarray:
    return (np.abs(colours - colour[:, None]) <= tolerance).all(axis=0)
