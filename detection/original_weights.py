"""A pytorch_model.bin as published checkpoints have it: by torch, or a pickle of arrays as Detectron's weights come."""

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_NAME, cached_file

from lxmert.configuration.detectron import LOADER_KEYWORDS

# How the files of torch.save before version 1.6 begin.
TORCH_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# All that a pickle of arrays needs to name; none of it runs what the file brings.
HARMLESS = {
    ("collections", "OrderedDict"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
NO_WEIGHTS = {b"<": "a web page", b"version https://git-lfs": "a pointer of Git LFS"}
ENVELOPES = ("model", "state_dict")


def find_original_weights(name_or_path: str | os.PathLike, keywords: Mapping[str, Any]) -> Path | None:
    """The pytorch_model.bin of a folder or Hub repository, if there are no other weights.

    Args:
        name_or_path: a folder, or a repository's name.
        keywords: those of `from_pretrained`; what concerns finding files is used (revision, token, ...).
    """
    if keywords.get("use_safetensors") or keywords.get("variant"):
        return None
    loader = {name: keywords[name] for name in LOADER_KEYWORDS if name in keywords}
    for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME):
        if found := cached_file(name_or_path, name, _raise_exceptions_for_missing_entries=False, **loader):
            return Path(found) if name == WEIGHTS_NAME else None
    return None


def read_original_weights(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Tensors by name, by themselves or below "model" or "state_dict", without `nn.DataParallel`'s "module.".

    No code that the file may hold is run.

    Raises:
        ValueError: a file that is damaged or no weights file, that names anything but tensors and arrays, or that holds
            anything else by name.
    """
    with open(path, "rb") as file:
        start = file.read(64)
    for sign, what in NO_WEIGHTS.items():
        if start.lstrip().startswith(sign):
            raise ValueError(f"{path} holds no weights, it is {what}: download the file itself.")
    by_torch = zipfile.is_zipfile(path) or start.startswith(TORCH_START)
    try:
        content = _load_torch(path) if by_torch else _load_pickle(path)
    except (
        *(pickle.UnpicklingError, EOFError, ValueError, AttributeError, IndexError, KeyError, TypeError),
        *(RuntimeError, ImportError, MemoryError),
    ) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} does not load as plain tensors or arrays: it is damaged, or holds Python objects, whose loading "
            f"could run any code, which is never done here ({said}). If you trust where it comes from, load it "
            "yourself and save its state_dict() of tensors again."
        ) from error
    for name in ENVELOPES:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} must hold tensors or arrays by name, got {type(content).__name__}.")
    return {str(name).removeprefix("module."): _as_tensor(path, name, value) for name, value in content.items()}


def _load_torch(path: str | os.PathLike) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _load_pickle(path: str | os.PathLike) -> Any:
    with open(path, "rb") as file:
        return _ArrayUnpickler(file, encoding="latin1").load()


def _as_tensor(path: str | os.PathLike, name: str, value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise ValueError(f"{path} must hold tensors or arrays by name, but {name!r} is {type(value).__name__}.")
    return torch.from_numpy(value.astype(value.dtype.newbyteorder("="), copy=True))


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # the name before numpy 2
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)
