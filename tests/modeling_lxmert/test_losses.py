import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lxmert import LxmertConfig, LxmertForPreTraining
from lxmert.modeling_lxmert.losses import (
    counting_loss,
    cross_modality_matching_loss,
    detected_label_loss,
    feature_regression_loss,
    grounding_loss,
    loss_counts,
    masked_language_modelling_loss,
    pairs_right_and_judged,
    question_answering_loss,
    right_and_judged,
)
from tests.conftest import make_batch
from tests.modeling_lxmert.labels import make_grounding_labels, make_labels, rows

LN2, LN3, LN4 = math.log(2), math.log(3), math.log(4)


class TestByHand:
    def test_words(self) -> None:
        # probabilities of the labels: 1/3, then 2/4; the last two words have none
        logits = torch.tensor([[[0.0, 0.0, 0.0], [LN2, 0.0, 0.0]], [[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]])
        labels = torch.tensor([[2, 0], [-1, -100]])
        assert masked_language_modelling_loss(logits, labels).item() == pytest.approx((LN3 + LN2) / 2)

    def test_matching(self) -> None:
        # e^0 = 1, e^ln3 = 3: "matched" has probability 3/4
        scores = torch.tensor([[0.0, LN3], [0.0, LN3], [7.0, 0.0], [0.0, 7.0]])
        loss = cross_modality_matching_loss(scores, torch.tensor([1, 0, -1, -100]))
        assert loss.item() == pytest.approx((math.log(4 / 3) + LN4) / 2)

    def test_detected_labels(self) -> None:
        # probabilities 1/4 and 2/5, weighted 0.5 and 1; four regions, two of them without a label
        logits = torch.tensor([[[0.0] * 4, [LN2, 0.0, 0.0, 0.0]], [[0.0] * 4, [0.0] * 4]])
        labels, weights = torch.tensor([[3, 0], [-1, -100]]), torch.tensor([[0.5, 1.0], [1.0, 1.0]])
        expected = (0.5 * LN4 + math.log(5 / 2)) / 4
        assert detected_label_loss(logits, labels, weights).item() == pytest.approx(expected)

    def test_a_region_of_no_confidence_counts_in_the_mean_only(self) -> None:
        labels, weights = torch.tensor([1, 1]), torch.tensor([1.0, 0.0])
        assert detected_label_loss(torch.zeros(2, 4), labels, weights).item() == pytest.approx(LN4 / 2)

    @pytest.mark.parametrize(
        ("distance", "first", "second"),
        # per number, of the differences 0.5 and -3, then 1 and 0
        [("smooth_l1", (0.125 + 2.5) / 2, 0.5 / 2), ("l2", (0.25 + 9) / 2, 1 / 2)],
    )
    def test_features(self, distance: Any, first: float, second: float) -> None:
        predictions = torch.tensor([[[0.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]]])
        targets = torch.tensor([[[0.5, -3.0], [2.0, 1.0]], [[9.0, 9.0], [9.0, 9.0]]])
        masked = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        loss = feature_regression_loss(predictions, targets, masked, distance)
        assert loss.item() == pytest.approx((first + second) / 4)

    def test_one_answer(self) -> None:
        scores = torch.tensor([[0.0, LN3], [0.0, LN3], [5.0, -5.0], [5.0, -5.0]])
        loss = question_answering_loss(scores, torch.tensor([1, 0, -1, -100]))
        assert loss.item() == pytest.approx((math.log(4 / 3) + LN4) / 2)

    def test_scores_of_answers(self) -> None:
        # sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2; the mean over 2 questions and 2 answers, times 2 answers
        logits = torch.tensor([[LN3, 0.0], [LN3, 0.0]])
        expected = (math.log(4 / 3) + LN2 + 0.5 * math.log(4 / 3) + 0.5 * LN4 + LN2) / 2
        loss = question_answering_loss(logits, torch.tensor([[1.0, 0.0], [0.5, 0.3]]))
        assert loss.item() == pytest.approx(expected)

    def test_scores_in_double_precision(self) -> None:
        loss = question_answering_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]], dtype=torch.float64))
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(2 * LN2)

    @pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64])
    def test_grounding(self, dtype: torch.dtype) -> None:
        # sigmoid(ln 3) = 3/4: yes has probability 3/4, then no 1/4, then yes 1/2; three pairs have no label
        logits = torch.tensor([[[LN3, LN3, 50.0], [0.0, -50.0, 50.0]]])
        labels = torch.tensor([[[1, 0, -100], [1, -1, -1]]], dtype=dtype)
        assert grounding_loss(logits, labels).item() == pytest.approx((math.log(4 / 3) + LN4 + LN2) / 3)

    def test_counting(self) -> None:
        # probabilities of the labels: 1/3, then 2/4; the last two words have none
        logits = torch.tensor([[[0.0, 0.0, 0.0], [LN2, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]])
        labels = torch.tensor([[2, 0, -1, -100]], dtype=torch.int8)
        assert counting_loss(logits, labels).item() == pytest.approx((LN3 + LN2) / 2)


Loss = Callable[[torch.Tensor, int, torch.Tensor | None], torch.Tensor]
# Each on predictions (2, 3), for labels that are all `label`.
LOSSES: dict[str, Loss] = {
    "words": lambda x, label, count: masked_language_modelling_loss(x, torch.full((2,), label), count),
    "matching": lambda x, label, count: cross_modality_matching_loss(x, torch.full((2,), label), count),
    "detected": lambda x, label, count: detected_label_loss(x, torch.full((2,), label), torch.ones(2), count),
    "features": lambda x, label, count: feature_regression_loss(
        x, torch.ones(2, 3), torch.full((2,), float(label >= 0)), count=count
    ),
    "answers": lambda x, label, count: question_answering_loss(x, torch.full((2,), label), count),
    "counting": lambda x, label, count: counting_loss(x, torch.full((2,), label), count),
}


@pytest.mark.parametrize("nothing", [-100, -1])
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_labelled_gives_zero_and_a_zero_gradient(name: str, nothing: int) -> None:
    predictions = torch.linspace(-3, 3, 6).reshape(2, 3).requires_grad_()
    for count in (None, torch.tensor(0.0), torch.tensor(5.0)):
        predictions.grad = None
        loss = LOSSES[name](predictions, nothing, count)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(predictions.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("name", LOSSES)
def test_a_count_divides_instead(name: str) -> None:
    predictions = torch.linspace(-3, 3, 6).reshape(2, 3)
    by_two = LOSSES[name](predictions, 1, None)  # both rows are labelled
    assert by_two.item() > 0.1
    for count in (8.0, 0.5):
        divided = LOSSES[name](predictions, 1, torch.tensor(count))
        torch.testing.assert_close(divided, by_two * 2 / count)


def test_a_count_divides_scores_of_answers() -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    loss = question_answering_loss(torch.zeros(2, 2), scores, torch.tensor(8.0))
    assert loss.item() == pytest.approx(4 * LN2 / 8)


@pytest.mark.parametrize("nothing", [-100, -1])
def test_no_labelled_pair_gives_zero_and_a_zero_gradient(nothing: int) -> None:
    logits = torch.linspace(-3, 3, 6).reshape(1, 2, 3).requires_grad_()
    for count in (None, torch.tensor(0.0), torch.tensor(5.0)):
        logits.grad = None
        loss = grounding_loss(logits, torch.full((1, 2, 3), nothing, dtype=torch.int8), count)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(logits.grad, torch.zeros(1, 2, 3))


@pytest.mark.parametrize("count", [8.0, 0.5])
def test_a_count_divides_pairs(count: float) -> None:
    loss = grounding_loss(torch.zeros(1, 2, 3).bfloat16(), torch.ones(1, 2, 3).long(), torch.tensor(count))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(6 * LN2 / count)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_summed_in_float32(name: str) -> None:
    predictions = torch.linspace(-3, 3, 6).reshape(2, 3)
    loss = LOSSES[name](predictions.bfloat16(), 1, None)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, LOSSES[name](predictions.bfloat16().float(), 1, None))


def test_counts_of_a_batch() -> None:
    regions = torch.zeros(2, 3).long(), torch.ones(2, 3)
    batch = {
        "labels": torch.tensor([[5, -100, 0], [-1, -1, 7]]),
        "matched_label": torch.tensor([1, -100]),
        "ans": torch.tensor([-1, -100]),
        "obj_labels": {"obj": regions},
        "grounding_labels": torch.tensor([[[1, 0], [-1, -100]], [[0, 0], [0, -1]]], dtype=torch.int8),
        "count_labels": torch.tensor([[1, -1], [0, -100]]),
    }
    expected = {"mask_lm": 3.0, "matched": 1.0, "qa": 0.0, "grounding": 5.0, "count": 2.0, "regions": 6.0}
    counts = loss_counts(batch)
    assert {name: count.item() for name, count in counts.items()} == expected
    assert all(count.dtype == torch.float32 and count.dim() == 0 for count in counts.values())

    padded = loss_counts(batch | {"visual_attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])})
    assert padded["regions"].item() == 4
    one_image = loss_counts(batch | {"visual_attention_mask": torch.tensor([[1, 1, 0]])})
    assert one_image["regions"].item() == 4, "a single image serves both questions"
    half = loss_counts({"obj_labels": {"obj": (torch.zeros(257, 1).long(), torch.ones(257, 1).bfloat16())}})
    assert half["regions"].item() == 257, "bfloat16 has no 257"
    assert loss_counts({"labels": None, "obj_labels": None}) == {}
    assert loss_counts({"ans": torch.rand(2, 9)})["qa"].item() == 2, "scores count by question"


def test_right_and_judged() -> None:
    logits = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    labels = torch.tensor([1, 1, -1, 0])
    assert right_and_judged(logits, labels).tolist() == [2.0, 3.0]
    assert right_and_judged(logits, labels, torch.tensor([1.0, 1.0, 1.0, 0.0])).tolist() == [1.0, 2.0]
    assert right_and_judged(logits, labels, torch.zeros(4)).tolist() == [0.0, 0.0]
    assert right_and_judged(torch.zeros(0, 2), torch.zeros(0).long()).tolist() == [0.0, 0.0]
    assert not right_and_judged(logits, labels).requires_grad


def test_pairs_right_and_judged() -> None:
    logits = torch.tensor([[[0.1, -0.1, 0.1], [-0.1, 0.0, 9.0]]], requires_grad=True)
    labels = torch.tensor([[[1, 0, 0], [1, 0, -100]]], dtype=torch.int8)
    right = pairs_right_and_judged(logits, labels)
    assert right.tolist() == [3.0, 5.0], "the first two, and 0 is no yes"
    assert right.dtype == torch.float32
    assert not right.requires_grad
    assert pairs_right_and_judged(logits, torch.full_like(labels, -1)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("soft", [False, True], ids=["one answer", "scores"])
def test_splitting_a_batch_changes_nothing(small_config: Callable[..., LxmertConfig], soft: bool, padded: bool) -> None:
    """Two micro-batches of 2 and 1, each cut to its own length, give the loss and gradients of the batch of 3."""
    torch.manual_seed(0)
    without_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = LxmertForPreTraining(small_config(**without_dropout, task_grounding=True)).train()
    batch = make_batch() | make_labels(soft=soft) | make_grounding_labels()
    if padded:  # the last item is shorter on both sides
        batch["attention_mask"] = (torch.arange(9) < torch.tensor([[9], [9], [5]])).long()
        batch["visual_attention_mask"] = (torch.arange(5) < torch.tensor([[5], [5], [3]])).long()
        batch["labels"][2, 5:] = batch["grounding_labels"][2, 5:] = batch["count_labels"][2, 5:] = -100
        batch["grounding_labels"][2, :, 3:] = -100
        for name, (targets, weights) in batch["obj_labels"].items():
            (weights if name == "feat" else targets)[2, 3:] = 0 if name == "feat" else -100
    parts = [rows(batch, slice(0, 2)), rows(batch, slice(2, 3))]
    if padded:
        parts[1] = cut(parts[1], words=5, regions=3)

    whole = model(**batch, loss_counts=loss_counts(batch) if padded else None)
    whole.loss.backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)

    counts = [loss_counts(part) for part in parts]
    shared = {name: (counts[0][name] + counts[1][name]) / 2 for name in counts[0]}
    outputs = [model(**part, loss_counts=shared) for part in parts]
    mean = (outputs[0].loss + outputs[1].loss) / 2
    mean.backward()
    torch.testing.assert_close(mean, whole.loss, atol=1e-6, rtol=1e-6)
    for name, loss in whole.losses.items():
        assert loss.item() > 0.01, name
        torch.testing.assert_close((outputs[0].losses[name] + outputs[1].losses[name]) / 2, loss, atol=1e-6, rtol=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=2e-6, rtol=1e-5, msg=lambda m, n=name: n + m)


def cut(batch: dict[str, Any], words: int, regions: int) -> dict[str, Any]:
    """The batch without its padding."""
    short = dict(batch)
    for name in ("input_ids", "attention_mask", "labels", "count_labels"):
        short[name] = batch[name][:, :words]
    for name in ("visual_feats", "visual_pos", "visual_attention_mask"):
        short[name] = batch[name][:, :regions]
    short["grounding_labels"] = batch["grounding_labels"][:, :words, :regions]
    short["obj_labels"] = {
        name: tuple(tensor[:, :regions] for tensor in pair) for name, pair in batch["obj_labels"].items()
    }
    return short
