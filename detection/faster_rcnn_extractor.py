"""Pictures to `Regions` by the Faster R-CNN."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch

from lxmert.configuration import FasterRcnnConfig
from lxmert.configuration.faster_rcnn import Selection
from lxmert.detection.faster_rcnn import FasterRcnnForRegionFeatures, FasterRcnnOutput
from lxmert.detection.faster_rcnn_image_processor import FasterRcnnImageProcessor, pad_prepared
from lxmert.detection.prepared import PreparedImage
from lxmert.processing.bottom_up import read_label_names
from lxmert.processing.images import load_image
from lxmert.processing.region_extractor import ImageInput, RegionExtractor
from lxmert.processing.regions import Regions

Names = str | os.PathLike | Sequence[str]


class FasterRcnnRegionExtractor(RegionExtractor):
    """The regions that LXMERT was trained on: boxes, 2048 features, objects and attributes of Visual Genome.

    Args:
        model: a `FasterRcnnForRegionFeatures`, or its folder or name on the Hub, such as "unc-nlp/frcnn-vg-finetuned".
        image_processor: its image processor; found beside the model if left out.
        selection: how regions are chosen, see `FasterRcnnConfig`; the checkpoint's rule if left out. Likewise:
        min_boxes: fewest regions, where the image allows.
        max_boxes: most regions.
        object_names: the objects' names, or a file with one a line (`read_label_names`); kept in the model's
            configuration. Left out, those of the checkpoint, if it has any.
        attribute_names: likewise of the attributes.
        dtype: precision of the network. "bfloat16" is faster where the processor has instructions for it.
        batch_size: pictures at a time.
        revision: branch, tag or commit of a model on the Hub.

    Raises:
        ValueError: a model object without its image processor, or names whose number is not that of the classes.

    Example:
        >>> extractor = FasterRcnnRegionExtractor("unc-nlp/frcnn-vg-finetuned")  # doctest: +SKIP
        >>> extractor("kitchen.jpg")[0].features.shape  # doctest: +SKIP
        (36, 2048)
    """

    def __init__(
        self,
        model: str | os.PathLike | FasterRcnnForRegionFeatures,
        image_processor: FasterRcnnImageProcessor | None = None,
        selection: Selection | None = None,
        min_boxes: int | None = None,
        max_boxes: int | None = None,
        object_names: Names | None = None,
        attribute_names: Names | None = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        batch_size: int = 1,
        revision: str | None = None,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        # Only what was given by name alone can be found again by name.
        self.model_name = None
        if isinstance(model, FasterRcnnForRegionFeatures):
            self.model = model
        else:
            self.model_name = os.fspath(model) if image_processor is None else None
            at = {} if revision is None else {"revision": revision}
            image_processor = image_processor or FasterRcnnImageProcessor.from_pretrained(model, **at)
            self.model = FasterRcnnForRegionFeatures.from_pretrained(model, **at)
        if image_processor is None:
            raise ValueError("model needs its image_processor: pass it too, or give the model by name.")
        self.choices: dict[str, Any] = {"selection": selection, "min_boxes": min_boxes, "max_boxes": max_boxes}
        given_names = {"object_names": object_names, "attribute_names": attribute_names}
        self.names = {name: None if value is None else _read_names(value) for name, value in given_names.items()}
        self.dtype = dtype
        self.revision = revision
        self.batch_size = batch_size
        self.image_processor = image_processor
        self.model.to(dtype=getattr(torch, dtype)).eval()
        self._configure(self.model.config)

    def _configure(self, config: FasterRcnnConfig) -> None:
        config.set_names(**self.names)
        choices = {name: value for name, value in self.choices.items() if value is not None}
        if "min_boxes" not in choices:  # one limit given moves the other only where it must
            choices["min_boxes"] = min(config.min_boxes, choices.get("max_boxes", config.max_boxes))
        if "max_boxes" not in choices:
            choices["max_boxes"] = max(config.max_boxes, choices["min_boxes"])
        for name, value in choices.items():
            setattr(config, name, value)
        config.validate_architecture()
        self.object_names = None if config.object_names is None else tuple(config.object_names)
        self.attribute_names = None if config.attribute_names is None else tuple(config.attribute_names)

    @property
    def feature_dim(self) -> int:
        """2048 in the published detector."""
        return self.model.config.hidden_sizes[-1]

    def settings(self) -> dict[str, Any]:
        """The constructor's keywords, the model by its name; without `batch_size`, which changes no region.

        Raises:
            ValueError: a model that was given as an object and has no name to be found by.
        """
        if self.model_name is None:
            raise ValueError(
                "The model or its image processor was given as an object and has no name: save both into one folder "
                "and give that folder, so that they can be found again."
            )
        given: dict[str, Any] = {name: value for name, value in self.choices.items() if value is not None}
        given |= {name: list(value) for name, value in self.names.items() if value is not None}
        if self.revision is not None:
            given["revision"] = self.revision
        return {"model": self.model_name, "dtype": self.dtype, **given}

    def to(self, device: str | torch.device) -> Self:
        """This extractor, its model on the device."""
        self.model.to(device)
        return self

    def prepare(self, image: ImageInput) -> PreparedImage:
        """The picture resized, as BGR, minus the mean."""
        picture = load_image(image)
        return PreparedImage(self.image_processor.prepare(picture), (picture.height, picture.width))

    def prepared_size(self, prepared: PreparedImage) -> tuple[int, int]:
        """(height, width) after resizing."""
        return prepared.pixel_values.shape[1], prepared.pixel_values.shape[2]

    @torch.inference_mode()
    def extract(self, prepared: Sequence[PreparedImage]) -> list[Regions]:
        """Between 1 and `max_boxes` regions of each picture, the surest objects first."""
        image_sizes = [item.image_size for item in prepared]
        inputs = pad_prepared([item.pixel_values for item in prepared], image_sizes)
        found = self.model(
            inputs["pixel_values"].to(self.model.device),
            inputs["image_sizes"],
            inputs["scales_yx"].to(self.model.device),
        )
        return [self._regions(found, row, size) for row, size in enumerate(image_sizes)]

    def _regions(self, found: FasterRcnnOutput, row: int, image_size: tuple[int, int]) -> Regions:
        values: dict[str, np.ndarray] = {}
        for name in ("features", "boxes", "object_ids", "object_scores", "attribute_ids", "attribute_scores"):
            value = found[name][row].cpu()
            values[name] = (value.float() if value.is_floating_point() else value).numpy()
        return Regions(
            **values,  # type: ignore[arg-type]
            image_size=image_size,
            object_names=self.object_names,
            attribute_names=self.attribute_names,
        )


def _read_names(names: Names) -> list[str]:
    if isinstance(names, (str, os.PathLike)):
        return read_label_names(Path(names))
    return list(names)
