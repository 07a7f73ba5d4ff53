"""Sentences about two images: which image is which, inputs that are refused, and checkpoints of other heads."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForSequenceClassification

from lxmert import (
    LxmertConfig,
    LxmertForImageAndTextRetrieval,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
)
from tests.conftest import SMALL, make_batch, make_masks


@pytest.fixture
def model(small_config: Callable[..., LxmertConfig]) -> LxmertForVisualReasoning:
    torch.manual_seed(0)
    model = LxmertForVisualReasoning(small_config()).eval()
    for parameter in model.answer_head.parameters():  # biases of 0 and weights of 1 would pass for fresh ones
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_the_head_reads_left_and_right_in_this_order(model: LxmertForVisualReasoning) -> None:
    inputs = make_batch(images=2) | make_masks(images=2)
    with torch.no_grad():
        pooled = [
            model.lxmert(
                inputs["input_ids"],
                inputs["visual_feats"][:, image],
                inputs["visual_pos"][:, image],
                inputs["attention_mask"],
                inputs["visual_attention_mask"][:, image],
            ).pooled_output
            for image in (0, 1)
        ]
        found = model(**inputs).logits
    torch.testing.assert_close(found, model.answer_head(torch.cat(pooled, dim=1)))
    assert (found - model.answer_head(torch.cat(pooled[::-1], dim=1))).abs().max() > 1e-3


def test_the_loss_is_that_of_the_labelled(model: LxmertForVisualReasoning) -> None:
    inputs = make_batch(images=2)
    output = model(**inputs, labels=torch.tensor([1, -1, -100]))
    expected = torch.nn.functional.cross_entropy(output.logits[:1], torch.tensor([1]))
    torch.testing.assert_close(output.loss, expected)
    assert model(**inputs, labels=torch.full((3,), -1)).loss.item() == 0


def test_states_and_maps_hold_left_and_right_of_each_sentence(model: LxmertForVisualReasoning) -> None:
    inputs = make_batch(images=2)
    together = model(**inputs, output_attentions=True, output_hidden_states=True)
    assert together.cross_encoder_attentions[0].shape == (6, 4, 9, 5)
    assert together.language_hidden_states[0].shape == (6, 9, 32)
    right_of_second = model.lxmert(
        inputs["input_ids"][1:2],
        inputs["visual_feats"][1:2, 1],
        inputs["visual_pos"][1:2, 1],
        output_attentions=True,
        output_hidden_states=True,
    )
    for name in ("cross_encoder_attentions", "vision_hidden_states", "language_hidden_states"):
        torch.testing.assert_close(together[name][-1][3], right_of_second[name][-1][0], atol=1e-6, rtol=1e-5)


def test_encoders_may_have_run_before(model: LxmertForVisualReasoning) -> None:
    inputs, masks = make_batch(images=2), make_masks(images=2)
    expected = model(**inputs, **masks).logits
    text = model.lxmert.encode_text(inputs["input_ids"], masks["attention_mask"])
    rows = (tensor.flatten(0, 1) for tensor in (inputs["visual_feats"], inputs["visual_pos"]))
    regions = model.lxmert.encode_regions(*rows, masks["visual_attention_mask"].flatten(0, 1)).unflatten(0, (3, 2))
    for cached in (
        {"encoded_text": text, "encoded_regions": regions},
        {"encoded_text": text, "visual_feats": inputs["visual_feats"], "visual_pos": inputs["visual_pos"]},
        {"input_ids": inputs["input_ids"], "encoded_regions": regions},
        {"inputs_embeds": model.get_input_embeddings()(inputs["input_ids"]), "encoded_regions": regions},
    ):
        torch.testing.assert_close(model(**cached, **masks).logits, expected, atol=1e-5, rtol=1e-5)


def test_one_of_a_side_serves_all_of_the_other(model: LxmertForVisualReasoning) -> None:
    inputs = make_batch(images=2) | make_masks(images=2)
    for single in (("input_ids", "attention_mask"), ("visual_feats", "visual_pos", "visual_attention_mask")):
        one = inputs | {name: inputs[name][:1] for name in single}
        repeated = inputs | {name: inputs[name][:1].repeat(3, *[1] * (inputs[name].dim() - 1)) for name in single}
        torch.testing.assert_close(model(**one).logits, model(**repeated).logits)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"visual_feats": torch.zeros(3, 5, 12), "visual_pos": torch.zeros(3, 5, 4)},
            ValueError,
            r"visual_feats must have the shape \(batch, 2, regions, 12\), got \(3, 5, 12\): two images for each",
        ),
        ({"visual_feats": torch.zeros(3, 3, 5, 12)}, ValueError, r"got \(3, 3, 5, 12\): two images for each sentence"),
        ({"visual_feats": torch.zeros(3, 2, 5, 11)}, ValueError, r"\(batch, 2, regions, 12\), got \(3, 2, 5, 11\)\.$"),
        ({"visual_pos": torch.zeros(3, 5, 4)}, ValueError, r"visual_pos must have the shape \(batch, 2, regions, 4\)"),
        (
            {"visual_pos": torch.zeros(3, 2, 4, 4)},
            ValueError,
            r"5 regions in a batch of 3 but visual_pos has 4",
        ),
        ({"visual_pos": torch.full((3, 2, 5, 4), 40.0)}, ValueError, r"visual_pos must hold boxes divided by"),
        ({"visual_feats": torch.full((3, 2, 5, 12), torch.nan)}, ValueError, r"visual_feats holds NaN"),
        ({"visual_attention_mask": torch.ones(3, 5)}, ValueError, r"must have the shape \(3, 2, 5\) of visual_feats"),
        (
            {"visual_attention_mask": torch.tensor([[1, 1], [1, 0], [1, 1]])[..., None].expand(3, 2, 5)},
            ValueError,
            r"visual_attention_mask hides everything of item 1, image 1",
        ),
        ({"attention_mask": torch.ones(3, 8)}, ValueError, r"must have the shape \(3, 9\) of input_ids, got \(3, 8\)"),
        ({"input_ids": torch.ones(2, 9).long()}, ValueError, r"input_ids has a batch of 2 but visual_feats one of 3"),
        ({"input_ids": None}, ValueError, r"either input_ids or inputs_embeds, got neither"),
        ({"visual_feats": None}, ValueError, r"`visual_feats` is missing"),
        (
            {"encoded_regions": torch.zeros(3, 5, 32)},
            ValueError,
            r"encoded_regions must .*\(batch, 2, length, 32\)",
        ),
        ({"encoded_regions": torch.zeros(3, 2, 5, 32)}, ValueError, r"either encoded_regions or visual_feats"),
        ({"encoded_text": torch.zeros(3, 9, 32)}, ValueError, r"either encoded_text or input_ids"),
        ({"labels": torch.tensor([0, 2, 1])}, ValueError, r"labels must be class ids in 0..1 .*got 2"),
        ({"labels": torch.tensor([0, 1])}, ValueError, r"labels must be class ids \(3,\), got \(2,\)"),
        ({"labels": torch.zeros(3, 2)}, TypeError, r"labels must be class ids of an integer type, got torch.float32"),
    ],
)
def test_bad_inputs_are_refused(
    model: LxmertForVisualReasoning,
    changes: dict[str, torch.Tensor | None],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        model(**(make_batch(images=2) | changes))


def test_other_models_say_where_pairs_belong(small_model: LxmertForQuestionAnswering) -> None:
    with pytest.raises(ValueError, match=r"got \(3, 2, 5, 12\): .* one image .*, LxmertForVisualReasoning takes two"):
        small_model(**make_batch(images=2))


def test_the_classes_are_false_and_true_in_a_copy(small_config: Callable[..., LxmertConfig]) -> None:
    config = small_config(num_qa_labels=None, id2label={0: "red", 1: "blue", 2: "no"})
    model = LxmertForVisualReasoning(config)
    assert model.config.id2label == model.lxmert.config.id2label == {0: "false", 1: "true"}
    assert model.config.label2id == {"false": 0, "true": 1}
    assert model.config.num_labels == model.config.num_qa_labels == 2
    assert config.id2label == {0: "red", 1: "blue", 2: "no"}
    assert config.num_qa_labels == 3


def assert_fresh(head: torch.nn.Module) -> None:
    first, _, norm, last = head.logit_fc
    for layer in (first, last):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.3)
        assert not layer.bias.any()
    assert torch.equal(norm.weight, torch.ones_like(norm.weight))
    assert not norm.bias.any()


SOURCES = {
    "pre-training": LxmertForPreTraining,
    "answers": LxmertForQuestionAnswering,
    "transformers' pre-training": transformers.LxmertForPreTraining,
    "transformers' answers": transformers.LxmertForQuestionAnswering,
}


@pytest.mark.parametrize("answers", [7, 2])
@pytest.mark.parametrize("kind", SOURCES)
def test_encoders_of_another_head_are_taken_and_the_head_is_not(
    kind: str, answers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model_class = SOURCES[kind]
    source = model_class(model_class.config_class(**SMALL | {"num_qa_labels": answers}))
    for parameter in source.answer_head.parameters():
        torch.nn.init.normal_(parameter)
    source.save_pretrained(tmp_path)
    caplog.clear()
    model, report = LxmertForVisualReasoning.from_pretrained(tmp_path, output_loading_info=True)
    for name, tensor in source.lxmert.state_dict().items():
        assert torch.equal(model.lxmert.state_dict()[name], tensor), name
    assert_fresh(model.answer_head)
    assert not model.training
    assert model.config.id2label == {0: "false", 1: "true"}
    assert report["missing_keys"] == {f"answer_head.{name}" for name in model.answer_head.state_dict()}
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert len(caplog.records) == 1
    said = f"The answer head in {tmp_path} reads another number of images than that of LxmertForVisualReasoning"
    assert said in caplog.text
    half = LxmertForVisualReasoning.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


def test_a_checkpoint_without_a_head_is_reported_as_usual(
    small_config: Callable[..., LxmertConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = LxmertModel(small_config())
    base.save_pretrained(tmp_path)
    model, report = LxmertForVisualReasoning.from_pretrained(tmp_path, output_loading_info=True)
    assert torch.equal(model.lxmert.pooler.dense.weight, base.pooler.dense.weight)
    assert len(report["missing_keys"]) == 6
    assert "reads another number" not in caplog.text


def test_encoders_of_other_sizes_are_an_error(
    small_model: LxmertForQuestionAnswering, small_config: Callable[..., LxmertConfig], tmp_path: Path
) -> None:
    small_model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        LxmertForVisualReasoning.from_pretrained(tmp_path, config=small_config(intermediate_size=40))


def test_what_was_trained_comes_back(
    model: LxmertForVisualReasoning, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    inputs = make_batch(images=2)
    model(**inputs, labels=torch.tensor([1, 0, 1])).loss.backward()
    optimizer.step()
    model.save_pretrained(tmp_path)
    for load in (LxmertForVisualReasoning, AutoModelForSequenceClassification):
        loaded, report = load.from_pretrained(tmp_path, output_loading_info=True)
        assert type(loaded) is LxmertForVisualReasoning
        assert loaded.config.architectures == ["LxmertForVisualReasoning"]
        assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        for name, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    from_memory = LxmertForVisualReasoning.from_pretrained(None, config=model.config, state_dict=model.state_dict())
    assert torch.equal(from_memory(**inputs).logits, model(**inputs).logits)
    assert not caplog.records


def test_its_encoders_go_on_to_other_heads(model: LxmertForVisualReasoning, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    base = LxmertModel.from_pretrained(tmp_path)
    matching = LxmertForImageAndTextRetrieval.from_pretrained(tmp_path)
    for name, tensor in model.lxmert.state_dict().items():
        assert torch.equal(base.state_dict()[name], tensor)
        assert torch.equal(matching.lxmert.state_dict()[name], tensor)


def test_learns_eight_examples_by_heart(small_config: Callable[..., LxmertConfig]) -> None:
    """The sentence is the same everywhere, and so is the left image of every second pair: the right one decides."""
    torch.manual_seed(0)
    model = LxmertForVisualReasoning(small_config(hidden_dropout_prob=0, attention_probs_dropout_prob=0))
    inputs, labels = make_batch(batch=8, images=2), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    inputs["input_ids"] = inputs["input_ids"][:1].expand(8, -1)
    for name in ("visual_feats", "visual_pos"):
        inputs[name][1::2, 0] = inputs[name][::2, 0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(100):
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1
    assert torch.equal(model.eval()(**inputs).logits.argmax(-1), labels)
