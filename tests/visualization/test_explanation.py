"""An explanation holds a question's answers and all that explains them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.visualization import METHODS, explain, relevance
from tests.conftest import QUESTIONS


@pytest.fixture
def model(small_config: Callable[..., LxmertConfig], processor: LxmertProcessor) -> LxmertForQuestionAnswering:
    assert processor.region_extractor is not None
    torch.manual_seed(0)
    config = small_config(
        vocab_size=len(processor.tokenizer),
        visual_feat_dim=processor.region_extractor.feature_dim,
        id2label={0: "red", 1: "blue", 2: "yes", 3: "no"},
        num_qa_labels=4,
    )
    return LxmertForQuestionAnswering(config).eval()


def test_it_agrees_with_the_functions_it_joins(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    found = explain(model, processor, drawing, QUESTIONS[0])
    assert found.question == QUESTIONS[0]
    assert found.words == ("[CLS]", "what", "color", "is", "the", "shape", "?", "[SEP]")
    assert len(found.regions) == len(found.record.regions[0])
    inputs = dict(processor(text=QUESTIONS[0], images=drawing))
    with torch.no_grad():
        probabilities = model(**inputs).logits.softmax(-1)[0]
    assert [answer for answer, _ in found.answers] == [
        model.config.id2label[i] for i in probabilities.argsort(descending=True).tolist()
    ]
    np.testing.assert_allclose(
        [value for _, value in found.answers], probabilities.sort(descending=True).values, atol=1e-6
    )
    assert found.explained == tuple(answer for answer, _ in found.answers[:3])
    assert set(found.relevances) == set(METHODS)
    second = found.explained[1]
    expected = relevance(model, inputs, second, "generic")
    np.testing.assert_allclose(found.relevances["generic"][second].regions, expected.regions, atol=1e-7)


def test_chosen_answers_and_methods(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    found = explain(model, processor, drawing, QUESTIONS[1], answers=["no", 0], methods=["rollout"])
    assert found.explained == ("no", "red")
    assert list(found.relevances) == ["rollout"]
    for answers, methods in (([], ["rollout"]), (None, [])):
        with pytest.raises(ValueError, match="must name one each at least"):
            explain(model, processor, drawing, QUESTIONS[1], answers=answers, methods=methods)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'maybe' is not among the model's 4 answers"):
        explain(model, processor, drawing, QUESTIONS[1], answers=["maybe"])


def test_one_answer_and_one_method(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    for answer in ("no", 3, np.int64(3)):
        found = explain(model, processor, drawing, QUESTIONS[1], answers=answer, methods="rollout")  # type: ignore[arg-type]
        assert found.explained == ("no",)
        assert list(found.relevances) == ["rollout"]


def test_answers_of_one_text_are_told_apart(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    model.config.id2label = {0: "red", 1: "red", 2: "yes", 3: "red"}
    found = explain(model, processor, drawing, QUESTIONS[0], answers=[0, 2, 3], methods=["rollout"])
    assert found.explained == ("red (0)", "yes", "red (3)")
    assert {answer for answer, _ in found.answers} == {"red (0)", "red (1)", "yes", "red (3)"}


def test_regions_instead_of_an_extractor(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    assert processor.region_extractor is not None
    regions = processor.region_extractor([drawing])[0]
    alone = LxmertProcessor(processor.tokenizer)
    found = explain(model, alone, None, QUESTIONS[0], regions)
    assert found.image is None
    np.testing.assert_array_equal(
        found.relevances["generic"][found.explained[0]].words,
        explain(model, processor, drawing, QUESTIONS[0]).relevances["generic"][found.explained[0]].words,
    )
    with pytest.raises(ValueError, match="Give a picture, or the regions"):
        explain(model, processor, None, QUESTIONS[0])
    with pytest.raises(ValueError, match="no region extractor: build it with"):
        explain(model, alone, drawing, QUESTIONS[0])


def test_a_picture_of_another_size_is_refused(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    assert processor.region_extractor is not None
    regions = processor.region_extractor([drawing])[0]
    with pytest.raises(ValueError, match=r"image has 60 x 80 pixels .*found in one of 30 x 40: give the same picture"):
        explain(model, processor, drawing.resize((80, 60)), QUESTIONS[0], regions)
