"""Equality with the original implementation, through its golden outputs."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lxmert import (
    LxmertConfig,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
)
from lxmert.modeling_lxmert import LxmertPreTrainedModel
from tests.parity.golden import golden_array, golden_state_dict

MAPS = {
    "language": "language_attentions",
    "vision": "vision_attentions",
    "lang_to_visn": "cross_encoder_attentions",
    "visn_to_lang": "cross_encoder_vision_attentions",
    "lang_self": "cross_encoder_language_self_attentions",
    "visn_self": "cross_encoder_vision_self_attentions",
}


def config_of(reference: Path) -> LxmertConfig:
    values = json.loads((reference / "lxmert_pretraining.json").read_text())["config"]
    return LxmertConfig(**values, attn_implementation="eager")


@pytest.fixture(scope="module")
def model(reference: Path) -> LxmertForQuestionAnswering:
    model = LxmertForQuestionAnswering(config_of(reference))
    model.load_state_dict(golden_state_dict(model.state_dict()))
    return model.eval()


@pytest.fixture
def pretraining(reference: Path) -> LxmertForPreTraining:
    model = LxmertForPreTraining(config_of(reference))
    model.load_state_dict(golden_state_dict(model.state_dict()))
    return model.eval()


def load(file: Path) -> dict[str, torch.Tensor]:
    with np.load(file) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def inputs_of(golden: dict[str, torch.Tensor], visual_mask: bool) -> dict[str, torch.Tensor]:
    names = ["input_ids", "attention_mask", "token_type_ids", "visual_feats", "visual_pos"]
    return {name: golden[f"in/{name}"] for name in names + ["visual_attention_mask"] * visual_mask}


def test_weights_are_the_references(reference: Path) -> None:
    checks = json.loads((reference / "weights_check.json").read_text())
    checks = {name: check for name, check in checks.items() if name.startswith("lxmert.")}
    assert checks
    for name, check in checks.items():
        array = golden_array(name, tuple(check["shape"]))
        assert array.ravel()[:4].tolist() == check["first4"]
        assert hashlib.sha256(array.tobytes()).hexdigest() == check["sha256_little_endian_float32"]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_vqa_logits_and_loss(reference: Path, model: LxmertForQuestionAnswering, implementation: str) -> None:
    golden = load(reference / "lxmert_vqa.npz")
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        output = model(**inputs_of(golden, visual_mask=False), labels=golden["in/target"])
    model.set_attn_implementation("eager")
    torch.testing.assert_close(output.question_answering_score, golden["logits"], atol=2e-5, rtol=0)
    torch.testing.assert_close(output.loss, golden["loss_bce"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_nlvr2_logits_and_loss(reference: Path, implementation: str) -> None:
    golden = load(reference / "lxmert_nlvr2.npz")
    names = json.loads((reference / "lxmert_nlvr2_state_dict.json").read_text())
    model = LxmertForVisualReasoning(config_of(reference)).eval()
    assert {name: list(value.shape) for name, value in model.state_dict().items()} == names
    model.load_state_dict(golden_state_dict(model.state_dict()))
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        output = model(**inputs_of(golden, visual_mask=False), labels=golden["in/labels"])
    torch.testing.assert_close(output.logits, golden["logits"], atol=2e-5, rtol=0)
    torch.testing.assert_close(output.loss, golden["loss"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("prefix", "visual_mask"), [("nomask", False), ("vmask", True)])
def test_encoder_outputs_and_answer_loss(
    reference: Path, model: LxmertForQuestionAnswering, prefix: str, visual_mask: bool
) -> None:
    golden = load(reference / "lxmert_pretraining.npz")
    inputs = inputs_of(golden, visual_mask)
    with torch.no_grad():
        encoded = model.lxmert(**inputs)
        answered = model(**inputs, labels=golden["in/ans"])  # some answers are the original's -1
    for name in ("language_output", "vision_output", "pooled_output"):
        torch.testing.assert_close(encoded[name], golden[f"{prefix}/{name}"], atol=2e-5, rtol=0)
    scores = golden[f"{prefix}/question_answering_score"]
    torch.testing.assert_close(answered.question_answering_score, scores, atol=2e-5, rtol=0)
    torch.testing.assert_close(answered.loss, golden[f"{prefix}/loss_qa"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("prefix", "visual_mask"), [("nomask", False), ("vmask", True)])
def test_every_attention_map(
    reference: Path, model: LxmertForQuestionAnswering, prefix: str, visual_mask: bool
) -> None:
    inputs = inputs_of(load(reference / "lxmert_pretraining.npz"), visual_mask)
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    golden = {key: value for key, value in load(reference / "attentions.npz").items() if key.startswith(prefix)}
    compared = 0
    for key, expected in golden.items():
        kind, *rest = key.removeprefix(f"{prefix}/").split("_", 1)
        if kind == "cross":
            layer, kind = rest[0].split("_", 1)
        else:
            layer = rest[0]
        torch.testing.assert_close(output[MAPS[kind]][int(layer)], expected, atol=2e-5, rtol=0)
        compared += 1
    assert compared == sum(len(output[name]) for name in MAPS.values()) == 12


def test_base_model_loads_the_same_weights(model: LxmertForQuestionAnswering) -> None:
    base = LxmertModel(model.config)
    names = {name.removeprefix("lxmert.") for name in model.state_dict() if name.startswith("lxmert.")}
    assert set(base.state_dict()) == names


def targets_of(golden: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The original's targets as they are: -1 where there is none."""
    return {
        "labels": golden["in/masked_lm_labels"],
        "matched_label": golden["in/matched_label"],
        "ans": golden["in/ans"],
        "obj_labels": {
            "obj": (golden["in/obj_labels"], golden["in/obj_conf"]),
            "attr": (golden["in/attr_labels"], golden["in/attr_conf"]),
            "feat": (golden["in/feat_targets"], golden["in/feat_mask"]),
        },
    }


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(("prefix", "visual_mask"), [("nomask", False), ("vmask", True)])
def test_pretraining_outputs_losses_and_gradients(
    reference: Path, pretraining: LxmertForPreTraining, prefix: str, visual_mask: bool, implementation: str
) -> None:
    golden = load(reference / "lxmert_pretraining.npz")
    pretraining.set_attn_implementation(implementation)
    output = pretraining(**inputs_of(golden, visual_mask), **targets_of(golden))
    assert output.visual_predictions is not None
    outputs = {
        "prediction_logits": output.prediction_logits,
        "cross_relationship_score": output.cross_relationship_score,
        "question_answering_score": output.question_answering_score,
        "obj_logits": output.visual_predictions["obj"],
        "attr_logits": output.visual_predictions["attr"],
        "feat_pred": output.visual_predictions["feat"],
    }
    for name, found in outputs.items():
        torch.testing.assert_close(found, golden[f"{prefix}/{name}"], atol=2e-5, rtol=0)
    losses = output.losses | {"total": output.loss}
    assert list(losses) == ["mask_lm", "matched", "obj", "attr", "feat", "qa", "total"]
    for name, found in losses.items():
        torch.testing.assert_close(found, golden[f"{prefix}/loss_{name}"], atol=1e-4, rtol=0)

    output.loss.backward()
    norms = {name: parameter.grad.norm().item() for name, parameter in pretraining.named_parameters()}
    expected = json.loads((reference / f"lxmert_pretraining_grad_norms_{prefix}.json").read_text())
    assert norms.keys() == expected.keys()
    for name, norm in norms.items():  # those of the keys' biases are rounding, of 1e-7
        assert norm == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name


def test_smooth_l1_and_all_regions_are_the_originals(reference: Path, pretraining: LxmertForPreTraining) -> None:
    """The paper's variants give other numbers: the defaults are the original code's."""
    golden = load(reference / "lxmert_pretraining.npz")
    pretraining.config.visual_feat_distance, pretraining.config.visual_label_regions = "l2", "masked"
    with torch.no_grad():
        losses = pretraining(**inputs_of(golden, visual_mask=False), **targets_of(golden)).losses
    for name in ("obj", "attr", "feat"):
        assert abs(losses[name] - golden[f"nomask/loss_{name}"]) > 0.1, name


@pytest.mark.parametrize(
    ("model_class", "sizes"), [(LxmertForPreTraining, {}), (LxmertForQuestionAnswering, {"num_qa_labels": 3129})]
)
def test_names_and_shapes_of_the_released_checkpoint(
    reference: Path, model_class: type[LxmertPreTrainedModel], sizes: dict[str, int]
) -> None:
    released = json.loads((reference / "lxmert_state_dict.json").read_text())[model_class.__name__]
    with torch.device("meta"):
        ours = model_class(LxmertConfig(**sizes)).state_dict()
    assert {name: list(value.shape) for name, value in ours.items()} == released
