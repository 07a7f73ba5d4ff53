"""The configuration of the Faster R-CNN that finds regions: network, proposals, selection, names of classes."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, Self

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from lxmert.configuration.detectron import LOADER_KEYWORDS, config_fields, find_original_config
from lxmert.configuration.plain_errors import refuse_misspelt, unknown_keywords_message, with_plain_errors

logger = logging.getLogger(__name__)

Selection = Literal["raised_threshold", "per_class"]
Batching = Literal["by_size", "padded"]
# Keywords that `PreTrainedConfig` understands without having a field for them.
BASE_KEYWORDS = frozenset({"torch_dtype", "name_or_path", "_name_or_path", "_commit_hash", "model_type", "auto_map"})


@with_plain_errors
@strict
class FasterRcnnConfig(PreTrainedConfig):
    """Configuration of `FasterRcnnForRegionFeatures`; the defaults are the detector of bottom-up attention (Anderson et
    al. 2018), trained on Visual Genome, as [unc-nlp/frcnn-vg-finetuned](https://huggingface.co/unc-nlp/frcnn-vg-finetuned)
    publishes it.

    Args:
        embedding_size: channels of the stem.
        hidden_sizes: channels that the stages res2, res3, res4 and res5 give; multiples of 4.
        depths: number of bottleneck blocks of these stages; 3, 4, 23, 3 is ResNet-101.
        stride_in_1x1: whether a stage halves the resolution in its first 1x1 convolution (as Caffe's ResNet) or in
            its first 3x3.
        res5_stride: 1 keeps the resolution of pooled regions, 2 halves it.
        res5_dilation: of all 3x3 convolutions of res5.
        anchor_sizes: square roots of the anchors' areas in pixels.
        anchor_ratios: height / width of the anchors.
        rpn_hidden_size: channels of the region proposal network.
        rpn_nms_threshold: of two proposals that overlap more than this (intersection over union), the worse goes.
        rpn_candidates: best anchors of an image that are compared.
        rpn_proposals: best proposals of an image that are kept.
        roi_pool_size: cells each way that a region is pooled to.
        num_objects: number of object classes, background not counted.
        num_attributes: number of attributes, "none" not counted.
        object_names: their names, `num_objects` of them. transformers' `id2label` says the same.
        attribute_names: likewise of the attributes.
        class_embedding_size: width of the class's embedding that the attributes are predicted from.
        attribute_hidden_size: width inside the attribute head.
        selection: how regions are chosen among the proposals.

            * "raised_threshold", LXMERT's published features: every proposal takes the box of its best class. One
              non-maximum suppression over these boxes, with the next threshold of `nms_thresholds` until `min_boxes`
              are left; the best `max_boxes` stay.
            * "per_class", the Caffe code of bottom-up attention: proposals keep their own boxes. Non-maximum
              suppression for each class by itself; a proposal counts with its best score among the classes where it
              survives. All above `score_threshold` stay, but at least `min_boxes` and at most `max_boxes`: 10 and
              100 in Anderson's adaptive features, 36 and 36 where every image has 36.

            Either way an image without that many different boxes gives fewer, but always one.
        min_boxes: see `selection`.
        max_boxes: see `selection`.
        nms_thresholds: of "raised_threshold", rising.
        per_class_nms_threshold: of "per_class".
        score_threshold: of "per_class".
        batching: "by_size" runs images of one size together and gives each what it gets alone. "padded" runs the padded
            batch as it is, as the Hub's port does: activations in the padding then change what lies near it.
        initializer_range: standard deviation of the initial weights of proposal network and predictors.

    Raises:
        TypeError: a keyword that is no field (the nearest field is named), or a value of the wrong type.
        ValueError: values out of range, or names whose number is not that of the classes.

    Example:
        >>> FasterRcnnConfig(num_objects=2, object_names=["cat", "dog"]).id2label
        {0: 'cat', 1: 'dog'}
    """

    model_type = "faster_rcnn"

    embedding_size: int = 64
    hidden_sizes: list[int] | tuple[int, ...] = (256, 512, 1024, 2048)
    depths: list[int] | tuple[int, ...] = (3, 4, 23, 3)
    stride_in_1x1: bool = True
    res5_stride: int = 1
    res5_dilation: int = 2
    anchor_sizes: list[int | float] | tuple[int | float, ...] = (64, 128, 256, 512)
    anchor_ratios: list[int | float] | tuple[int | float, ...] = (0.5, 1.0, 2.0)
    rpn_hidden_size: int = 512
    rpn_nms_threshold: float | int = 0.7
    rpn_candidates: int = 6000
    rpn_proposals: int = 300
    roi_pool_size: int = 14
    num_objects: int = 1600
    num_attributes: int = 400
    object_names: list[str] | tuple[str, ...] | None = None
    attribute_names: list[str] | tuple[str, ...] | None = None
    class_embedding_size: int = 256
    attribute_hidden_size: int = 512
    selection: Selection = "raised_threshold"
    min_boxes: int = 36
    max_boxes: int = 36
    nms_thresholds: list[int | float] | tuple[int | float, ...] = (0.5, 0.6, 0.7)
    per_class_nms_threshold: float | int = 0.3
    score_threshold: float | int = 0.2
    batching: Batching = "by_size"
    initializer_range: float | int = 0.01

    def __post_init__(self, **kwargs: Any) -> None:
        unknown = kwargs.keys() - BASE_KEYWORDS
        if unknown:
            known = {field.name for field in fields(self)} | BASE_KEYWORDS
            raise TypeError(unknown_keywords_message("FasterRcnnConfig", unknown, known - {"_name_or_path"}) + ".")
        kwargs.pop("model_type", None)
        self._name_objects(self.id2label, self.label2id)
        super().__post_init__(**kwargs)

    def _name_objects(self, id2label: dict | None, label2id: dict | None) -> None:
        """Make `object_names`, `id2label` and `label2id` agree; transformers' `LABEL_i` says nothing."""
        for name in ("object_names", "attribute_names"):  # a file may hold them as a list
            if (names := getattr(self, name)) is not None:
                setattr(self, name, _checked_names(name, names))
        by_id = {i: label for label, i in label2id.items()} if id2label is None and label2id else id2label or {}
        labels = [str(label) for _, label in sorted((int(i), label) for i, label in by_id.items())]
        if labels and labels != [f"LABEL_{i}" for i in range(len(labels))]:
            if self.object_names is None:
                self.object_names = tuple(labels)
            elif list(self.object_names) != labels:
                raise ValueError("object_names and id2label disagree: give one of them, the other follows.")
        labels = list(self.object_names or [f"LABEL_{i}" for i in range(self.num_objects)])
        self.id2label = dict(enumerate(labels))
        self.label2id = {label: i for i, label in self.id2label.items()}

    def validate_architecture(self) -> None:
        """Refuse values that cannot be built or chosen by; `@strict` calls it on construction."""
        for name in ("hidden_sizes", "depths"):
            if len(getattr(self, name)) != 4:
                raise ValueError(f"{name} must have one number for each of res2 to res5, got {getattr(self, name)!r}.")
        for name in ("depths", "hidden_sizes", "anchor_sizes", "anchor_ratios"):
            if not getattr(self, name) or min(getattr(self, name)) <= 0:
                raise ValueError(f"{name} must be positive numbers, at least one, got {getattr(self, name)!r}.")
        if any(size % 4 for size in self.hidden_sizes):
            raise ValueError(f"hidden_sizes must be multiples of 4, got {self.hidden_sizes!r}.")
        for name in (
            *("embedding_size", "res5_stride", "res5_dilation", "rpn_hidden_size", "rpn_candidates", "rpn_proposals"),
            *("roi_pool_size", "num_objects", "num_attributes", "class_embedding_size", "attribute_hidden_size"),
            *("min_boxes", "max_boxes"),
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.min_boxes > self.max_boxes:
            raise ValueError(f"min_boxes ({self.min_boxes}) must not be above max_boxes ({self.max_boxes}).")
        thresholds = (self.rpn_nms_threshold, self.per_class_nms_threshold, self.score_threshold, *self.nms_thresholds)
        if not self.nms_thresholds or not all(0 <= value <= 1 for value in thresholds):
            raise ValueError("Thresholds must lie in [0, 1], and nms_thresholds must hold at least one.")
        if list(self.nms_thresholds) != sorted(self.nms_thresholds):
            raise ValueError(f"nms_thresholds must rise, got {self.nms_thresholds!r}.")
        self._check_counts(self.object_names, self.attribute_names)
        super().validate_architecture()

    def _check_counts(self, object_names: Sequence[str] | None, attribute_names: Sequence[str] | None) -> None:
        for name, names, count in (
            ("object_names", object_names, self.num_objects),
            ("attribute_names", attribute_names, self.num_attributes),
        ):
            if names is not None and len(names) != count:
                raise ValueError(
                    f"{name} has {len(names)} names for {count} classes: give the list that the checkpoint was trained "
                    "with, background and `none` left out."
                )

    def set_names(
        self, object_names: Sequence[str] | None = None, attribute_names: Sequence[str] | None = None
    ) -> None:
        """Name the classes, as `read_label_names` reads them from a vocabulary file; saved with the configuration.

        Raises:
            ValueError: names whose number is not that of the classes; nothing is changed then.
            TypeError: names that are no list of strings.
        """
        objects = None if object_names is None else _checked_names("object_names", object_names)
        attributes = None if attribute_names is None else _checked_names("attribute_names", attribute_names)
        self._check_counts(objects, attributes)  # before anything is changed
        self.object_names = objects or self.object_names
        self.attribute_names = attributes or self.attribute_names
        self._name_objects(None, None)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self | tuple[Self, dict[str, Any]]:
        """A configuration from the content of a config.json; `kwargs` override it, unknown fields of the file are kept.

        Of `min_boxes` and `max_boxes` one may be given alone: the other moves where it must.

        Raises:
            ValueError, TypeError: as the constructor does.
        """
        known = {field.name for field in fields(cls)} | BASE_KEYWORDS
        unknown = {name: value for name, value in config_dict.items() if name not in known}
        values = {name: value for name, value in config_dict.items() if name in known}
        overrides = {name: kwargs.pop(name) for name in kwargs.keys() & known if name not in ("torch_dtype", "dtype")}
        if not kwargs.get("return_unused_kwargs", False):
            refuse_misspelt(cls.__name__, kwargs, known)
        if overrides.keys() & {"object_names", "id2label", "label2id"}:
            for name in ("object_names", "id2label", "label2id"):
                values.pop(name, None)
        result = super().from_dict(values | fitting_limits(overrides, values) | overrides, **kwargs)
        config = result[0] if isinstance(result, tuple) else result
        for name, value in unknown.items():
            setattr(config, name, value)
        if unknown.keys() - {"custom_pipelines"}:
            logger.warning("Fields that FasterRcnnConfig does not know were kept: %s.", ", ".join(sorted(unknown)))
        return result

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The content of config.json or, where there is none, of the original's config.yaml.

        Raises:
            OSError: neither is there.
            ValueError: a config.yaml of a network that cannot be built here.
        """
        original = find_original_config(pretrained_model_name_or_path, "config.json", kwargs)
        if original is None:
            values, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
            if not values:  # transformers would go on with the defaults
                raise OSError(f"{pretrained_model_name_or_path} has neither a config.json nor a config.yaml.")
            return values, kwargs
        loader_only = (*LOADER_KEYWORDS, "trust_remote_code", "_from_auto", "_from_pipeline")
        kept = {name: value for name, value in kwargs.items() if name not in loader_only}
        return config_fields(original) | {"model_type": cls.model_type}, kept

    def to_diff_dict(self) -> dict[str, Any]:
        """What goes into config.json: `id2label` follows from `object_names` and is left out."""
        values = super().to_diff_dict()
        for name in ("id2label", "label2id"):
            values.pop(name, None)
        return values


def fitting_limits(overrides: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`min_boxes` or `max_boxes` as it must be beside the other one, if only that one is given.

    Args:
        overrides: what a user gives.
        values: of a checkpoint; what it leaves out has its default.
    """
    for given in (overrides, values):
        low, high = (given.get(name) for name in ("min_boxes", "max_boxes"))
        if (low is None) != (high is None):
            rest = {"min_boxes": FasterRcnnConfig.min_boxes, "max_boxes": FasterRcnnConfig.max_boxes, **values}
            if low is None:
                return {"min_boxes": min(rest["min_boxes"], high)}
            return {"max_boxes": max(rest["max_boxes"], low)}
    return {}


def _checked_names(name: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(item, str) for item in names):
        raise TypeError(f"{name} must be a list of strings, got {names!r:.80}.")
    return tuple(names)
