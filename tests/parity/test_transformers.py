"""Equality with transformers' own LXMERT on copied weights, and checkpoints that load in both."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

import lxmert
from lxmert import LxmertConfig, LxmertForPreTraining, LxmertForQuestionAnswering
from tests.conftest import SMALL, make_batch, make_masks
from tests.modeling_lxmert.labels import make_labels

CONFIGS = {
    "small": {},
    "one layer each": {"l_layers": 1, "r_layers": 1, "x_layers": 1},
    "deep language, one head, relu": {"l_layers": 4, "r_layers": 1, "num_attention_heads": 1, "hidden_act": "relu"},
    "wide": {"hidden_size": 64, "num_attention_heads": 8, "intermediate_size": 16, "visual_feat_dim": 40},
}
BATCHES: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
    "plain": dict,
    "padded text": lambda: {"attention_mask": make_masks()["attention_mask"]},
    "padded regions": lambda: {"visual_attention_mask": make_masks()["visual_attention_mask"]},
    "padded both": make_masks,
    "token types": lambda: {"token_type_ids": torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]] * 3)},
}


def theirs_of(kind: str) -> type[transformers.PreTrainedModel]:
    """transformers' class of this name."""
    return getattr(transformers.models.lxmert.modeling_lxmert, kind)


def pair(kind: str, implementation: str = "eager", **overrides: object) -> tuple:
    """Our model and transformers' with the same random weights, in evaluation mode."""
    sizes = SMALL | overrides
    torch.manual_seed(1)
    theirs = theirs_of(kind)(transformers.LxmertConfig(**sizes)).eval()
    for parameter in theirs.parameters():  # biases start at 0 and layer normalisations at 1: make them count
        torch.nn.init.normal_(parameter, std=0.3)
    ours = getattr(lxmert, kind)(LxmertConfig(**sizes, attn_implementation=implementation)).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("masks", BATCHES)
@pytest.mark.parametrize("config", CONFIGS)
def test_outputs_and_gradients(config: str, masks: str, implementation: str) -> None:
    overrides = CONFIGS[config]
    ours, theirs = pair("LxmertForQuestionAnswering", implementation, **overrides)
    inputs = make_batch(visual_feat_dim=overrides.get("visual_feat_dim", 12)) | BATCHES[masks]()
    inputs["labels"] = torch.tensor([0, 6, 3])

    our_output, their_output = ours(**inputs), theirs(**inputs)
    our_output.loss.backward()
    their_output.loss.backward()

    torch.testing.assert_close(our_output.loss, their_output.loss, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(our_output.logits, their_output.question_answering_score, atol=1e-5, rtol=1e-6)
    assert_equal_gradients(ours, theirs)


def assert_equal_gradients(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for name, parameter in ours.named_parameters():
        expected = theirs.get_parameter(name).grad
        if expected is None:
            assert parameter.grad is None, name
        else:
            torch.testing.assert_close(
                parameter.grad, expected, atol=1e-4, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("masks", BATCHES)
@pytest.mark.parametrize("config", CONFIGS)
def test_pretraining_outputs_loss_and_gradients(config: str, masks: str, implementation: str) -> None:
    overrides = CONFIGS[config]
    ours, theirs = pair("LxmertForPreTraining", implementation, **overrides, visual_loss_normalizer=6.67)
    width = overrides.get("visual_feat_dim", 12)
    inputs = make_batch(visual_feat_dim=width) | BATCHES[masks]()
    labels = make_labels(visual_feat_dim=width)

    our_output, their_output = ours(**inputs, **labels), theirs(**inputs, **labels)
    our_output.loss.backward()
    their_output.loss.backward()

    torch.testing.assert_close(our_output.loss, their_output.loss, atol=2e-5, rtol=1e-6)
    for name in ("prediction_logits", "cross_relationship_score", "question_answering_score"):
        torch.testing.assert_close(our_output[name], their_output[name], atol=2e-5, rtol=1e-6)
    with torch.no_grad():  # their output does not hold what is predicted about regions
        predictions = theirs.obj_predict_head(theirs.lxmert(**inputs).vision_output)
    assert our_output.visual_predictions.keys() == predictions.keys()
    for name, expected in predictions.items():
        torch.testing.assert_close(our_output.visual_predictions[name], expected, atol=2e-5, rtol=1e-6)
    assert_equal_gradients(ours, theirs)


@pytest.mark.parametrize(
    ("off", "tasks"),
    [
        ({"task_mask_lm": False}, ["matched", "obj", "attr", "feat", "qa"]),
        ({"task_matched": False, "visual_attr_loss": False}, ["mask_lm", "obj", "feat", "qa"]),
        ({"task_obj_predict": False}, ["mask_lm", "matched", "qa"]),
        ({"task_qa": False, "visual_feat_loss": False}, ["mask_lm", "matched", "obj", "attr"]),
    ],
)
def test_pretraining_with_tasks_switched_off(off: dict[str, bool], tasks: list[str]) -> None:
    ours, theirs = pair("LxmertForPreTraining", **off, visual_loss_normalizer=6.67)
    inputs = make_batch() | make_labels()
    our_output, their_output = ours(**inputs), theirs(**inputs)
    torch.testing.assert_close(our_output.loss, their_output.loss, atol=2e-5, rtol=1e-6)
    assert list(our_output.losses) == tasks


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("masks", BATCHES)
def test_states_and_maps_of_the_base_model(masks: str, implementation: str) -> None:
    ours, theirs = pair("LxmertModel", implementation)
    inputs = make_batch() | BATCHES[masks]() | {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        our_output, their_output = ours(**inputs), theirs(**inputs)
    for name, expected in their_output.items():
        torch.testing.assert_close(our_output[name], expected, atol=1e-5, rtol=1e-6)
    names = list(their_output)
    assert list(our_output)[: len(names)] == names, "our additions must come behind transformers' fields"


def test_inputs_embeds_match() -> None:
    ours, theirs = pair("LxmertModel")
    inputs = make_batch()
    inputs["inputs_embeds"] = theirs.embeddings.word_embeddings(inputs.pop("input_ids"))
    torch.testing.assert_close(ours(**inputs).pooled_output, theirs(**inputs).pooled_output, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("kind", ["LxmertModel", "LxmertForQuestionAnswering", "LxmertForPreTraining"])
@pytest.mark.parametrize("direction", ["ours to theirs", "theirs to ours"])
def test_checkpoints_load_in_both(kind: str, direction: str, tmp_path: Path) -> None:
    ours, theirs = pair(kind)
    source, target_class = (ours, type(theirs)) if direction == "ours to theirs" else (theirs, type(ours))
    source.save_pretrained(tmp_path)
    loaded, report = target_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    for name, tensor in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    for name in SMALL:
        assert getattr(loaded.config, name) == getattr(source.config, name)
    assert loaded.config.visual_loss_normalizer == source.config.visual_loss_normalizer


def test_states_and_maps_of_the_pretraining_model() -> None:
    ours, theirs = pair("LxmertForPreTraining")
    inputs = make_batch() | make_masks() | {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        our_output, their_output = ours(**inputs), theirs(**inputs)
    for name, expected in their_output.items():
        torch.testing.assert_close(our_output[name], expected, atol=2e-5, rtol=1e-6)
    names = list(their_output)
    assert list(our_output)[: len(names)] == names, "our additions must come behind transformers' fields"


def test_transformers_takes_our_additions_to_the_configuration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LxmertConfig(**SMALL, visual_label_regions="masked", visual_feat_distance="l2", visual_loss_normalizer=2)
    ours = LxmertForPreTraining(config).eval()
    ours.save_pretrained(tmp_path)
    theirs, report = theirs_of("LxmertForPreTraining").from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        expected, found = ours(**make_batch()).prediction_logits, theirs(**make_batch()).prediction_logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-6)
    # and back: what transformers does not know it keeps
    theirs.save_pretrained(tmp_path / "back")
    config = LxmertConfig.from_pretrained(tmp_path / "back")
    assert (config.visual_label_regions, config.visual_feat_distance) == ("masked", "l2")
    assert config.visual_loss_normalizer == 2


def test_an_old_checkpoint_loads_and_keeps_its_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, theirs = pair("LxmertForQuestionAnswering", num_qa_labels=3129)
    theirs.save_pretrained(tmp_path)
    values = {
        "model_type": "lxmert",
        "architectures": ["LxmertForQuestionAnswering"],
        **SMALL,
        "num_qa_labels": 3129,
        "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
        "label2id": {"LABEL_0": 0, "LABEL_1": 1},
        "visual_loss_normalizer": 6.67,
        "finetuning_task": None,
        "mode": "lxr",
        "output_past": True,
        "num_hidden_layers": {"vision": 2, "cross_encoder": 2, "language": 2},
    }
    (tmp_path / "config.json").write_text(json.dumps(values))
    with caplog.at_level("WARNING", logger="lxmert"):
        model, report = LxmertForQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.config.num_qa_labels == len(model.config.id2label) == 3129
    assert model.config.visual_loss_normalizer == 6.67
    assert model.config.mode == "lxr"
    warnings = [record.getMessage() for record in caplog.records if "were kept" in record.getMessage()]
    assert len(warnings) == 1
    assert "finetuning_task, mode, output_past" in warnings[0]
