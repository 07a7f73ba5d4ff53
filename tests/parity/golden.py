"""Weights of the golden outputs, regenerated from names and shapes as `reference/README.md` says."""

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import torch


def golden_array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values that the reference gave to a parameter of this name and shape."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape).astype(np.float32)
    if name.endswith("bias"):
        return 0.02 * normal
    if len(shape) == 1:  # weight of a layer normalisation
        return 1 + 0.1 * normal
    if "embedding" in name:
        return 0.25 * normal
    return (normal.astype(np.float64) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


def golden_state_dict(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The reference's values for all entries of a state dict; a tied decoder takes those of the word embeddings."""
    tied = {"cls.predictions.decoder.weight": "lxmert.embeddings.word_embeddings.weight"}
    return {
        name: torch.from_numpy(golden_array(tied.get(name, name), tuple(value.shape)))
        for name, value in state_dict.items()
    }
