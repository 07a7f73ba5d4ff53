from pathlib import Path

import pytest
import torch

from lxmert import LxmertConfig, LxmertForImageAndTextRetrieval
from lxmert.processing import Question
from lxmert.training import TASKS, TrainingSettings, train
from lxmert.training.retrieval import MATCHED, NOT_MATCHED, MatchingPairs, retrieval_task, score_captions
from tests.training.conftest import COLOURS, ColourTask

CAPTIONS = [Question((f"image {i}",), f"a {COLOURS[i % 3]} square", question_id=str(i)) for i in range(24)]


@pytest.fixture
def model(colour_task: ColourTask) -> LxmertForImageAndTextRetrieval:
    torch.manual_seed(0)
    config = colour_task.model().config
    changes = {"id2label": None, "label2id": None, "initializer_range": 0.2}
    # with so few layers, and no layer between pooler and scores, smaller weights stay on a plateau
    return LxmertForImageAndTextRetrieval(LxmertConfig(**config.to_dict() | changes))


def test_half_of_the_captions_are_replaced_by_another_images() -> None:
    pairs = MatchingPairs(CAPTIONS, seed=3)
    texts = {caption.image_ids: caption.text for caption in CAPTIONS}
    matched = 0
    for epoch in range(40):
        for i, caption in enumerate(CAPTIONS):
            pair = pairs.draw(epoch, i)
            assert pair == pairs.draw(epoch, i)
            assert pair.image_ids == caption.image_ids
            if pair.answer == MATCHED:
                matched += 1
                assert pair.text == texts[pair.image_ids]
            else:
                assert pair.answer == NOT_MATCHED
                assert pair.text in texts.values()
    assert 0.45 < matched / 960 < 0.55
    assert [pairs.draw(0, i) for i in range(24)] != [pairs.draw(1, i) for i in range(24)]


def test_captions_of_one_image_are_refused() -> None:
    with pytest.raises(ValueError, match="about one image only"):
        MatchingPairs(CAPTIONS[:1] * 2)


def test_scores_are_those_of_the_pairs(model: LxmertForImageAndTextRetrieval, colour_task: ColourTask) -> None:
    captions = [CAPTIONS[5], CAPTIONS[2], Question(("image 5",), "something longer of image five", question_id="x")]
    scores, own = score_captions(model, colour_task.processor, captions, colour_task.store, progress=False)
    assert own == [0, 1, 0]
    assert scores.shape == (3, 2)
    for row, caption in enumerate(captions):
        for column, image_id in enumerate(("image 5", "image 2")):
            inputs = colour_task.processor(text=caption.text, regions=colour_task.store[image_id])
            with torch.no_grad():
                expected = model.eval()(**inputs).logits.softmax(-1)[0, 1]
            torch.testing.assert_close(scores[row, column], expected, atol=1e-5, rtol=1e-5)


def test_withholding_leaves_nothing(model: LxmertForImageAndTextRetrieval, colour_task: ColourTask) -> None:
    arguments = (model, colour_task.processor, CAPTIONS[:3], colour_task.store)
    without_image, _ = score_captions(*arguments, withhold="image", progress=False)
    torch.testing.assert_close(without_image, without_image[:, :1].expand(3, 3))
    without_text, _ = score_captions(*arguments, withhold="question", progress=False)
    torch.testing.assert_close(without_text, without_text[:1].expand(3, 3))


def test_matching_is_learned(model: LxmertForImageAndTextRetrieval, colour_task: ColourTask, tmp_path: Path) -> None:
    task = retrieval_task("colours", CAPTIONS, CAPTIONS[:3], colour_task.processor, colour_task.store, max_length=16)
    settings = TrainingSettings(tmp_path, epochs=40, batch_size=8, learning_rate=3e-3, progress=False, seed=1)
    result = train(model, task, settings)
    assert result.best_figure == 1.0, "each of three colours finds its picture first"
    best = LxmertForImageAndTextRetrieval.from_pretrained(result.best)
    judgement = TASKS["retrieval"].judge(best, colour_task.processor, CAPTIONS[:3], colour_task.store)
    assert judgement.figures["image_retrieval/recall@1"] == 1.0
    assert judgement.figures["text_retrieval/recall@5"] == 1.0
    assert judgement.predictions is None
