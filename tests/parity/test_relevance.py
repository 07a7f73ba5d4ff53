"""Equality with the reference implementation of relevance, through its golden outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lxmert import LxmertForQuestionAnswering
from lxmert.visualization import relevance
from tests.parity.golden import golden_state_dict
from tests.parity.test_original import config_of

NAMES = ("input_ids", "attention_mask", "token_type_ids", "visual_feats", "visual_pos")
TOLERANCE = 1e-5  # of the largest value; that of the reference's README


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "relevance.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def model(reference: Path) -> LxmertForQuestionAnswering:
    model = LxmertForQuestionAnswering(config_of(reference))
    model.load_state_dict(golden_state_dict(model.state_dict()))
    return model.eval()


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("name", "method", "other", "options"),
    [
        ("ours_top", "generic", False, {}),
        ("ours_other", "generic", True, {}),
        ("ours_no_norm_top", "generic", False, {"normalize": False}),
        ("ours_no_norm_other", "generic", True, {"normalize": False}),
        ("ours_no_self_in_10_top", "generic", False, {"mix_own": False}),
        ("attn_gradcam_top", "attention_grad_cam", False, {}),
        ("rollout", "rollout", False, {}),
        ("raw_attention", "raw_attention", False, {}),
    ],
)
def test_every_method(
    golden: dict[str, np.ndarray],
    model: LxmertForQuestionAnswering,
    name: str,
    method: Any,
    other: bool,
    options: dict[str, bool],
    implementation: str,
) -> None:
    model.set_attn_implementation(implementation)
    inputs = {key: torch.from_numpy(golden[f"in/{key}"]) for key in NAMES}
    answer = int(golden["other_answer"]) if other else None
    found = relevance(model, inputs, answer, method, **options)
    assert model.config._attn_implementation == implementation
    assert found.answers == (int(golden["other_answer" if other else "top_answer"]),)
    np.testing.assert_allclose(found.scores[0], golden["logits"][0, found.answers[0]], atol=2e-5)
    for part, ours in (
        ("R_tt", found.words_to_words[0]),
        ("R_ti", found.words_to_regions[0]),
        ("cls_text", found.words[0]),
        ("cls_image", found.regions[0]),
    ):
        theirs = golden[f"{name}/{part}"]
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE * max(np.abs(theirs).max(), 0.1), err_msg=part)
