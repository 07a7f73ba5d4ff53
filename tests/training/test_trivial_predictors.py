import math

import pytest
import torch

from lxmert import LxmertConfig
from lxmert.training import trivial_predictors
from lxmert.training.trivial_predictors import batches_of


def make_config(**changes: object) -> LxmertConfig:
    sizes = {"vocab_size": 4, "num_qa_labels": 2, "num_object_labels": 3, "num_attr_labels": 2, "visual_feat_dim": 2}
    return LxmertConfig(**(sizes | changes))


def make_batch() -> dict:
    masked = torch.tensor([[1.0, 1.0, 0.0]])
    return {
        "labels": torch.tensor([[1, 1, 2, -100]]),
        "matched_label": torch.tensor([1]),
        "ans": torch.tensor([-1]),
        "obj_labels": {
            "obj": (torch.tensor([[0, -1, 2]]), masked),
            "attr": (torch.tensor([[1, 1, 0]]), masked),
            "feat": (torch.tensor([[[0.0, 4.0], [2.0, 0.0], [9.0, 9.0]]]), masked),
        },
    }


def test_by_hand() -> None:
    figures = trivial_predictors(make_config(), [make_batch()], [make_batch()])
    # add one: chances 1, 3, 2, 1 of 7; judged are twice the second word, once the third
    assert figures["mask_lm"]["uniform"] == pytest.approx(math.log(4))
    assert figures["mask_lm"]["frequency"] == pytest.approx((2 * math.log(7 / 3) + math.log(7 / 2)) / 3)
    assert figures["mask_lm"]["most_frequent_accuracy"] == pytest.approx(2 / 3)
    # one masked region has an object label; the third region is not masked
    assert figures["obj"]["frequency"] == pytest.approx(math.log(4 / 2))
    assert figures["attr"]["most_frequent_accuracy"] == 1
    assert "qa" not in figures, "nothing to judge"
    # mean feature (1, 2): differences (1, 2) and (1, 2), smooth L1 is 0.5 and 1.5
    assert figures["feat"]["mean"] == pytest.approx(1.0)
    # differences (0, 4) and (2, 0): 0 and 3.5, 1.5 and 0
    assert figures["feat"]["zero"] == pytest.approx((1.75 + 0.75) / 2)


def test_grounding_and_counts_by_hand() -> None:
    pairs = torch.tensor([[[1, 0, -100], [0, 0, -1]]], dtype=torch.int8)
    batch = {"grounding_labels": pairs, "count_labels": torch.tensor([[2, -100]])}
    figures = trivial_predictors(make_config(num_count_labels=3), [batch], [batch])
    # add one: chances 4 and 2 of 6; judged are three times no, once yes
    assert figures["grounding"]["uniform"] == pytest.approx(math.log(2))
    assert figures["grounding"]["frequency"] == pytest.approx((3 * math.log(6 / 4) + math.log(6 / 2)) / 4)
    assert figures["grounding"]["most_frequent_accuracy"] == pytest.approx(3 / 4)
    assert figures["count"]["uniform"] == pytest.approx(math.log(3))
    assert figures["count"]["frequency"] == pytest.approx(math.log(4 / 2))
    assert figures.keys() == {"grounding", "count"}


def test_the_distance_is_the_configurations() -> None:
    figures = trivial_predictors(make_config(visual_feat_distance="l2"), [make_batch()], [make_batch()])
    assert figures["feat"]["mean"] == pytest.approx((1 + 4) / 2)


def test_a_sample_is_spread_over_all_examples() -> None:
    batches = list(batches_of(range(100), list, size=2, limit=5))  # type: ignore[arg-type]
    assert batches == [[0, 25], [50, 74], [99]]
    assert [len(batch) for batch in batches_of(range(5), list, size=3)] == [3, 2]  # type: ignore[arg-type]
