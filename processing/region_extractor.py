"""What all region extractors share: one call, and settings that travel with the processor."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from lxmert.processing.regions import Regions

ImageInput = Any  # a PIL image, an array (H, W), (H, W, 3) or (H, W, 4) of uint8, or a path


class RegionExtractor(ABC):
    """From pictures to `Regions`. Subclasses are known by their class names, so that saved settings find them."""

    known: ClassVar[dict[str, type["RegionExtractor"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        RegionExtractor.known[cls.__name__] = cls

    @abstractmethod
    def __call__(self, images: ImageInput | Sequence[ImageInput]) -> list[Regions]:
        """The regions of each image; one image may come without a list around it."""

    @property
    @abstractmethod
    def feature_dim(self) -> int:
        """Width D of the features; a model for them needs this `visual_feat_dim`."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's keywords as JSON values: equal settings give equal regions."""

    def to_dict(self) -> dict[str, Any]:
        """The settings with the class's name, as `LxmertProcessor` saves them."""
        return {"region_extractor_type": type(self).__name__, **self.settings()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "RegionExtractor":
        """The extractor that `to_dict` described.

        Raises:
            ValueError: a class that is not known.
        """
        settings = dict(values)
        name = settings.pop("region_extractor_type", None)
        if name not in RegionExtractor.known:
            known = ", ".join(sorted(RegionExtractor.known)) or "none; `import lxmert` first"
            raise ValueError(f"region_extractor_type {name!r} is unknown; known are: {known}.")
        return RegionExtractor.known[name](**settings)

    def __repr__(self) -> str:
        try:
            settings = ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
        except ValueError:  # settings that cannot be saved can still be shown
            settings = "..."
        return f"{type(self).__name__}({settings})"


def as_image_list(images: ImageInput | Sequence[ImageInput]) -> list[ImageInput]:
    """A list of images from one image or several."""
    if isinstance(images, (str, bytes, Image.Image)) or hasattr(images, "__fspath__"):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim <= 3:
        return [images]
    return list(images)
