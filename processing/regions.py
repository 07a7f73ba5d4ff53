"""`Regions`: what was found in one image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Detectors and rescaled boxes end a rounding error beyond a limit; such boxes and scores are pulled back, not refused.
BORDER_TOLERANCE = 1e-3
SCORE_TOLERANCE = 1e-4
NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class Regions:
    """The R regions of one image: a box and a feature vector each, optionally with a detector's labels.

    Arrays, tensors and nested lists are accepted and kept as numpy arrays.

    Args:
        features: (R, D), float32.
        boxes: (R, 4), float32, corners x1, y1, x2, y2 **in pixels**, 0 <= x1 <= x2 <= width, likewise y.
        image_size: (height, width) of the image in pixels.
        object_ids: (R,), int64, the detector's classes, -1 for none.
        object_scores: (R,), float32, their probabilities.
        attribute_ids: (R,), int64, the detector's attributes, -1 for none.
        attribute_scores: (R,), float32, their probabilities.
        image_id: the image's name in its data set.
        object_names: names of the detector's classes by id. A tuple is kept, not copied: many images share one.
        attribute_names: likewise of its attributes.

    Raises:
        ValueError: arrays of the wrong rank or of different counts, zero regions, values that are not finite, boxes
            outside the image, turned inside out, or already divided by the image's size, scores outside [0, 1], ids
            below -1 or without a name among those given.
        TypeError: values that are no numbers, or an `image_id` or names that are no strings.

    Example:
        >>> regions = Regions(features=np.zeros((1, 8)), boxes=[[0, 0, 32, 48]], image_size=(64, 64))
        >>> regions.normalized_boxes.tolist()
        [[0.0, 0.0, 0.5, 0.75]]
    """

    features: np.ndarray
    boxes: np.ndarray
    image_size: tuple[int, int]
    object_ids: np.ndarray | None = None
    object_scores: np.ndarray | None = None
    attribute_ids: np.ndarray | None = None
    attribute_scores: np.ndarray | None = None
    image_id: str | None = None
    object_names: Sequence[str] | None = None
    attribute_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.image_id is not None and not isinstance(self.image_id, str):
            raise TypeError(f"image_id must be a string, got {self.image_id!r}: use str(...), 5 and '5' would be one.")
        height, width = _checked_image_size(self.image_size)
        features = _as_array("features", self.features, np.float32, rank=2)
        if not features.shape[0]:
            raise ValueError("features holds zero regions: give at least one, for instance the whole image.")
        boxes = _as_array("boxes", self.boxes, np.float32, rank=2)
        if boxes.shape != (features.shape[0], 4):
            raise ValueError(
                f"boxes must have the shape ({features.shape[0]}, 4), one box for each row of features, "
                f"got {boxes.shape}."
            )
        values: dict[str, Any] = {
            "image_size": (height, width),
            "features": features,
            "boxes": _checked_boxes(boxes, height, width),
        }
        for name in ("object_ids", "object_scores", "attribute_ids", "attribute_scores"):
            if (value := getattr(self, name)) is not None:
                array = _as_array(name, value, np.int64 if name.endswith("ids") else np.float32, rank=1)
                if len(array) != len(features):
                    raise ValueError(f"{name} has {len(array)} entries for {len(features)} regions.")
                values[name] = _checked_ids(name, array) if name.endswith("ids") else _checked_scores(name, array)
        for kind in ("object", "attribute"):
            if (names := getattr(self, f"{kind}_names")) is not None:
                ids = values.get(f"{kind}_ids")
                values[f"{kind}_names"] = _checked_names(f"{kind}_names", names, f"{kind}_ids", ids)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def normalized_boxes(self) -> np.ndarray:
        """(R, 4), the boxes divided by the image's width and height, in [0, 1]; what a model takes as `visual_pos`."""
        height, width = self.image_size
        return self.boxes / np.array([width, height, width, height], dtype=np.float32)

    def describe(self, region: int) -> str:
        """What a region shows, as far as its labels say: attribute, object, and how sure the detector is of the object.

        Where there are no names, ids stand for them; a region without a label gives "".

        Args:
            region: its row.

        Raises:
            IndexError: no such row.

        Example:
            >>> labels = {"object_ids": [1], "object_scores": [0.87], "object_names": ("bird", "car")}
            >>> Regions(np.zeros((1, 8)), [[0, 0, 32, 48]], (64, 64), **labels).describe(0)
            'car 0.87'
        """
        if not -len(self) <= region < len(self):
            raise IndexError(f"Region {region} is not among the {len(self)} regions.")
        words = [word for kind in ("attribute", "object") if (word := self._label(kind, region))]
        ids, scores = self.object_ids, self.object_scores
        if ids is None or ids[region] == NO_LABEL:
            scores = self.attribute_scores
        return " ".join(words if scores is None or not words else [*words, f"{scores[region]:.2f}"])

    def plot(self, image: Any = None, ax: "Axes | None" = None, top: int | None = None) -> "Axes":
        """Draw the boxes over the image, each with what `describe` says of it, or with its row where there is no label.

        The surest regions lie on top, and their labels get the best places; without scores, the first ones. Needs
        matplotlib (`pip install lxmert[plots]`). `regions.plot(image).figure.savefig("regions.png")` makes a file; a
        notebook shows the `figure`.

        Args:
            image: what the regions were found in: a path, a PIL image or a uint8 array. Without it the boxes are drawn
                on an empty canvas of the image's size.
            ax: where to draw, by default an own figure in the image's shape.
            top: how many regions to draw, the surest; all by default.

        Returns:
            The axes, their units the image's pixels.

        Raises:
            FileNotFoundError: no file at the path.
            TypeError: something that is no picture.
            ModuleNotFoundError: matplotlib is not installed.
            ValueError: an image of another size than `image_size`, a file without a picture, or a `top` below 1.
        """
        from lxmert.processing.region_plot import draw_regions

        return draw_regions(self, image, ax, top)

    def _label(self, kind: str, region: int) -> str:
        ids, names = getattr(self, f"{kind}_ids"), getattr(self, f"{kind}_names")
        if ids is None or ids[region] == NO_LABEL:
            return ""
        return f"{kind} {ids[region]}" if names is None else names[ids[region]]


class RegionSource(Protocol):
    """Regions by image id: a `RegionStore`, region files read in place, or several of them joined."""

    def __getitem__(self, image_id: str, /) -> Regions:
        """The regions of one image."""

    def __contains__(self, image_id: object, /) -> bool:
        """Whether there are regions of this image."""

    def many(self, image_ids: Sequence[str], /) -> list[Regions]:
        """The regions of several images, in the order asked for."""


def _checked_image_size(image_size: Any) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in image_size)
    except (TypeError, ValueError) as error:
        raise TypeError(f"image_size must be (height, width) in pixels, got {image_size!r}.") from error
    if height < 1 or width < 1:
        raise ValueError(f"image_size must be at least one pixel each way, got {height} x {width} (height x width).")
    return height, width


def _as_array(name: str, value: Any, dtype: type, rank: int) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor, on whatever device; numpy knows no bfloat16
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    try:
        array: np.ndarray = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers of rank {rank}: {error}") from error
    if array.ndim != rank:
        raise ValueError(f"{name} must be an array of rank {rank}, got the shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values: check the file or extractor they come from.")
    return array


def _checked_boxes(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    flipped = np.flatnonzero((boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1]))
    if len(flipped):
        raise ValueError(
            f"boxes must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2, but row {flipped[0]} is "
            f"{boxes[flipped[0]].tolist()}: is it x, y, width, height?"
        )
    limits = np.array([width, height, width, height], dtype=np.float32)
    outside = np.flatnonzero(((boxes < -BORDER_TOLERANCE) | (boxes > limits * (1 + BORDER_TOLERANCE))).any(axis=1))
    if len(outside):
        raise ValueError(
            f"boxes must lie inside the image of {height} x {width} pixels (height x width), but row {outside[0]} is "
            f"{boxes[outside[0]].tolist()}: clip it, or check that image_size is (height, width)."
        )
    if boxes.max() <= 1 and max(height, width) > 2:
        raise ValueError(
            "boxes must be in pixels, but all lie in [0, 1], as if already divided by the image's size: multiply them "
            "by its width and height."
        )
    return np.clip(boxes, 0, limits)


def _checked_ids(name: str, ids: np.ndarray) -> np.ndarray:
    unknown = np.flatnonzero(ids < NO_LABEL)
    if len(unknown):
        raise ValueError(
            f"{name} must be at least 0, or {NO_LABEL} for no label, but row {unknown[0]} is {ids[unknown[0]]}: check "
            f"the file or extractor they come from, and write {NO_LABEL} where there is no label."
        )
    return ids


def _checked_scores(name: str, scores: np.ndarray) -> np.ndarray:
    outside = np.flatnonzero((scores < -SCORE_TOLERANCE) | (scores > 1 + SCORE_TOLERANCE))
    if len(outside):
        raise ValueError(
            f"{name} must lie in [0, 1], but row {outside[0]} is {scores[outside[0]]:g}: divide percentages by 100, "
            "turn a detector's raw outputs into probabilities by a softmax."
        )
    return np.clip(scores, 0, 1)


def _checked_names(name: str, names: Any, ids_name: str, ids: np.ndarray | None) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{name} must be a sequence of strings, one for each class, got {names!r}.")
    ids = np.empty(0, np.int64) if ids is None else ids
    unknown = np.flatnonzero(ids >= len(names))
    if len(unknown):
        raise ValueError(
            f"{ids_name} must lie below {len(names)}, the number of {name}, but row {unknown[0]} is "
            f"{ids[unknown[0]]}: take the names of the detector that found the regions."
        )
    # A tuple is shared by many images, and may be long: only the names in use are looked at.
    for i in ids[ids != NO_LABEL].tolist() if isinstance(names, tuple) else range(len(names)):
        if not isinstance(names[i], str):
            raise TypeError(f"{name} must be strings, but number {i} is {names[i]!r}.")
    return names if isinstance(names, tuple) else tuple(names)
