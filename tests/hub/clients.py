"""What is done in a process of its own, whose huggingface_hub knows the stand-in by HF_ENDPOINT."""

import contextlib
import io
import resource
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from huggingface_hub import constants

from lxmert import LxmertForQuestionAnswering, LxmertProcessor
from lxmert.hub import download_regions


def endpoint() -> tuple[str, bool]:
    return constants.ENDPOINT, constants.HF_HUB_DISABLE_XET


def logits(name: str, picture: str, question: str, **options: Any) -> torch.Tensor:
    """Of a checkpoint in a folder or on the Hub."""
    model = LxmertForQuestionAnswering.from_pretrained(name, **options)
    processor = LxmertProcessor.from_pretrained(name, **options)
    with torch.inference_mode():
        return model(**processor(text=question, images=picture, return_tensors="pt")).logits


def run_code(code: str, folder: str, **names: Any) -> str:
    """What Python code prints in a folder."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def stock_logits(name: str, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """By transformers' own class."""
    model = transformers.LxmertForQuestionAnswering.from_pretrained(name).eval()
    assert type(model).__module__.startswith("transformers.")
    with torch.inference_mode():
        return model(**inputs).question_answering_score


def streamed(name: str) -> list[dict[str, Any]]:
    return list(datasets.load_dataset(name, split="train", streaming=True))


def features_of(name: str, path: str, **options: Any) -> dict[str, Any]:
    """The regions that were brought back, by image."""
    return dict(download_regions(name, path, **options))


def with_little_space(size: int, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Call a function where no file may get larger than `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        function(*arguments, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def example(program: str, folder: str, *arguments: str) -> str:
    """What a program of examples/ prints."""
    printed = io.StringIO()
    before, hook = sys.argv, sys.excepthook
    sys.argv = [program, *arguments]
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            runpy.run_path(program, run_name="__main__")
    finally:
        sys.argv, sys.excepthook = before, hook
    return printed.getvalue()


def cached_files(pattern: str) -> list[str]:
    return sorted(str(path) for path in Path(constants.HF_HUB_CACHE).rglob(pattern))
