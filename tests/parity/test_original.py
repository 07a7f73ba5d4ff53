"""Equality with the original implementation, through its golden outputs."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertModel
from tests.parity.golden import golden_array, golden_state_dict

MAPS = {
    "language": "language_attentions",
    "vision": "vision_attentions",
    "lang_to_visn": "cross_encoder_attentions",
    "visn_to_lang": "cross_encoder_vision_attentions",
    "lang_self": "cross_encoder_language_self_attentions",
    "visn_self": "cross_encoder_vision_self_attentions",
}


@pytest.fixture(scope="module")
def model(reference: Path) -> LxmertForQuestionAnswering:
    values = json.loads((reference / "lxmert_pretraining.json").read_text())["config"]
    model = LxmertForQuestionAnswering(LxmertConfig(**values, attn_implementation="eager"))
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


def test_names_and_shapes_of_the_released_checkpoint(reference: Path) -> None:
    released = json.loads((reference / "lxmert_state_dict.json").read_text())["LxmertForQuestionAnswering"]
    with torch.device("meta"):
        ours = LxmertForQuestionAnswering(LxmertConfig(num_qa_labels=3129)).state_dict()
    assert {name: list(value.shape) for name, value in ours.items()} == released
