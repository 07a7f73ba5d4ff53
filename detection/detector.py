"""Regions from the object detectors of transformers: what the network knows of each query it is sure of."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from lxmert.detection.boxes import beyond_the_first_pixel
from lxmert.detection.prepared import PreparedImage
from lxmert.processing.images import load_image
from lxmert.processing.region_extractor import ImageInput, RegionExtractor, check_whole_numbers, nameless
from lxmert.processing.regions import Regions

# What transformers calls the head that turns a query's state into class scores, in all of its detectors.
CLASS_HEADS = ("class_embed", "class_labels_classifier")
# Image processors round the shorter side of very slender pictures to nothing.
SLENDEREST = 16
# Backbones reduce the picture by up to this factor.
SHORTEST_SIDE = 32


class DetectorRegionExtractor(RegionExtractor):
    """Any object detector of transformers with queries: DETR, Deformable DETR, RT-DETR, D-FINE, YOLOS and the like.

    A region is a query. Its features are what the detector's class head reads: the state after the last decoder layer
    (in YOLOS, which has no decoder, that of the detection token), from which the class is found and the box refined.
    A query counts once, with its best class. Kept are the queries with a score of at least `threshold`, filled up to
    `minimum_regions` and cut off after `maximum_regions`, best first. As these detectors are trained to find every
    object once, no boxes are suppressed.

    The picture is resized and standardised by the detector's own image processor, but neither padded nor cropped:
    boxes are fractions of the whole picture whatever padding the detector was trained with, and an image gets the same
    regions alone and in a batch. Where the network needs sides that are multiples of a number, they are rounded up.

    Args:
        model: a model of `AutoModelForObjectDetection`, its name on the Hub or its folder.
        image_processor: the model's image processor; found by the model's name if left out, the one that needs no
            torchvision where there are two, so that regions do not depend on what is installed.
        threshold: smallest score, a probability.
        minimum_regions: of fewer queries above the threshold, the best others are added.
        maximum_regions: of more, the best are kept.
        batch_size: number of pictures in a batch; changes no region.
        revision: branch, tag or commit of a model on the Hub, for instance "no_timm" of facebook/detr-resnet-50, whose
            main branch needs timm.

    Raises:
        ValueError: settings out of range, a model object without its image processor, an image processor that cannot
            be loaded, or a model that has no queries with class scores.
        TypeError: a model that is neither a name nor a module.

    Example:
        >>> extractor = DetectorRegionExtractor("PekingU/rtdetr_r50vd")  # doctest: +SKIP
        >>> extractor("street.jpg")[0].describe(0)  # doctest: +SKIP
        'car 0.97'
    """

    def __init__(
        self,
        model: Any,
        image_processor: Any | None = None,
        threshold: float = 0.2,
        minimum_regions: int = 10,
        maximum_regions: int = 36,
        batch_size: int = 8,
        revision: str | None = None,
    ):
        check_whole_numbers(minimum_regions=minimum_regions, maximum_regions=maximum_regions, batch_size=batch_size)
        if minimum_regions > maximum_regions:
            raise ValueError(
                f"minimum_regions must not exceed maximum_regions, got {minimum_regions} and "
                f"{maximum_regions}: lower the one or raise the other."
            )
        if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a probability in [0, 1], got {threshold!r}.")
        self.threshold = threshold
        self.minimum_regions = minimum_regions
        self.maximum_regions = maximum_regions
        self.batch_size = batch_size
        self.revision = revision
        # Only what was given by name alone can be found again by name.
        self.model_name = str(model) if isinstance(model, (str, Path)) and image_processor is None else None
        if isinstance(model, (str, Path)):
            origin = {} if revision is None else {"revision": revision}
            image_processor = image_processor or _load_image_processor(str(model), origin)
            model = AutoModelForObjectDetection.from_pretrained(str(model), **origin)
        elif not isinstance(model, nn.Module):
            raise TypeError(f"model must be a detector of transformers, its name or its folder, got {model!r}.")
        elif image_processor is None:
            raise ValueError("model needs its image_processor: pass it too, or give the model by name.")
        self._class_heads = _find_class_heads(model)
        self.model = model.eval()
        self.image_processor = image_processor
        self.object_names = _object_names(model.config)
        self._side_multiple = _side_multiple(model.config)

    @property
    def feature_dim(self) -> int:
        """Width of the detector's queries."""
        return next(_widths(self._class_heads[-1]))

    def to(self, device: str | torch.device) -> Self:
        """This extractor, its network on the device."""
        self.model.to(device)
        return self

    def settings(self) -> dict[str, Any]:
        """The constructor's keywords but `batch_size`; the model by its name.

        Raises:
            ValueError: a model that was given as an object and has no name to be found by.
        """
        if not self.model_name:
            raise nameless("model")
        settings: dict[str, Any] = {"model": self.model_name, "threshold": self.threshold}
        settings |= {"minimum_regions": self.minimum_regions, "maximum_regions": self.maximum_regions}
        return settings if self.revision is None else settings | {"revision": self.revision}

    def prepare(self, image: ImageInput) -> PreparedImage:
        """The picture as the network takes it.

        Raises:
            FileNotFoundError, ValueError, TypeError: as `processing.images.load_image`.
        """
        picture = load_image(image)
        width, height = picture.size
        switched_off = {name: False for name in ("do_center_crop", "do_pad") if getattr(self.image_processor, name, 0)}
        pixels = self.image_processor(images=_less_slender(picture), return_tensors="pt", **switched_off)
        return PreparedImage(_rounded_up(pixels["pixel_values"][0].float(), self._side_multiple), (height, width))

    def prepared_size(self, prepared: PreparedImage) -> tuple[int, int]:
        """(height, width) of a prepared picture."""
        height, width = prepared.pixel_values.shape[-2:]
        return height, width

    def extract(self, prepared: Sequence[PreparedImage]) -> list[Regions]:
        """The regions of each prepared picture, best first; those of equal size go through the network together.

        Raises:
            ValueError: a network whose outputs are not those of a detector with queries, or not finite.
        """
        rows_by_size: dict[tuple[int, int], list[int]] = {}
        for row, item in enumerate(prepared):
            rows_by_size.setdefault(self.prepared_size(item), []).append(row)
        found: dict[int, Regions] = {}
        for rows in rows_by_size.values():
            found |= dict(zip(rows, self._extract([prepared[row] for row in rows]), strict=True))
        return [found[row] for row in range(len(prepared))]

    @torch.inference_mode()
    def _extract(self, prepared: Sequence[PreparedImage]) -> list[Regions]:
        pixel_values = torch.stack([item.pixel_values for item in prepared])  # (B, 3, h, w)
        states, logits, boxes = self._run(pixel_values.to(self.model.device, self.model.dtype))
        scores, labels = self._probabilities(logits).max(dim=-1)  # (B, Q)
        ranked, order = scores.sort(dim=-1, descending=True, stable=True)
        regions = []
        for i, item in enumerate(prepared):
            sure = int((ranked[i] >= self.threshold).sum())
            kept = order[i, : min(max(sure, self.minimum_regions), self.maximum_regions)]
            regions.append(
                Regions(
                    features=states[i, kept].numpy(),
                    boxes=beyond_the_first_pixel(
                        _pixel_corners(boxes[i, kept], item.image_size).numpy(), item.image_size
                    ),
                    image_size=item.image_size,
                    object_ids=labels[i, kept].numpy(),
                    object_scores=scores[i, kept].numpy(),
                    object_names=self.object_names,
                )
            )
        return regions

    def _run(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """States (B, Q, D), class logits (B, Q, C) and boxes (B, Q, 4) of all queries, float32, on the CPU."""
        calls: list[tuple[torch.Tensor, torch.Tensor]] = []  # input and output of the class head, the last one counts

        def remember(head: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            calls[:] = [(inputs[0], output)]

        hooks = [head.register_forward_hook(remember) for head in self._class_heads]
        try:
            outputs = self.model(pixel_values=pixel_values, return_dict=True)
        finally:
            for hook in hooks:
                hook.remove()
        boxes: Any = getattr(outputs, "pred_boxes", None)
        known = bool(calls) and boxes is not None and boxes.shape[-1] == 4
        rows = _decoder_rows(calls[0][1], outputs.logits) if known else None
        if rows is None:
            raise ValueError(
                f"{type(self.model).__name__} does not give a box and its class head's scores for each query, so the "
                "states behind its boxes are not known: use another detector, such as DETR, RT-DETR or D-FINE."
            )
        states = calls[0][0].gather(1, rows[..., None].expand_as(calls[0][0]))
        return states.float().cpu(), outputs.logits.float().cpu(), boxes.float().cpu()

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, Q, C) of the C classes; the detectors with one score more than classes have "no object" last."""
        classes = self.model.config.num_labels
        if logits.shape[-1] == classes + 1:
            return logits.softmax(dim=-1)[..., :-1]
        if logits.shape[-1] == classes:
            return logits.sigmoid()
        raise ValueError(
            f"The model has {logits.shape[-1]} class scores, its configuration {classes} labels: they must be as many, "
            'or one more for "no object". Set num_labels to what the model was trained with.'
        )


def _load_image_processor(name: str, origin: dict[str, str]) -> Any:
    try:
        return AutoImageProcessor.from_pretrained(name, backend="pil", **origin)
    except (ImportError, OSError, ValueError) as error:
        raise ValueError(
            f"No image processor can be loaded for {name}: pass image_processor=..., or save one into the model's "
            f"folder; if it is one that needs torchvision, install that. {error}"
        ) from error


def _object_names(config: Any) -> tuple[str, ...] | None:
    names = tuple(str(config.id2label.get(i, f"LABEL_{i}")) for i in range(config.num_labels))
    return None if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names


def _find_class_heads(model: nn.Module) -> list[nn.Module]:
    """The modules that score classes: one, or one for each decoder layer."""
    heads = []
    for name, module in model.named_modules():
        parts = name.split(".")
        if parts[-1] in CLASS_HEADS or (parts[-1].isdigit() and len(parts) > 1 and parts[-2] in CLASS_HEADS):
            heads.append(module)
    heads = [head for head in heads if not isinstance(head, nn.ModuleList)]
    if not heads or next(_widths(heads[-1]), None) is None:
        raise ValueError(
            f"{type(model).__name__} has no class head called {' or '.join(CLASS_HEADS)}: it is no detector with "
            "queries. Give a model of AutoModelForObjectDetection such as DETR, RT-DETR or D-FINE."
        )
    return heads


def _widths(head: nn.Module) -> Iterator[int]:
    """Numbers of inputs of a head's linear layers, the first of which reads the queries."""
    return (int(width) for module in head.modules() if isinstance(width := getattr(module, "in_features", None), int))


def _side_multiple(config: Any) -> int:
    """What the sides of the network's input must be multiples of, or its feature maps would not fit together."""
    backbone: Any = getattr(config, "backbone_config", None)
    if windows := getattr(backbone, "num_windows_side", getattr(backbone, "num_windows", 0)):  # LW-DETR, RF-DETR
        patch = backbone.patch_size
        return int(windows * (patch if isinstance(patch, int) else math.lcm(*patch)))
    return int(max(getattr(config, "feat_strides", None) or [1]))  # RT-DETR and what came after it


def _decoder_rows(head_scores: torch.Tensor, logits: torch.Tensor) -> torch.Tensor | None:
    """(B, Q), the class head's row behind each row of the outputs (B, Q, C); None where they do not belong together."""
    if head_scores.shape != logits.shape:
        return None
    added = logits.float() - head_scores.float()  # D-FINE adds one number to all classes of a query
    precision = max(torch.finfo(dtype).eps for dtype in (logits.dtype, torch.float32))
    rounding = 8 * precision * float(torch.maximum(head_scores.abs(), logits.abs()).max())
    if not (added - added[..., :1]).abs().max() > rounding:  # NaN passes, and is named by `Regions`
        return torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
    equal = (logits[:, :, None] == head_scores[:, None]).all(dim=-1)  # (B, Q, Q); PP-DocLayoutV2 sorts its queries
    return equal.int().argmax(dim=-1) if equal.any(dim=-1).all() else None


def _less_slender(picture: Image.Image) -> Image.Image:
    """The picture, stretched where one side is over 16 times the other; boxes, being fractions, stay right."""
    longer, shorter = max(picture.size), min(picture.size)
    if longer <= SLENDEREST * shorter:
        return picture
    longer = min(longer, 2048)  # more than any detector looks at, and bounds the memory
    shorter = math.ceil(longer / SLENDEREST)
    size = (longer, shorter) if picture.width > picture.height else (shorter, longer)
    return picture.resize(size, Image.Resampling.BILINEAR)


def _rounded_up(pixel_values: torch.Tensor, multiple: int) -> torch.Tensor:
    """(3, h, w) with sides of at least 32 pixels, enlarged to multiples of a number where they are none."""
    size = [math.ceil(max(side, SHORTEST_SIDE) / multiple) * multiple for side in pixel_values.shape[-2:]]
    if size == list(pixel_values.shape[-2:]):
        return pixel_values
    return F.interpolate(pixel_values[None], size=size, mode="bilinear", align_corners=False)[0]


def _pixel_corners(boxes: torch.Tensor, image_size: tuple[int, int]) -> torch.Tensor:
    """Corners (R, 4) in pixels from boxes (R, 4) as centre, width and height in fractions of the picture."""
    height, width = image_size
    limits = boxes.new_tensor([width, height, width, height])
    centres, sides = boxes.split(2, dim=-1)
    corners = torch.cat([centres - sides / 2, centres + sides / 2], dim=-1) * limits
    corners = torch.minimum(corners.clamp(min=0), limits)
    low, high = corners.split(2, dim=-1)  # D-FINE's distances from the centre may be negative
    return torch.cat([torch.minimum(low, high), torch.maximum(low, high)], dim=-1)
