"""Pictures to `Regions` by the Faster R-CNN."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import torch

from lxmert.configuration import FasterRcnnConfig
from lxmert.configuration.faster_rcnn import Selection, fitting_limits
from lxmert.detection.boxes import beyond_the_first_pixel
from lxmert.detection.faster_rcnn import FasterRcnnForRegionFeatures, FasterRcnnOutput
from lxmert.detection.faster_rcnn_image_processor import FasterRcnnImageProcessor, pad_prepared
from lxmert.detection.prepared import PreparedImage
from lxmert.processing.bottom_up import read_label_names
from lxmert.processing.images import load_image
from lxmert.processing.region_extractor import ImageInput, RegionExtractor, check_whole_numbers, nameless
from lxmert.processing.regions import Regions

Names = str | os.PathLike | Sequence[str]
Precision = Literal["float32", "bfloat16", "float16"]


class FasterRcnnRegionExtractor(RegionExtractor):
    """The regions that LXMERT was trained on: boxes, 2048 features, objects and attributes of Visual Genome.

    Args:
        model: a `FasterRcnnForRegionFeatures`, or its folder or name on the Hub, such as "unc-nlp/frcnn-vg-finetuned".
        image_processor: its image processor; found beside the model if left out.
        selection: how regions are chosen, see `FasterRcnnConfig`; the checkpoint's rule if left out. Likewise:
        min_boxes: fewest regions, where the image allows.
        max_boxes: most regions.
        score_threshold: of "per_class".
        object_names: the objects' names, or a file with one a line (`read_label_names`); kept in the model's
            configuration. Left out, those of the checkpoint, if it has any.
        attribute_names: likewise of the attributes.
        dtype: precision of the network, the checkpoint's if left out. "bfloat16" is faster where the processor has
            instructions for it.
        batch_size: pictures at a time.
        revision: branch, tag or commit of a model on the Hub.

    Raises:
        ValueError: a model object without its image processor, weights that are not all there, values out of range, or
            names whose number is not that of the classes.
        TypeError: something else as model or image processor.

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
        score_threshold: float | None = None,
        object_names: Names | None = None,
        attribute_names: Names | None = None,
        dtype: Precision | None = None,
        batch_size: int = 1,
        revision: str | None = None,
    ):
        check_whole_numbers(batch_size=batch_size)
        if dtype is not None and dtype not in get_args(Precision):
            raise ValueError(f"dtype must be one of {', '.join(get_args(Precision))}, got {dtype!r}.")
        choices: dict[str, Any] = {"selection": selection, "min_boxes": min_boxes, "max_boxes": max_boxes}
        choices["score_threshold"] = score_threshold
        self.choices = {name: value for name, value in choices.items() if value is not None}
        names = {"object_names": object_names, "attribute_names": attribute_names}
        self.names = {name: _read_names(value) for name, value in names.items() if value is not None}
        self.dtype = dtype
        self.batch_size = batch_size
        self.revision = revision
        # Only what was given by name alone can be found again by name.
        self.model_name = None if not isinstance(model, (str, os.PathLike)) or image_processor else os.fspath(model)
        self.image_processor = _load_image_processor(model, image_processor, revision)
        self.model = _load_model(model, dtype, revision)
        self._configure(self.model.config)

    def _configure(self, config: FasterRcnnConfig) -> None:
        """Give the model a configuration of its own: the one it came with may serve others."""
        values = {name: getattr(config, name) for name in ("min_boxes", "max_boxes")}
        own = copy.deepcopy(config)
        for name, value in (fitting_limits(self.choices, values) | self.choices).items():
            setattr(own, name, value)
        own.validate_architecture()
        own.set_names(**self.names)
        self.model.config = own
        self.object_names = None if own.object_names is None else tuple(own.object_names)
        self.attribute_names = None if own.attribute_names is None else tuple(own.attribute_names)

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
            raise nameless("model")
        given = {name: value for name, value in (("dtype", self.dtype), ("revision", self.revision)) if value}
        names = {name: list(value) for name, value in self.names.items()}
        return {"model": self.model_name, **self.choices, **names, **given}

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
        """Between 1 and `max_boxes` regions of each picture, those first that the selection prefers."""
        if not prepared:
            return []
        image_sizes = [item.image_size for item in prepared]
        inputs = pad_prepared([item.pixel_values for item in prepared], image_sizes)
        pixel_values = inputs["pixel_values"].to(self.model.device)
        found = self.model(pixel_values, inputs["image_sizes"], inputs["scales_yx"])
        return [self._regions(found, row, size) for row, size in enumerate(image_sizes)]

    def _regions(self, found: FasterRcnnOutput, row: int, image_size: tuple[int, int]) -> Regions:
        values: dict[str, np.ndarray] = {}
        for name in ("features", "boxes", "object_ids", "object_scores", "attribute_ids", "attribute_scores"):
            value = found[name][row].cpu()
            values[name] = (value.float() if value.is_floating_point() else value).numpy()
        values["boxes"] = beyond_the_first_pixel(values["boxes"], image_size)
        return Regions(
            **values,  # type: ignore[arg-type]
            image_size=image_size,
            object_names=self.object_names,
            attribute_names=self.attribute_names,
        )


def _load_image_processor(model: Any, image_processor: Any, revision: str | None) -> FasterRcnnImageProcessor:
    if image_processor is None:
        if not isinstance(model, (str, os.PathLike)):
            raise ValueError("model needs its image_processor: pass it too, or give the model by name.")
        return FasterRcnnImageProcessor.from_pretrained(model, **_at(revision))
    if not isinstance(image_processor, FasterRcnnImageProcessor):
        kind = image_processor if isinstance(image_processor, type) else type(image_processor)
        raise TypeError(f"image_processor must be a FasterRcnnImageProcessor, got {kind.__name__}.")
    return image_processor


def _load_model(model: Any, dtype: Precision | None, revision: str | None) -> FasterRcnnForRegionFeatures:
    precision = {} if dtype is None else {"dtype": getattr(torch, dtype)}
    if isinstance(model, FasterRcnnForRegionFeatures):
        if precision and model.dtype != precision["dtype"]:
            return copy.deepcopy(model).to(**precision)  # the caller's stays as it is
        return copy.copy(model)  # the weights are shared, the configuration will not be
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(
            f"model must be a FasterRcnnForRegionFeatures, its folder or its name, got {type(model).__name__}."
        )
    loaded, report = FasterRcnnForRegionFeatures.from_pretrained(
        model, output_loading_info=True, **precision, **_at(revision)
    )
    if missing := sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"])):
        raise ValueError(
            f"{model} lacks {len(missing)} weights of the detector or has them in another shape, such as {missing[0]}: "
            "regions by random weights would be worth nothing. Is it the right checkpoint, and complete?"
        )
    return loaded.eval()


def _at(revision: str | None) -> dict[str, str]:
    return {} if revision is None else {"revision": revision}


def _read_names(names: Names) -> list[str]:
    if isinstance(names, (str, os.PathLike)):
        return read_label_names(Path(names))
    return list(names)
