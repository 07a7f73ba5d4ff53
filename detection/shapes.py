"""Regions of drawings with labels: which shape and which colour, as a detector would say."""

from dataclasses import replace

import numpy as np
from PIL import Image

from lxmert.detection.components import ComponentRegionExtractor
from lxmert.processing.regions import Regions

# Share of its box that an upright shape fills.
SHAPES = {"rectangle": 1.0, "circle": np.pi / 4, "triangle": 0.5}
# Some colours have several anchors: drawings mean many things by green and blue.
COLOUR_ANCHORS = (
    ("black", (0, 0, 0)),
    ("white", (255, 255, 255)),
    ("gray", (128, 128, 128)),
    ("red", (255, 0, 0)),
    ("green", (0, 255, 0)),
    ("green", (0, 128, 0)),
    ("blue", (0, 0, 255)),
    ("blue", (0, 153, 255)),
    ("yellow", (255, 255, 0)),
    ("teal", (0, 128, 128)),
    ("brown", (165, 42, 42)),
    ("orange", (255, 165, 0)),
    ("purple", (128, 0, 128)),
    ("pink", (255, 192, 203)),
)
COLOURS = tuple(dict.fromkeys(name for name, _ in COLOUR_ANCHORS))
NO_LABEL = -1


class ShapeRegionExtractor(ComponentRegionExtractor):
    """`ComponentRegionExtractor` with labels from rules: `object_ids` in `object_names`, `attribute_ids` in
    `attribute_names`.

    A shape is told by the share of its box that it fills, a colour by the nearest of a few named ones. The region of
    the whole image has no label (-1). Rules are sure of themselves: there are no scores.

    Args:
        As `ComponentRegionExtractor`.

    Example:
        >>> drawing = Image.new("RGB", (32, 32), "white")
        >>> drawing.paste("red", (4, 8, 14, 20))
        >>> ShapeRegionExtractor()(drawing)[0].describe(0)
        'red rectangle'
    """

    object_names = tuple(SHAPES)
    attribute_names = COLOURS

    def _extract(self, image: Image.Image) -> Regions:
        regions = super()._extract(image)
        pixels = np.asarray(image)
        labels = [self._label(pixels[y1:y2, x1:x2]) for x1, y1, x2, y2 in regions.boxes[:-1].astype(int)]
        labels.append((NO_LABEL, NO_LABEL))  # the whole image, always last
        shapes, colours = zip(*labels, strict=True)
        return replace(
            regions,
            object_ids=np.array(shapes),
            attribute_ids=np.array(colours),
            object_names=self.object_names,
            attribute_names=self.attribute_names,
        )

    def _label(self, crop: np.ndarray) -> tuple[int, int]:
        """Shape and colour of the component that fills this crop (h, w, 3)."""
        # The middle belongs to the shape: rectangles, circles and triangles are convex.
        height, width = crop.shape[:2]
        middle = crop[height // 4 : height - height // 4, width // 3 : width - width // 3].reshape(-1, 3)
        colour = np.median(middle, axis=0)  # (3,)
        filled = (np.abs(crop - colour) <= self.colour_tolerance).all(axis=2).mean()
        shape = np.abs(np.array(list(SHAPES.values())) - filled).argmin()
        distances = [np.sum((colour - np.array(anchor)) ** 2) for _, anchor in COLOUR_ANCHORS]
        return int(shape), COLOURS.index(COLOUR_ANCHORS[int(np.argmin(distances))][0])
