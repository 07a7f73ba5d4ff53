"""A pytorch_model.bin that is no file of `torch.save` but a pickle of numpy arrays, as Detectron's weights come."""

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


def find_pickled_arrays(name_or_path: str | os.PathLike, keywords: Mapping[str, Any]) -> Path | None:
    """The pytorch_model.bin of a folder or Hub repository, if it is the only weights there and a plain pickle.

    Args:
        name_or_path: a folder, or a repository's name.
        keywords: those of `from_pretrained`; what concerns finding files is used (revision, token, ...).
    """
    loader = {name: keywords[name] for name in LOADER_KEYWORDS if name in keywords}
    for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME):
        if found := cached_file(name_or_path, name, _raise_exceptions_for_missing_entries=False, **loader):
            break
    if not found or name != WEIGHTS_NAME or zipfile.is_zipfile(found):
        return None
    with open(found, "rb") as file:
        return None if file.read(len(TORCH_START)) == TORCH_START else Path(found)


def read_pickled_arrays(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Tensors by name from a pickle of numpy arrays, by themselves or below "model". No code in the file is run.

    Raises:
        ValueError: a file that is damaged, that names anything but arrays, or that holds anything but arrays by name.
    """
    try:
        with open(path, "rb") as file:
            content = _ArrayUnpickler(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not load as plain arrays: it is damaged, or holds Python objects, whose loading could run "
            f"any code, which is never done here ({error}). If you trust it, load it yourself and save its tensors."
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} must hold arrays by name, got {type(content).__name__}.")
    for name, value in content.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise ValueError(f"{path} must hold arrays of numbers by name, but {name!r} is {type(value).__name__}.")
    return {str(name): torch.from_numpy(value.copy()) for name, value in content.items()}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # the name before numpy 2
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)
