"""Rows of a region store: `Regions` as binary columns and back.

| column | type | holds |
|---|---|---|
| `image_id` | string | the image's name, unique in the store |
| `image_height`, `image_width` | int32 | pixels |
| `features` | binary | R x D little-endian float16, or float32 where the store says so |
| `boxes` | binary | R x 4 little-endian float32, pixels |
| `object_ids`, `attribute_ids` | binary or null | R little-endian int32 |
| `object_scores`, `attribute_scores` | binary or null | R little-endian float32 |

Binary columns, because a row of them becomes an array without a copy, some twenty times faster than `Array2D`.
"""

from typing import Any, Literal, get_args

import datasets
import numpy as np

from lxmert.processing.regions import Regions

FeaturesType = Literal["float16", "float32"]
FEATURES_TYPES: dict[str, str] = {"float16": "<f2", "float32": "<f4"}
LABEL_TYPES = {"object_ids": "<i4", "object_scores": "<f4", "attribute_ids": "<i4", "attribute_scores": "<f4"}
COLUMNS = datasets.Features(
    {"image_id": datasets.Value("string")}
    | {name: datasets.Value("int32") for name in ("image_height", "image_width")}
    | {name: datasets.Value("binary") for name in ("features", "boxes", *LABEL_TYPES)}
)


def check_features_type(features_dtype: str) -> None:
    """Refuse a type of features that a store does not know.

    Raises:
        ValueError: anything but "float16" and "float32".
    """
    if features_dtype not in get_args(FeaturesType):
        raise ValueError(f'features_dtype must be "float16" or "float32", got {features_dtype!r}.')


def stored_features(regions: Regions, features_dtype: str) -> np.ndarray:
    """The features in the type that they are stored in.

    Raises:
        ValueError: features beyond its range.
    """
    with np.errstate(over="ignore"):  # refused below, in words
        features = regions.features.astype(FEATURES_TYPES[features_dtype])
    if not np.isfinite(features).all():
        raise ValueError(
            f"features of image {regions.image_id!r} reach {np.abs(regions.features).max():g}, beyond float16: scale "
            'them down, or store them with features_dtype="float32".'
        )
    return features


def to_row(regions: Regions, features_dtype: str) -> dict[str, Any]:
    """The columns of one image.

    Raises:
        ValueError: features beyond the range of `features_dtype`, or labels beyond int32.
    """
    return {
        "image_id": regions.image_id,
        "image_height": regions.image_size[0],
        "image_width": regions.image_size[1],
        "features": stored_features(regions, features_dtype).tobytes(),
        "boxes": regions.boxes.astype("<f4").tobytes(),
        **{name: _label_bytes(regions, name, dtype) for name, dtype in LABEL_TYPES.items()},
    }


def from_row(row: dict[str, Any], features_dtype: str, **names: tuple[str, ...] | None) -> Regions:
    """The regions of one image; `names` are those of the detector's classes."""
    boxes = np.frombuffer(row["boxes"], "<f4").reshape(-1, 4)
    values: dict[str, Any] = dict(names)
    values |= {
        name: None if row[name] is None else np.frombuffer(row[name], dtype) for name, dtype in LABEL_TYPES.items()
    }
    return Regions(
        features=np.frombuffer(row["features"], FEATURES_TYPES[features_dtype]).reshape(len(boxes), -1),
        boxes=boxes,
        image_size=(row["image_height"], row["image_width"]),
        image_id=row["image_id"],
        **values,
    )


def _label_bytes(regions: Regions, name: str, dtype: str) -> bytes | None:
    if (values := getattr(regions, name)) is None:
        return None
    stored = values.astype(dtype)
    if name.endswith("ids") and not np.array_equal(stored, values):
        raise ValueError(f"{name} of image {regions.image_id!r} reach {values.max()}, beyond int32.")
    return stored.tobytes()
