"""Faster R-CNN with attributes: the detector whose features LXMERT was trained on."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from lxmert.configuration import FasterRcnnConfig
from lxmert.configuration.detectron import LOADER_KEYWORDS
from lxmert.detection.faster_rcnn_checks import ImageSizes, checked_boxes, checked_scales, checked_sizes
from lxmert.detection.original_weights import find_original_weights, read_original_weights
from lxmert.detection.proposals import AnchorGenerator, CellAnchors, ProposalGenerator, cell_anchors
from lxmert.detection.resnet import STRIDE, Backbone, NormalisedConv2d, folded, make_stage
from lxmert.detection.roi_pool import pooled_parts
from lxmert.detection.selection import select_regions

# Regions that go through res5 at once: on a CPU few enough for a layer's activations to stay in cache.
REGIONS_AT_ONCE_ON_CPU = 32
REGIONS_AT_ONCE = 256


@dataclass
class FasterRcnnOutput(ModelOutput):
    """The regions of B images, one tensor for each image; R differs from image to image, 1 <= R <= max_boxes.

    Args:
        boxes: (R, 4), pixels of the input or, with `scales_yx`, of the original image.
        normalized_boxes: (R, 4), divided by the image's width and height, in [0, 1].
        features: (R, hidden_sizes[3]).
        object_ids: (R,), the best class, background left out.
        object_scores: (R,), its probability.
        attribute_ids: (R,), the best attribute, "none" left out.
        attribute_scores: (R,), its probability.
        proposal_indices: (R,), which proposals were kept.
    """

    boxes: tuple[torch.Tensor, ...] | None = None
    normalized_boxes: tuple[torch.Tensor, ...] | None = None
    features: tuple[torch.Tensor, ...] | None = None
    object_ids: tuple[torch.Tensor, ...] | None = None
    object_scores: tuple[torch.Tensor, ...] | None = None
    attribute_ids: tuple[torch.Tensor, ...] | None = None
    attribute_scores: tuple[torch.Tensor, ...] | None = None
    proposal_indices: tuple[torch.Tensor, ...] | None = None


class BoxPredictor(nn.Module):
    """Classes, attributes and boxes from a region's features."""

    def __init__(self, config: FasterRcnnConfig):
        super().__init__()
        width, classes = config.hidden_sizes[3], config.num_objects + 1
        self.cls_score = nn.Linear(width, classes)
        self.bbox_pred = nn.Linear(width, 4 * config.num_objects)
        self.cls_embedding = nn.Embedding(classes, config.class_embedding_size)
        self.fc_attr = nn.Linear(width + config.class_embedding_size, config.attribute_hidden_size)
        self.attr_score = nn.Linear(config.attribute_hidden_size, config.num_attributes + 1)

    def attribute_logits(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(R, D) and classes (R,), background included, to (R, num_attributes + 1), "none" last."""
        joined = torch.cat([features, self.cls_embedding(classes)], dim=-1)
        return self.attr_score(F.relu(self.fc_attr(joined)))


class RoiHeads(nn.Module):
    """From pooled regions to features: res5 and its mean."""

    def __init__(self, config: FasterRcnnConfig):
        super().__init__()
        self.res5 = make_stage(config, 5, config.res5_stride, config.res5_dilation)
        self.box_predictor = BoxPredictor(config)

    def forward(self, pooled: Iterable[torch.Tensor]) -> torch.Tensor:
        """R pooled regions in parts (r, C, size, size) to (R, D)."""
        predictor = self.box_predictor.cls_score
        none = predictor.weight.new_zeros(0, predictor.in_features)
        with folded(self.res5, none.dtype):
            return torch.cat([none, *(_mean(self.res5(part)) for part in pooled)])


class FasterRcnnPreTrainedModel(PreTrainedModel):
    """Loading, saving and initial weights."""

    config_class = FasterRcnnConfig
    base_model_prefix = ""
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    # Anchors follow from the configuration; frozen normalisation counts no batches.
    _keys_to_ignore_on_load_missing = [r"cell_anchors", r"num_batches_tracked"]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *arguments: Any, **keywords: Any) -> Any:
        """As every transformers model; a pytorch_model.bin may also be Detectron's pickle of arrays.

        Raises:
            ValueError: weights that cannot be read without running code, or of other anchors than the configuration's.
        """
        name = pretrained_model_name_or_path
        given = name is not None and keywords.get("state_dict") is None
        path = find_original_weights(name, keywords) if given else None
        if path is None:
            loaded = super().from_pretrained(name, *arguments, **keywords)
        else:
            dtype = keywords.pop("dtype", keywords.pop("torch_dtype", None))
            config = keywords.pop("config", None)
            if config is None:
                config, keywords = cls.config_class.from_pretrained(name, return_unused_kwargs=True, **keywords)
            for keyword in ("use_safetensors", *LOADER_KEYWORDS):
                keywords.pop(keyword, None)
            if dtype not in (None, "auto"):
                keywords["dtype"] = dtype
            weights = read_original_weights(path)
            loaded = super().from_pretrained(None, *arguments, config=config, state_dict=weights, **keywords)
            model = loaded[0] if isinstance(loaded, tuple) else loaded
            model.name_or_path = model.config._name_or_path = os.fspath(name)
        (loaded[0] if isinstance(loaded, tuple) else loaded)._check_anchors()
        return loaded

    def _check_anchors(self) -> None:
        """The checkpoint's anchors are not read: they must be those of the configuration."""
        for module in self.modules():
            if isinstance(module, AnchorGenerator):
                there = module.cell_anchors.get_buffer("0").float().cpu()
                here = cell_anchors(self.config.anchor_sizes, self.config.anchor_ratios)
                if there.shape != here.shape or not torch.allclose(there, here, rtol=0.01):
                    raise ValueError(
                        f"The checkpoint's anchors, the first {there[0].tolist()}, are not those of the configuration, "
                        f"{here[0].tolist()}: give the anchor_sizes and anchor_ratios that it was trained with."
                    )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, NormalisedConv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            # One by one: where a file has some of them, `nn.init` leaves these as they are.
            for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
                nn.init.constant_(getattr(module, name), value)
            nn.init.zeros_(module.get_buffer("num_batches_tracked"))
        elif isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(bias := getattr(module, "bias", None), torch.Tensor):
                nn.init.zeros_(bias)
        elif isinstance(module, CellAnchors):
            anchors = cell_anchors(self.config.anchor_sizes, self.config.anchor_ratios)
            module.get_buffer("0").copy_(anchors)


class FasterRcnnForRegionFeatures(FasterRcnnPreTrainedModel):
    """Images to regions: ResNet C4, region proposals, RoI pooling, dilated res5, predictors of object, attribute, box.

    Names and shapes of the weights are those of the Hub's
    [unc-nlp/frcnn-vg-finetuned](https://huggingface.co/unc-nlp/frcnn-vg-finetuned): `from_pretrained` reads its
    config.yaml and pytorch_model.bin, the latter without running anything it may contain. `save_pretrained` writes
    config.json and model.safetensors.

    Batch normalisation always uses the checkpoint's statistics; there is no training of the detector here.

    Example:
        >>> config = FasterRcnnConfig(hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1], num_objects=3)
        >>> model = FasterRcnnForRegionFeatures(config).eval()
        >>> with torch.inference_mode():
        ...     found = model(torch.zeros(1, 3, 64, 96), image_sizes=[(64, 96)])
        >>> found.features[0].shape[1]
        64
    """

    def __init__(self, config: FasterRcnnConfig):
        super().__init__(config)
        self.backbone = Backbone(config)
        self.proposal_generator = ProposalGenerator(config)
        self.roi_heads = RoiHeads(config)
        self.post_init()

    def forward(
        self,
        pixel_values: torch.Tensor,
        image_sizes: ImageSizes,
        scales_yx: torch.Tensor | Sequence[tuple[float, float]] | None = None,
    ) -> FasterRcnnOutput:
        """Find the regions of B images.

        Args:
            pixel_values: (B, 3, H, W), BGR, 0..255 minus the mean; smaller images lie at the top left.
            image_sizes: (B, 2), height and width in pixels of each image's own part.
            scales_yx: (B, 2), original size / size here; boxes are then given in pixels of the original image.

        Raises:
            ValueError: other shapes, sizes beyond the tensor, or values that are not finite.
        """
        sizes = checked_sizes(pixel_values, image_sizes)
        scales = checked_scales(scales_yx, len(sizes))
        found: list[dict[str, torch.Tensor]] = [{} for _ in sizes]
        for rows, own_sizes, feature_map in self._feature_maps(pixel_values, sizes):
            proposals = [boxes for boxes, _ in self.proposal_generator(feature_map, own_sizes)]
            features = self._pooled_features(feature_map, proposals)
            for row, size, boxes, values in zip(rows, own_sizes, proposals, features, strict=True):
                found[row] = self._regions(boxes, values, size, scales[row].to(boxes.device))
        return FasterRcnnOutput(**{name: tuple(item[name] for item in found) for name in found[0]})

    def region_features(
        self, pixel_values: torch.Tensor, boxes: Sequence[torch.Tensor], image_sizes: ImageSizes | None = None
    ) -> list[torch.Tensor]:
        """The features of given boxes.

        Args:
            pixel_values: (B, 3, H, W), as `forward` takes them.
            boxes: B tensors (R, 4), x1, y1, x2, y2 in pixels of the input.
            image_sizes: (B, 2); all of H x W belongs to the images if left out.

        Returns:
            B tensors (R, hidden_sizes[3]).

        Raises:
            ValueError: as `forward`, or boxes of another shape or number.
        """
        if image_sizes is None:
            image_sizes = [(pixel_values.shape[-2], pixel_values.shape[-1])] * len(pixel_values)
        sizes = checked_sizes(pixel_values, image_sizes)
        if len(boxes) != len(sizes):
            raise ValueError(f"boxes holds {len(boxes)} tensors for {len(sizes)} images: give one for each.")
        boxes = [checked_boxes(item, i) for i, item in enumerate(boxes)]
        found: list[torch.Tensor] = [torch.empty(0)] * len(sizes)
        for rows, _, feature_map in self._feature_maps(pixel_values, sizes):
            for row, features in zip(
                rows, self._pooled_features(feature_map, [boxes[row] for row in rows]), strict=True
            ):
                found[row] = features
        return found

    def classify(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the predictors say of regions.

        Args:
            features: (R, hidden_sizes[3]).

        Returns:
            Object logits (R, num_objects + 1), background last; attribute logits (R, num_attributes + 1), "none" last,
            given the best class, background included; box regressions (R, 4 * num_objects), class by class.
        """
        predictor = self.roi_heads.box_predictor
        object_logits = predictor.cls_score(features)
        attribute_logits = predictor.attribute_logits(features, object_logits.argmax(dim=-1))
        return object_logits, attribute_logits, predictor.bbox_pred(features)

    def _feature_maps(
        self, pixel_values: torch.Tensor, sizes: list[tuple[int, int]]
    ) -> Iterator[tuple[list[int], list[tuple[int, int]], torch.Tensor]]:
        """Rows of the batch that go through the backbone together, their sizes and feature map."""
        groups: dict[tuple[int, int], list[int]] = {}
        if self.config.batching == "padded":
            groups[pixel_values.shape[-2], pixel_values.shape[-1]] = list(range(len(sizes)))
        else:
            for row, size in enumerate(sizes):
                groups.setdefault(size, []).append(row)
        for (height, width), rows in groups.items():
            part = pixel_values[rows, :, :height, :width].to(self.dtype, memory_format=torch.channels_last)
            yield rows, [sizes[row] for row in rows], self.backbone(part)

    def _pooled_features(self, feature_map: torch.Tensor, boxes: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """For each image of a feature map the features (R, D) of its boxes."""
        joined = torch.cat([item.to(feature_map.device, torch.float32) for item in boxes])
        counts = [len(item) for item in boxes]
        images = torch.repeat_interleave(
            torch.arange(len(boxes), device=joined.device), torch.tensor(counts, device=joined.device)
        )
        size = REGIONS_AT_ONCE_ON_CPU if feature_map.device.type == "cpu" else REGIONS_AT_ONCE
        pooled = pooled_parts(feature_map, joined, images, self.config.roi_pool_size, 1 / STRIDE, size)
        return self.roi_heads(pooled).split(counts)

    def _regions(
        self, proposals: torch.Tensor, features: torch.Tensor, size: tuple[int, int], scale_yx: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The fields of the output for one image."""
        predictor = self.roi_heads.box_predictor
        logits = predictor.cls_score(features)
        chosen, boxes = select_regions(self.config, proposals, logits, predictor.bbox_pred(features), size)
        features, logits = features[chosen], logits[chosen]
        attribute_logits = predictor.attribute_logits(features, logits.argmax(dim=-1))[:, :-1]
        object_scores, object_ids = logits.float().softmax(dim=-1)[:, :-1].max(dim=-1)
        attribute_scores, attribute_ids = attribute_logits.float().softmax(dim=-1).max(dim=-1)
        height, width = size
        return {
            "boxes": boxes * scale_yx[[1, 0, 1, 0]],
            "normalized_boxes": boxes / boxes.new_tensor([width, height, width, height]),
            "features": features,
            "object_ids": object_ids,
            "object_scores": object_scores,
            "attribute_ids": attribute_ids,
            "attribute_scores": attribute_scores,
            "proposal_indices": chosen,
        }


def _mean(hidden: torch.Tensor) -> torch.Tensor:
    """(R, C, h, w) to (R, C). A pooling is faster than `mean` with channels last, most so in bfloat16."""
    return F.avg_pool2d(hidden, (hidden.shape[-2], hidden.shape[-1])).flatten(1)
