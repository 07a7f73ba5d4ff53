"""Removing words and regions from inputs."""

import pytest
import torch

from lxmert import LxmertForQuestionAnswering
from lxmert.visualization.removal import inputs_of_pairs, removable, with_parts
from tests.conftest import make_batch, make_masks


def test_special_words_and_padding_stay() -> None:
    found = removable(make_batch() | make_masks())
    assert found.words.int().tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 0, 0, 0, 0, 0, 0],  # four words
        [0, 1, 0, 1, 1, 1, 1, 1, 0],  # the third is masked out
    ]
    assert found.regions.int().tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 1, 1]]


def test_what_is_removed_does_not_count(small_model: LxmertForQuestionAnswering) -> None:
    """Keeping regions 0 and 2 is giving regions 0 and 2; a removed word is one that no word sees."""
    batch = make_batch()
    words = torch.ones(3, 9, dtype=torch.bool)
    words[:, 4] = False
    regions = torch.zeros(3, 5, dtype=torch.bool)
    regions[:, [0, 2]] = True
    with torch.no_grad():
        found = small_model(**with_parts(batch, words, regions)).logits
        some = {name: value[:, [0, 2]] if name.startswith("visual") else value for name, value in batch.items()}
        mask = torch.ones(3, 9).index_fill(1, torch.tensor([4]), 0).long()
        expected = small_model(**some, attention_mask=mask).logits
        other = dict(batch, input_ids=batch["input_ids"].index_fill(1, torch.tensor([4]), 7))
        unseen = small_model(**with_parts(other, words, regions)).logits
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found, unseen, atol=0, rtol=0)


def test_keeping_all_changes_nothing(small_model: LxmertForQuestionAnswering) -> None:
    inputs = make_batch() | make_masks()
    everything = torch.ones(3, 9, dtype=torch.bool), torch.ones(3, 5, dtype=torch.bool)
    with torch.no_grad():
        found, expected = small_model(**with_parts(inputs, *everything)), small_model(**inputs)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-6, rtol=0)


def test_where_nothing_is_left_one_empty_region_stands(small_model: LxmertForQuestionAnswering) -> None:
    inputs = make_batch() | make_masks()
    left = with_parts(inputs, torch.zeros(3, 9, dtype=torch.bool), torch.zeros(3, 5, dtype=torch.bool))
    assert left["attention_mask"].sum(1).tolist() == [2, 2, 2]
    assert left["visual_attention_mask"].tolist() == [[0, 0, 0, 0, 0, 1]] * 3
    assert not left["visual_feats"][:, 5].any()
    assert left["visual_pos"][:, 5].tolist() == [[0, 0, 1, 1]] * 3
    assert torch.isfinite(small_model(**left).logits).all()


def test_labels_are_left_out_and_masks_written_out() -> None:
    found = inputs_of_pairs(make_batch() | {"labels": torch.zeros(3)})
    assert "labels" not in found
    assert found["attention_mask"].all()
    assert found["visual_attention_mask"].shape == (3, 5)


def test_what_cannot_be_taken_apart() -> None:
    with pytest.raises(ValueError, match="inputs lack input_ids"):
        removable({name: value for name, value in make_batch().items() if name != "input_ids"})
    with pytest.raises(ValueError, match=r"got \(3, 2, 5, 12\): sentences about two images"):
        removable(make_batch(images=2))
