from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import LxmertConfig, LxmertForPreTraining, LxmertForQuestionAnswering, LxmertProcessor, Regions
from lxmert.processing import train_wordpiece_tokenizer
from lxmert.visualization import Grounding, content_words, ground_words
from tests.conftest import SMALL

TEXTS = ["There is a yellow block.", "blocks touching the wall"]


@pytest.fixture(scope="module")
def pieces(processor: LxmertProcessor) -> LxmertProcessor:
    """A processor whose words fall into several pieces."""
    return LxmertProcessor(train_wordpiece_tokenizer(TEXTS, 40, model_max_length=48), processor.region_extractor)


def make_model(processor: LxmertProcessor, **overrides: Any) -> LxmertForPreTraining:
    torch.manual_seed(0)
    sizes = {"vocab_size": len(processor.tokenizer), "max_position_embeddings": 48, "id2label": {0: "no", 1: "yes"}}
    tasks = {"task_mask_lm": False, "task_matched": False, "task_obj_predict": False, "task_grounding": True}
    settings = SMALL | sizes | tasks | {"initializer_range": 0.3} | overrides
    del settings["num_qa_labels"]
    return LxmertForPreTraining(LxmertConfig(**settings)).eval()


@pytest.fixture(scope="module")
def model(pieces: LxmertProcessor) -> LxmertForPreTraining:
    return make_model(pieces)


def grounding(sentence: str, probabilities: Sequence[Sequence[float]]) -> Grounding:
    """About a picture, 40 wide and 30 high, with a red and a blue region and a third around both."""
    boxes = [[2, 3, 12, 13], [20, 10, 36, 26], [0, 0, 40, 30]]
    regions = Regions(features=np.zeros((3, 1)), boxes=boxes, image_size=(30, 40))
    return Grounding(None, sentence, regions, tuple(sentence.split()), np.array(probabilities), (("yes", 0.9),))


def test_a_word_means_what_its_first_piece_means(
    model: LxmertForPreTraining, pieces: LxmertProcessor, drawing: Image.Image
) -> None:
    images = [Image.new("RGB", (9, 9)), drawing]
    found = ground_words(model, pieces, images, TEXTS, truths=["no", None])
    assert found[0].words == ("There", "is", "a", "yellow", "block", ".")
    assert found[1].words == ("blocks", "touching", "the", "wall")
    inputs = pieces(text=TEXTS, images=images)
    with torch.no_grad():
        output = model(**inputs)
    several = 0
    for row, item in enumerate(found):
        names = pieces.tokenizer.convert_ids_to_tokens(inputs["input_ids"][row])
        names = names[: names.index("[SEP]")]
        first = [place for place, name in enumerate(names) if place and not name.startswith("##")]
        several += len(names) - 1 - len(first)
        assert item.probabilities.shape == (len(item.words), len(item.regions))
        expected = output.grounding_logits[row, first, : len(item.regions)].sigmoid()
        np.testing.assert_allclose(item.probabilities, expected, atol=1e-6)
        np.testing.assert_array_equal(item.meant(1), expected[1] > 0.5)
        scores = output.question_answering_score[row].softmax(-1)
        best = int(scores.argmax())
        assert item.answers[0] == (model.config.id2label[best], pytest.approx(scores[best].item()))
        assert item.answers[1] == (model.config.id2label[1 - best], pytest.approx(scores[1 - best].item()))
    assert several > 4, "words must fall into pieces for this test"
    assert [len(item.regions) for item in found] == [1, 3]
    assert [item.truth for item in found] == ["no", None]
    assert found[1].image is drawing


def test_batches_give_what_single_sentences_give(
    model: LxmertForPreTraining, pieces: LxmertProcessor, drawing: Image.Image
) -> None:
    texts = [TEXTS[i % 2] for i in range(34)]
    together = ground_words(model, pieces, [drawing] * 34, texts, progress=True)
    assert [item.sentence for item in together] == texts
    regions = pieces.region_extractor([drawing])
    for item in together[:2] + together[-2:]:
        alone = ground_words(model, LxmertProcessor(pieces.tokenizer), None, [item.sentence], regions=regions)[0]
        assert alone.image is None
        np.testing.assert_allclose(item.probabilities, alone.probabilities, atol=1e-5)
        assert alone.answers[0] == (item.answers[0][0], pytest.approx(item.answers[0][1], abs=1e-5))


def test_a_model_without_answers_still_grounds(pieces: LxmertProcessor, drawing: Image.Image) -> None:
    found = ground_words(make_model(pieces, task_qa=False), pieces, [drawing], TEXTS[:1])[0]
    assert found.answers == ()
    assert found.probabilities.shape == (6, 3)


def test_bad_calls_are_refused(model: LxmertForPreTraining, pieces: LxmertProcessor, drawing: Image.Image) -> None:
    plain = make_model(pieces, task_grounding=False)
    with pytest.raises(ValueError, match='LxmertForPreTraining without a grounding head: .* "task_grounding": true'):
        ground_words(plain, pieces, [drawing], TEXTS[:1])
    answering = LxmertForQuestionAnswering(model.config)
    with pytest.raises(ValueError, match="LxmertForQuestionAnswering without a grounding head: .*LxmertForPreTraining"):
        ground_words(answering, pieces, [drawing], TEXTS[:1])
    with pytest.raises(ValueError, match="one of images for each sentence, got 1 images and 2 sentences"):
        ground_words(model, pieces, [drawing], TEXTS)
    with pytest.raises(ValueError, match="one of truths for each sentence, got 3 truths and 2 sentences"):
        ground_words(model, pieces, [drawing] * 2, TEXTS, truths=["yes"] * 3)
    with pytest.raises(ValueError, match="one of regions for each sentence, got 1 regions"):
        ground_words(model, pieces, None, TEXTS, regions=pieces.region_extractor([drawing]))
    with pytest.raises(ValueError, match="no region extractor"):
        ground_words(model, LxmertProcessor(pieces.tokenizer), [drawing], TEXTS[:1])
    with pytest.raises(ValueError, match="Give images, or regions that were found in them"):
        ground_words(model, pieces, None, TEXTS)


def test_words_to_show_mean_something_of_their_own() -> None:
    item = grounding(
        "the red block and a Blue circle beside triangles .",
        [
            [0.9, 0.9, 0.9],  # the: names nothing
            [0.9, 0.0, 0.0],  # red: what block means
            [0.8, 0.2, 0.1],
            [0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0],
            [0.1, 0.7, 0.2],
            [0.2, 0.6, 0.9],
            [0.4, 0.5, 0.1],  # beside: no region above a half
            [0.6, 0.7, 0.8],
            [0.9, 0.9, 0.1],  # a full stop
        ],
    )
    assert content_words(item, most=9) == [1, 2, 5, 6, 8]
    assert content_words(item) == [2, 5, 6, 8]
    assert content_words(item, most=2) == [2, 6], "the surest"
    assert content_words(item, skip={"block", "blue"}) == [0, 1, 6, 8]
