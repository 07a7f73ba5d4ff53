"""Scenes of NLVR v1 painted as its pictures look, and what a region extractor sees of each kind of object."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from lxmert.detection.shape_matching import coverage
from lxmert.processing.region_extractor import RegionExtractor
from lxmert.training.nlvr import BOX_OFFSETS, COLOURS, IMAGE_SIZE, SHAPES, SIZES, Scene, scene_regions

SURROUND = (128, 128, 128)
GROUND = (211, 211, 211)
BOX_SIDE = 100  # pixels


def draw_scene(scene: Scene, order: Sequence[int] = (0, 1, 2)) -> Image.Image:
    """A scene as NLVR's PNG files show it: anti-aliased shapes on three light boxes.

    Args:
        scene: the objects of each box, a `structured_rep`. Where objects overlap, later ones lie on top.
        order: which of the scene's boxes stands at the left, in the middle and at the right.

    Returns:
        An RGB picture of 400 x 100 pixels.

    Raises:
        ValueError: as `scene_regions`; an object that is not wholly inside its box or not at a whole pixel; an `order`
            in which a box is missing.

    Example:
        >>> scene = [[{"x_loc": 40, "y_loc": 80, "type": "square", "color": "Black", "size": 20}], [], []]
        >>> draw_scene(scene, order=(1, 0, 2)).getpixel((200, 90))
        (0, 0, 0)
    """
    scene_regions("scene", scene)  # refuses what NLVR does not have
    if sorted(order) != list(range(len(BOX_OFFSETS))):
        raise ValueError(f"order must name each of the boxes 0, 1 and 2 once, got {order!r}.")
    picture = Image.new("RGB", IMAGE_SIZE[::-1], SURROUND)
    for left, box in zip(BOX_OFFSETS, order, strict=True):
        picture.paste(GROUND, (left, 0, left + BOX_SIDE, BOX_SIDE))
        for item in scene[box]:
            x, y, size = item["x_loc"], item["y_loc"], item["size"]
            if x != int(x) or y != int(y) or max(x, y) + size > BOX_SIDE:
                raise ValueError(f"scene holds what cannot be drawn: {item} must lie at whole pixels inside its box.")
            covered = Image.fromarray((coverage(item["type"], size, size) * 255).round().astype(np.uint8))
            picture.paste(item["color"], (left + int(x), int(y)), covered)
    return picture


def nlvr_prototypes(extractor: RegionExtractor) -> np.ndarray:
    """What a region extractor sees of each kind of object, and of a box: features without a picture for each scene.

    Args:
        extractor: gives for a drawing the regions of `scene_regions`, as `DrawnBoxesRegionExtractor` does.

    Returns:
        (28, D), float32. Row `(shape * 3 + colour) * 3 + size`, by the positions in `SHAPES`, `COLOURS` and `SIZES`, is
        an object, the last row a box.

    Raises:
        ValueError: an extractor that finds something else than the object and the boxes.
    """
    rows = []
    for shape in SHAPES[:-1]:
        for colour in COLOURS.values():
            for size in SIZES:
                place = (BOX_SIDE - size) // 2
                scene = [[{"x_loc": place, "y_loc": place, "type": shape, "color": colour, "size": size}], [], []]
                regions = extractor(draw_scene(scene))[0]
                expected = scene_regions("prototype", scene).boxes
                if regions.boxes.shape != expected.shape or np.abs(regions.boxes - expected).max() > 1:
                    raise ValueError(
                        f"extractor must find an object and three boxes in a drawing, but finds "
                        f"{regions.boxes.tolist()} where there is {scene[0][0]}: use DrawnBoxesRegionExtractor, or "
                        "other settings of it."
                    )
                rows.append(regions.features[0])
    return np.stack([*rows, regions.features[1]])
