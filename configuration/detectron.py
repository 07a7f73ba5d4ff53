"""The config.yaml that lies beside the original detector's weights, read as fields of ours."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from transformers.utils import cached_file

ORIGINAL_CONFIG_FILE = "config.yaml"
LOADER_KEYWORDS = ("cache_dir", "force_download", "proxies", "token", "local_files_only", "revision", "subfolder")
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class _PlainLoader(yaml.SafeLoader):
    """Safe: builds no Python objects. Tuples, which Detectron writes with a Python tag, become lists."""


_PlainLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node, deep=True)
)


def find_original_config(
    name_or_path: str | os.PathLike, instead_of: str, keywords: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The content of the config.yaml of a folder or Hub repository that has no file `instead_of`, else None.

    Args:
        name_or_path: a folder, or a repository's name.
        instead_of: name of the file that would go before it.
        keywords: those of `from_pretrained`; what concerns finding files is used (revision, token, ...).

    Raises:
        ValueError: as `read_original_config`.
    """
    if os.path.isfile(name_or_path):
        return read_original_config(name_or_path) if Path(name_or_path).suffix in (".yaml", ".yml") else None
    loader = {name: keywords[name] for name in LOADER_KEYWORDS if name in keywords}
    for name in (instead_of, ORIGINAL_CONFIG_FILE):
        if found := cached_file(name_or_path, name, _raise_exceptions_for_missing_entries=False, **loader):
            return read_original_config(found) if name == ORIGINAL_CONFIG_FILE else None
    return None


def read_original_config(path: str | os.PathLike) -> dict[str, Any]:
    """A config.yaml with all its keys in small letters: files exist in both.

    Raises:
        ValueError: a file that is no YAML, that would build Python objects, or that holds no mapping.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as plain YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} must hold settings by name, got {type(content).__name__}.")
    lowered = _lowered(content)
    assert isinstance(lowered, dict)
    return lowered


def config_fields(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `FasterRcnnConfig` from the content of a config.yaml; what the file leaves out keeps its default.

    Raises:
        ValueError: a network that cannot be built here.
    """
    resnet, rpn, heads = _part(original, "resnets"), _part(original, "rpn"), _part(original, "roi_heads")
    width = resnet.get("width_per_group")
    inner = (resnet.get("res2_out_channels") or 256) // 4
    box_head, anchors = _part(original, "roi_box_head"), _part(original, "anchor_generator")
    model = _part(original, "model")
    for place, name, value, wanted in (
        ("resnets", "num_groups", resnet.get("num_groups"), (1,)),
        ("resnets", "width_per_group", width, (inner,)),
        ("resnets", "norm", resnet.get("norm"), ("BN", "FrozenBN")),
        ("resnets", "out_features", resnet.get("out_features"), (["res4"],)),
        ("resnets", "deform_on_per_stage", any(resnet.get("deform_on_per_stage") or ()), (False,)),
        ("model", "max_pool", model.get("max_pool"), (True,)),
        ("anchor_generator", "offset", anchors.get("offset"), (0,)),
        ("rpn", "bbox_reg_weights", rpn.get("bbox_reg_weights"), ([1, 1, 1, 1],)),
        ("roi_box_head", "bbox_reg_weights", box_head.get("bbox_reg_weights"), ([10, 10, 5, 5],)),
        ("roi_box_head", "cls_agnostic_bbox_reg", box_head.get("cls_agnostic_bbox_reg"), (False,)),
        ("roi_box_head", "pooler_type", box_head.get("pooler_type"), ("ROIPool",)),
        ("roi_box_head", "attr", box_head.get("attr"), (True,)),
        ("proposal_generator", "min_size", _part(original, "proposal_generator").get("min_size"), (0,)),
    ):
        if value is not None and value not in wanted:
            can = " or ".join(map(repr, wanted))
            raise ValueError(f"{place}.{name} is {value!r} in config.yaml, but only {can} can be built.")
    found: dict[str, Any] = {
        "embedding_size": resnet.get("stem_out_channels"),
        "stride_in_1x1": resnet.get("stride_in_1x1"),
        "rpn_hidden_size": _part(original, "proposal_generator").get("hidden_channels"),
        "rpn_nms_threshold": rpn.get("nms_thresh"),
        "rpn_candidates": rpn.get("pre_nms_topk_test"),
        "rpn_proposals": rpn.get("post_nms_topk_test"),
        "roi_pool_size": box_head.get("pooler_resolution"),
        "num_objects": heads.get("num_classes"),
        "num_attributes": box_head.get("num_attrs"),
        "nms_thresholds": heads.get("nms_thresh_test"),
        "score_threshold": heads.get("score_thresh_test"),
        "min_boxes": original.get("min_detections"),
        "max_boxes": original.get("max_detections"),
    }
    if isinstance(found["nms_thresholds"], (int, float)):
        found["nms_thresholds"] = [found["nms_thresholds"]]
    for name, key in (("anchor_sizes", "sizes"), ("anchor_ratios", "aspect_ratios")):
        levels = anchors.get(key)
        if levels is not None and len(levels) != 1:
            raise ValueError(f"anchor_generator.{key} has {len(levels)} levels in config.yaml: only one can be built.")
        found[name] = levels and levels[0]
    if (depth := resnet.get("depth")) is not None:
        if depth not in DEPTHS:
            raise ValueError(f"resnets.depth is {depth} in config.yaml; known are {', '.join(map(str, DEPTHS))}.")
        found["depths"] = DEPTHS[depth]
    if (channels := resnet.get("res2_out_channels")) is not None:
        found["hidden_sizes"] = [channels * 2**stage for stage in range(4)]
    if box_head.get("res5halve"):
        found |= {"res5_stride": 2, "res5_dilation": 1}
    return {name: value for name, value in found.items() if value is not None}


def image_processor_fields(original: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `FasterRcnnImageProcessor` from the content of a config.yaml.

    Raises:
        ValueError: channels in another order than BGR.
    """
    inputs, model = _part(original, "input"), _part(original, "model")
    if str(inputs.get("format") or "BGR").upper() != "BGR":
        raise ValueError(f"input.format is {inputs['format']!r} in config.yaml; the detector takes 'BGR'.")
    deviation = model.get("pixel_std")
    if deviation is not None and set(deviation if isinstance(deviation, list) else [deviation]) != {1}:
        raise ValueError(f"model.pixel_std is {deviation!r} in config.yaml, but only 1 is known.")
    for name in ("min_size_test", "max_size_test"):
        if not isinstance(inputs.get(name), (int, type(None))):
            raise ValueError(f"input.{name} is {inputs[name]!r} in config.yaml, but must be one whole number.")
    found = {
        "shorter_side": inputs.get("min_size_test"),
        "longer_side": inputs.get("max_size_test"),
        "pixel_mean": model.get("pixel_mean"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of the file, which may lie at the top or below `model`."""
    part = content.get(name)
    if part is None and name != "model":
        part = _part(content, "model").get(name)
    if part is not None and not isinstance(part, Mapping):
        raise ValueError(f"{name} is {part!r} in config.yaml, but must hold settings by name.")
    return part or {}


def _lowered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key).lower(): _lowered(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_lowered(item) for item in value]
    return value
