from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.visualization import AnsweredQuestion, answer_questions, draw_answers, region_attention


@pytest.fixture
def model(processor: LxmertProcessor) -> LxmertForQuestionAnswering:
    torch.manual_seed(0)
    return LxmertForQuestionAnswering(
        LxmertConfig(
            vocab_size=len(processor.tokenizer),
            hidden_size=32,
            num_attention_heads=2,
            l_layers=1,
            r_layers=1,
            x_layers=2,
            intermediate_size=32,
            visual_feat_dim=12,
            id2label={0: "red", 1: "blue", 2: "no"},
        )
    ).eval()


def test_answers_come_with_probabilities_and_attention(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    images, questions = [drawing, Image.new("RGB", (9, 9))], ["is there a circle?", "what color is the shape?"]
    answered = answer_questions(model, processor, images, questions, truths=["no", "red"], top_k=2)
    inputs = processor(text=questions, images=images)
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    for i, item in enumerate(answered):
        probabilities = output.logits[i].softmax(-1)
        top = probabilities.argmax().item()
        assert item.answers[0] == (model.config.id2label[top], pytest.approx(probabilities[top].item()))
        assert len(item.answers) == 2
        expected = output.cross_encoder_attentions[-1][i, :, 0, : len(item.regions)].mean(0)
        np.testing.assert_allclose(item.region_weights, expected, atol=1e-6)
        assert item.region_weights.sum() == pytest.approx(1, abs=1e-5)
    assert [len(item.regions) for item in answered] == [3, 1]
    assert [item.truth for item in answered] == ["no", "red"]


def test_bad_calls_are_refused(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    with pytest.raises(ValueError, match="one question .* for each of the 1 images"):
        answer_questions(model, processor, [drawing], ["is it red?", "is it blue?"])
    with pytest.raises(ValueError, match="no region extractor"):
        answer_questions(model, LxmertProcessor(processor.tokenizer), [drawing], ["is it red?"])
    with pytest.raises(ValueError, match="call the model with output_attentions=True"):
        region_attention(model(**processor(text="is it red?", images=drawing)))


def test_the_report_shows_boxes_in_the_attentions_colours(
    processor: LxmertProcessor, drawing: Image.Image, tmp_path: Path
) -> None:
    regions = processor.region_extractor(drawing)[0]
    item = AnsweredQuestion(
        drawing, "is it red?", [("yes", 0.9), ("no", 0.1)], regions, np.array([1, 0, 0]), truth="no"
    )
    path = draw_answers([item] * 3, tmp_path / "new" / "report.png", "title")
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1] > 1000

    def share(colour: tuple[int, int, int]) -> float:
        return (np.abs(pixels - colour).max(axis=2) <= 8).mean()

    assert share((181, 56, 44)) > 0.005, "a wrong answer's bar is red"
    assert share((42, 127, 79)) > 0.0005, "the truth's bar is green"
    assert share((240, 249, 33)) > 0.0005, "the region with all attention has the strongest colour"
    assert share((0, 0, 255)) > 0.01, "the picture is there"
    assert share((20, 20, 20)) < 0.2
    draw_answers([item], tmp_path / "report.svg", "title", columns=1)
    assert (tmp_path / "report.svg").read_text().startswith("<?xml")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_answers([], tmp_path / "report.png", "title")
