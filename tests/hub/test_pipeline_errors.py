"""Calls of the pipeline that cannot be answered: each is told which argument is wrong, and what to do."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from lxmert import LxmertForQuestionAnswering, LxmertProcessor, LxmertVisualQuestionAnsweringPipeline, Regions

ITEM = {"image": "a.png", "question": "is it?"}


@pytest.fixture
def pipe(small_model: LxmertForQuestionAnswering, processor: LxmertProcessor) -> LxmertVisualQuestionAnsweringPipeline:
    return LxmertVisualQuestionAnsweringPipeline(model=small_model, processor=processor, device="cpu")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"question": "is it?"}, ValueError, "either image or regions, got neither"),
        (ITEM | {"regions": []}, ValueError, "got both"),
        ({"image": "a.png"}, ValueError, "question is None"),
        (ITEM | {"question": []}, ValueError, "question is an empty list: give one at least"),
        (ITEM | {"image": []}, ValueError, "image is an empty list: give one at least"),
        ({"regions": [], "question": "is it?"}, ValueError, "regions is an empty list"),
        (
            {"image": ["a", "b"], "question": ["is it?"] * 3},
            ValueError,
            "image is a list of 2, but question is a list of 3: give one each",
        ),
        (ITEM | {"question": 5}, TypeError, "question must be a text, or a list of such, got int"),
        (ITEM | {"question": {"is it?": 1}}, TypeError, "question must be a text, or a list of such, got dict"),
        (ITEM | {"question": b"is it?"}, TypeError, "question must be a text, or a list of such, got bytes"),
        (ITEM | {"question": ["is it?", 5]}, TypeError, "question must be a text, got int"),
        ({"image": {"question": "is it?"}}, ValueError, "either an image or regions, got question"),
        ({"image": [ITEM], "question": "what?"}, ValueError, "nothing beside them"),
        ({"image": [ITEM, "b.png"]}, TypeError, "got str"),
        ({"image": iter([ITEM]), "question": "is it?"}, ValueError, "taken for items.*give nothing beside it"),
        ({"image": torch.zeros(3, 4, 4), "question": "is it?"}, ValueError, "image is a Tensor"),
        (ITEM | {"top_k": 0}, ValueError, "top_k must be a whole number of at least 1, got 0"),
        (ITEM | {"topk": 3}, TypeError, "Unknown keywords: topk; a call takes image"),
        (ITEM | {"explain": "yes"}, TypeError, "explain must be True or False, got 'yes'"),
        (ITEM | {"truncation": 1}, TypeError, "truncation must be True or False, got 1"),
        (ITEM | {"batch_size": 0}, ValueError, "batch_size must be a whole number of at least 1, got 0"),
        (ITEM | {"batch_size": -1}, ValueError, "batch_size must be a whole number of at least 1, got -1"),
        (ITEM | {"batch_size": "2"}, ValueError, "batch_size must be a whole number of at least 1, got '2'"),
        (ITEM | {"image": "/no/such.png"}, FileNotFoundError, "/no/such.png"),
        (ITEM | {"image": 5}, TypeError, "image must be a path, PIL image, .* or a list of them, got int"),
        (ITEM | {"image": ""}, ValueError, "image is empty, '': give a path"),
        (ITEM | {"image": b""}, ValueError, "image is empty, b''"),
        ({"regions": 5, "question": "is it?"}, TypeError, "regions must be Regions, or a list of such, got int"),
        ({"regions": ["a.png"], "question": "is it?"}, TypeError, "regions must be lxmert.Regions, got str"),
    ],
)
def test_wrong_calls_are_told(arguments: dict[str, Any], error: type[Exception], words: str, pipe: Any) -> None:
    with pytest.raises(error, match=words):
        pipe(**arguments)


def test_a_batch_size_of_the_construction_is_looked_at_too(pipe: Any) -> None:
    made = LxmertVisualQuestionAnsweringPipeline(model=pipe.model, processor=pipe.processor, device="cpu", batch_size=0)
    with pytest.raises(ValueError, match="batch_size must be"):
        made("a.png", "is it?")


def test_regions_of_another_copy_of_the_code_are_one_image(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code beside a checkpoint may be loaded twice, and then has two classes of the name."""
    fields = [(one.name, one.type, one) for one in dataclasses.fields(Regions)]
    copy = dataclasses.make_dataclass("Regions", fields, frozen=True, eq=False)
    regions = copy(np.zeros((1, 12)), [[0, 0, 40, 30]], (30, 40))
    seen: list[Any] = []
    monkeypatch.setattr(pipe, "_answers", lambda items, *_: seen.extend(items) or iter([["an answer"]]))
    assert pipe(regions=regions, question="is it?") == ["an answer"]
    assert seen == [{"regions": regions, "question": "is it?"}]
