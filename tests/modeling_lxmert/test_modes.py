"""Evaluation mode for a while gives every part back its own mode."""

from collections.abc import Callable

import pytest

from lxmert import LxmertConfig, LxmertForImageAndTextRetrieval, LxmertForQuestionAnswering
from lxmert.modeling_lxmert.modes import evaluating
from tests.conftest import make_batch


def test_parts_keep_their_modes(small_model: LxmertForQuestionAnswering) -> None:
    small_model.train()
    small_model.lxmert.embeddings.eval()  # a frozen part
    before = [module.training for module in small_model.modules()]
    with evaluating(small_model):
        assert not any(module.training for module in small_model.modules())
    assert [module.training for module in small_model.modules()] == before
    assert len(set(before)) == 2
    with pytest.raises(KeyboardInterrupt), evaluating(small_model):
        raise KeyboardInterrupt
    assert [module.training for module in small_model.modules()] == before


def test_scores_of_all_pairs_leave_modes_alone(small_config: Callable[..., LxmertConfig]) -> None:
    model = LxmertForImageAndTextRetrieval(small_config()).train()
    model.lxmert.encoder.visn_fc.eval()
    before = [module.training for module in model.modules()]
    batch = make_batch()
    images = {name: batch.pop(name) for name in ("visual_feats", "visual_pos")}
    scores = model.score_all_pairs(batch, images)
    assert (scores == model.score_all_pairs(batch, images)).all()  # without dropout
    assert [module.training for module in model.modules()] == before
