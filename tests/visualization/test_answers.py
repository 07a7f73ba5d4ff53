from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.visualization import AnsweredQuestion, answer_questions, draw_answers, region_attention
from tests.visualization.pictures import colour_share, pixels_of


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


def test_regions_stand_in_for_pictures(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    questions = ["is there a circle?", "what color is the shape?"]
    regions = processor.region_extractor([drawing] * 2)
    extracted = answer_questions(model, processor, [drawing] * 2, questions)
    given = answer_questions(model, LxmertProcessor(processor.tokenizer), None, questions, regions=regions)
    for one, other in zip(extracted, given, strict=True):
        assert one.answers == other.answers
        np.testing.assert_array_equal(one.region_weights, other.region_weights)
        assert (one.image, other.image) == (drawing, None)
    long = ["is there a circle " * 9]
    with pytest.raises(ValueError, match="question of .* tokens"):
        answer_questions(model, processor, None, long, regions=regions[:1])
    assert answer_questions(model, processor, None, long, regions=regions[:1], max_length=16)


def test_bad_calls_are_refused(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    with pytest.raises(ValueError, match="one question .* for each of the 1 images"):
        answer_questions(model, processor, [drawing], ["is it red?", "is it blue?"])
    with pytest.raises(ValueError, match="no region extractor"):
        answer_questions(model, LxmertProcessor(processor.tokenizer), [drawing], ["is it red?"])
    with pytest.raises(ValueError, match="Give images, or regions that were found in them"):
        answer_questions(model, processor, None, ["is it red?"])
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
    pixels = pixels_of(path)
    assert pixels.shape[1] > 1000
    assert colour_share(pixels, (181, 56, 44)) > 0.005, "a wrong answer's bar is red"
    assert colour_share(pixels, (42, 127, 79)) > 0.0005, "the truth's bar is green"
    assert colour_share(pixels, (240, 249, 33)) > 0.0005, "the region with all attention has the strongest colour"
    assert colour_share(pixels, (0, 0, 255)) > 0.01, "the picture is there"
    assert colour_share(pixels, (20, 20, 20)) < 0.2
    draw_answers([item], tmp_path / "report.svg", "title", columns=1)
    assert (tmp_path / "report.svg").read_text().startswith("<?xml")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_answers([], tmp_path / "report.png", "title")
