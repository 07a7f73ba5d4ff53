"""What all region extractors share: one call, and settings that travel with the processor."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image

from lxmert.processing.regions import Regions

ImageInput = Any  # a PIL image, an array (H, W), (H, W, 3) or (H, W, 4) of uint8, a path, or a file's bytes


class RegionExtractor(ABC):
    """From pictures to `Regions`. Subclasses are known by their class names, so that saved settings find them.

    A call is two steps, which bulk extraction takes apart: `prepare` opens and resizes one picture, in a worker process
    if need be; `extract` finds the regions of several prepared pictures, in one batch where there is a network.

    Attributes:
        batch_size: number of pictures that a call hands to `extract` at once.
        object_names: names of the detector's object classes by id, where it has any.
        attribute_names: likewise of its attributes.
    """

    known: ClassVar[dict[str, type["RegionExtractor"]]] = {}
    batch_size: int = 8
    object_names: tuple[str, ...] | None = None
    attribute_names: tuple[str, ...] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        RegionExtractor.known[cls.__name__] = cls

    def __call__(self, images: ImageInput | Sequence[ImageInput]) -> list[Regions]:
        """The regions of each image; one image may come without a list around it."""
        pictures = as_image_list(images)
        batches = (pictures[i : i + self.batch_size] for i in range(0, len(pictures), self.batch_size))
        return [regions for batch in batches for regions in self.extract([self.prepare(image) for image in batch])]

    @abstractmethod
    def prepare(self, image: ImageInput) -> Any:
        """One picture, ready for `extract`; can be pickled, so that a worker process may make it.

        Raises:
            FileNotFoundError, ValueError, TypeError: as `processing.images.load_image`.
        """

    @abstractmethod
    def extract(self, prepared: Sequence[Any]) -> list[Regions]:
        """The regions of each prepared picture."""

    def prepared_size(self, prepared: Any) -> tuple[int, int]:
        """(height, width) of a prepared picture: those of equal size go through a network together."""
        return 0, 0

    def to(self, device: str | torch.device) -> Self:
        """This extractor, its network (if it has one) on the device."""
        return self

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


def check_whole_numbers(lowest: int = 1, **settings: Any) -> None:
    """Refuse settings that are no whole numbers of at least `lowest`.

    Raises:
        ValueError: naming the setting and what came.
    """
    for name, value in settings.items():
        if not isinstance(value, int) or value < lowest:
            raise ValueError(f"{name} must be a whole number of at least {lowest}, got {value!r}.")


def nameless(part: str) -> ValueError:
    """The error of `settings` where a network was given as an object."""
    return ValueError(
        f"The {part} or its image processor was given as an object and has no name: save both into one folder and give "
        "that folder, so that they can be found again."
    )


def as_image_list(images: ImageInput | Sequence[ImageInput]) -> list[ImageInput]:
    """A list of images from one image or several."""
    if isinstance(images, (str, bytes, Image.Image)) or hasattr(images, "__fspath__"):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim <= 3:
        return [images]
    return list(images)
