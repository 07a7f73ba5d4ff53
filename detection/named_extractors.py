"""Region extractors by a short name and settings as a person types them."""

import json
from collections.abc import Iterable
from typing import Any

from lxmert.processing.region_extractor import RegionExtractor

# Short name: class, and the keyword of what it loads its network from.
SHORT_NAMES = {
    "grid": ("GridRegionExtractor", "backbone"),
    "components": ("ComponentRegionExtractor", None),
    "shapes": ("ShapeRegionExtractor", None),
    "drawn_boxes": ("DrawnBoxesRegionExtractor", None),
    "detector": ("DetectorRegionExtractor", "model"),
    "faster_rcnn": ("FasterRcnnRegionExtractor", "model"),
}


def make_extractor(name: str, checkpoint: str | None = None, settings: Iterable[str] = ()) -> RegionExtractor:
    """The region extractor of a name.

    Args:
        name: a class name, or one of `SHORT_NAMES`.
        checkpoint: folder, or name on the Hub, of the extractor's network, if it has one.
        settings: the constructor's keywords, each as `name=value` or several as one JSON object. A value that is no
            JSON is taken as it stands.

    Raises:
        ValueError: an unknown name, keyword or value, or a checkpoint for an extractor without a network.

    Example:
        >>> make_extractor("grid", settings=["rows=2", '{"columns": 3}']).settings()["columns"]
        3
    """
    class_name = SHORT_NAMES[name][0] if name in SHORT_NAMES else name
    values: dict[str, Any] = {}
    for setting in settings:
        values |= _parsed(setting)
    if checkpoint is not None:
        keyword = dict(SHORT_NAMES.values()).get(class_name, "model")
        if keyword is None:
            raise ValueError(f"checkpoint {checkpoint!r} cannot be used: {class_name} has no network.")
        values[keyword] = checkpoint
    try:
        return RegionExtractor.from_dict({"region_extractor_type": class_name, **values})
    except TypeError as error:  # an unknown or missing keyword
        raise ValueError(f"{class_name} cannot be made from settings {values}: {error}.") from error


def _parsed(setting: str) -> dict[str, Any]:
    if setting.lstrip().startswith("{"):
        try:
            return json.loads(setting)
        except ValueError as error:
            raise ValueError(f"setting {setting!r} is no JSON object: {error}.") from error
    name, equals, value = setting.partition("=")
    if not equals:
        raise ValueError(f"setting {setting!r} must be name=value, or a JSON object.")
    try:
        return {name.strip(): json.loads(value)}
    except ValueError:
        return {name.strip(): value}
