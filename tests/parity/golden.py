"""Weights of the golden outputs, regenerated from names and shapes as `reference/README.md` says."""

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import torch

# What the detector's layers are multiplied by, so that its classes and boxes differ.
DETECTOR_GAINS = {
    "backbone.stem.conv1.weight": 1 / 64,
    "rpn_head.anchor_deltas.weight": 0.15,
    "box_predictor.cls_score.weight": 7.0,
    "box_predictor.bbox_pred.weight": 0.5,
    "box_predictor.cls_embedding.weight": 16.0,
    "box_predictor.attr_score.weight": 2.0,
}


def golden_array(name: str, shape: tuple[int, ...], gains: Mapping[str, float] | None = None) -> np.ndarray:
    """The values that the reference gave to a parameter of this name and shape."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape).astype(np.float32)
    gain = next((gain for part, gain in (gains or {}).items() if part in name), 1.0)
    return (gain * _scaled(name, shape, normal)).astype(np.float32)


def _scaled(name: str, shape: tuple[int, ...], normal: np.ndarray) -> np.ndarray:
    if name.endswith("running_mean"):
        return 0.1 * normal
    if name.endswith("running_var"):
        return 1 + 0.1 * np.abs(normal)
    if name.endswith("bias"):
        return 0.02 * normal
    if len(shape) == 1:  # weight of a normalisation
        return 1 + 0.1 * normal
    if "embedding" in name:
        return 0.25 * normal
    return normal.astype(np.float64) / math.sqrt(math.prod(shape[1:]))


def golden_state_dict(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The reference's values for all entries of a state dict; a tied decoder takes those of the word embeddings."""
    tied = {"cls.predictions.decoder.weight": "lxmert.embeddings.word_embeddings.weight"}
    return {
        name: torch.from_numpy(golden_array(tied.get(name, name), tuple(value.shape)))
        for name, value in state_dict.items()
    }
