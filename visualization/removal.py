"""Inputs without some of their words and regions: what perturbation tests and Shapley values ask a model about."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

Inputs = Mapping[str, torch.Tensor]
# Everything that a model is given about a pair; labels and the like are left out.
OF_A_PAIR = ("input_ids", "token_type_ids", "attention_mask", "visual_feats", "visual_pos", "visual_attention_mask")


class Removable(NamedTuple):
    """What may be removed from B pairs.

    Args:
        words: (B, T) of bool, all words but [CLS], [SEP] and padding.
        regions: (B, R) of bool, all regions but padding.
    """

    words: torch.Tensor
    regions: torch.Tensor


def inputs_of_pairs(inputs: Inputs) -> dict[str, torch.Tensor]:
    """The inputs with both masks written out, without labels.

    Raises:
        TypeError: inputs that are no keywords.
        ValueError: inputs without ids or regions, or about pairs of images.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(
            f"Inputs are keywords of the model, got {type(inputs).__name__}: put a single batch into a list."
        )
    missing = [name for name in ("input_ids", "visual_feats", "visual_pos") if inputs.get(name) is None]
    if missing:
        raise ValueError(f"inputs lack {', '.join(missing)}: words and regions can be removed where both are given.")
    if inputs["visual_feats"].dim() != 3:
        raise ValueError(
            f"visual_feats must have the shape (B, R, D) of one image for each sentence, got "
            f"{tuple(inputs['visual_feats'].shape)}: sentences about two images cannot be taken apart."
        )
    kept = {name: value for name in OF_A_PAIR if (value := inputs.get(name)) is not None}
    words, features = kept["input_ids"], kept["visual_feats"]
    kept.setdefault("attention_mask", torch.ones_like(words))
    kept.setdefault("visual_attention_mask", torch.ones(features.shape[:2], dtype=torch.long, device=features.device))
    return kept


def removable(inputs: Inputs) -> Removable:
    """Which words and regions there are; [CLS] is the first wordpiece, [SEP] the last that is not masked out."""
    inputs = inputs_of_pairs(inputs)
    words = inputs["attention_mask"].bool().clone()
    places = torch.arange(words.shape[1], device=words.device)
    last = (places * words).argmax(1)
    words[:, 0] = False
    words[torch.arange(len(words), device=words.device), last] = False
    return Removable(words, inputs["visual_attention_mask"].bool())


def with_parts(inputs: Inputs, words: torch.Tensor, regions: torch.Tensor) -> dict[str, torch.Tensor]:
    """The inputs with some words and regions only.

    What is removed is masked out, so that no attention reaches it and what is left keeps its place in the sentence.
    Where no region is left, one stands for nothing: the whole image's box with features of 0.

    Args:
        inputs: of B pairs, keywords of the model.
        words: (B, T) of bool, removable words to keep; [CLS] and [SEP] always stay.
        regions: (B, R) of bool, regions to keep.

    Returns:
        Inputs with R + 1 regions, the last of which is seen only where it is the only one.
    """
    there = removable(inputs)
    inputs = inputs_of_pairs(inputs)
    always = inputs["attention_mask"].bool() & ~there.words
    regions = regions & there.regions
    nothing = ~regions.any(1, keepdim=True)  # (B, 1)
    features, boxes = inputs["visual_feats"], inputs["visual_pos"]
    whole = boxes.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(len(boxes), 1, 4)
    return inputs | {
        "attention_mask": (always | words & there.words).long(),
        "visual_feats": torch.cat([features, torch.zeros_like(features[:, :1])], 1),
        "visual_pos": torch.cat([boxes, whole], 1),
        "visual_attention_mask": torch.cat([regions, nothing], 1).long(),
    }
