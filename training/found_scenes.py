"""Scenes as a region extractor finds them in NLVR's pictures, as arrays."""

from collections.abc import Sequence

import numpy as np

from lxmert.processing import Regions
from lxmert.scenes import BOXES, COLOURS, NOTHING, REGIONS, SIDE, SLOTS, Scenes

BOX = 3  # the object id of a box in `DrawnBoxesRegionExtractor.object_names`


def found_scenes(found: Sequence[Regions]) -> tuple[Scenes, np.ndarray]:
    """What an extractor found, in the form that batches are made of.

    Nothing of the data set's representation enters: shapes and colours are the extractor's labels, places its boxes,
    scaled as if the three boxes were of 100 pixels. A shape or colour that NLVR does not have becomes the first one.

    Args:
        found: regions of S pictures, those of each of three boxes together and the box itself behind them, as
            `DrawnBoxesRegionExtractor` gives them. Of a box with more than eight shapes the first eight stay.

    Returns:
        The scenes, and the features of their 27 places, (S, 27, D), float16, 0 where nothing is.

    Raises:
        ValueError: a picture in which there are not three boxes, or regions without labels.
    """
    arrays = {
        name: np.full((len(found), BOXES, SLOTS), NOTHING, np.int16) for name in ("shape", "colour", "size", "x", "y")
    }
    width = found[0].features.shape[1] if found else 0
    features = np.zeros((len(found), BOXES, SLOTS + 1, width), np.float16)
    for row, regions in enumerate(found):
        if regions.object_ids is None or regions.attribute_ids is None or regions.attribute_names is None:
            raise ValueError(f"Regions of {regions.image_id} have no labels: take DrawnBoxesRegionExtractor's.")
        ends = np.flatnonzero(regions.object_ids == BOX)
        if len(ends) != BOXES:
            raise ValueError(f"There must be {BOXES} boxes in a picture, {regions.image_id} has {len(ends)}.")
        for box, (start, end) in enumerate(zip([0, *(ends[:-1] + 1)], ends, strict=True)):
            left, top, right, bottom = regions.boxes[end]
            scale = SIDE / np.array([right - left, bottom - top] * 2)
            features[row, box, SLOTS] = regions.features[end]
            for slot, index in enumerate(range(start, min(end, start + SLOTS))):
                x1, y1, x2, y2 = (regions.boxes[index] - [left, top, left, top]) * scale
                place = row, box, slot
                arrays["shape"][place] = max(regions.object_ids[index], 0)
                arrays["colour"][place] = _colour(regions, index)
                arrays["size"][place] = round(max(x2 - x1, y2 - y1))
                arrays["x"][place] = np.clip(round(x1), 0, SIDE)
                arrays["y"][place] = np.clip(round(y1), 0, SIDE)
                features[row, box, slot] = regions.features[index]
    return Scenes(**arrays), features.reshape(len(found), REGIONS, width)


def _colour(regions: Regions, index: int) -> int:
    """The position in `COLOURS` of a region's colour; 0 for a colour that NLVR does not have."""
    assert regions.attribute_ids is not None  # checked above
    assert regions.attribute_names is not None
    colour = regions.attribute_ids[index]
    name = regions.attribute_names[colour] if colour >= 0 else ""
    return COLOURS.index(name) if name in COLOURS else 0
