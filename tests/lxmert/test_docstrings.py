"""The examples in docstrings give what they say, and every public name has a docstring."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from PIL import Image

import lxmert
from lxmert.processing import train_wordpiece_tokenizer
from tests.conftest import ROOT

FOLDERS = (
    "configuration",
    "detection",
    "engines",
    "evaluation",
    "hub",
    "modeling_lxmert",
    "processing",
    "scenes",
    "training",
    "visualization",
)
MODULES = [
    f"lxmert.{folder}.{module.name}" for folder in FOLDERS for module in pkgutil.iter_modules([str(ROOT / folder)])
]
NAMES = {"torch": torch, "np": np, "Image": Image, "train_wordpiece_tokenizer": train_wordpiece_tokenizer}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs=NAMES | {n: getattr(lxmert, n) for n in lxmert.__all__})
    assert result.failed == 0


@pytest.mark.parametrize("name", lxmert.__all__)
def test_public_classes_are_documented(name: str) -> None:
    cls = getattr(lxmert, name)
    assert len(inspect.getdoc(cls) or "") > 80
