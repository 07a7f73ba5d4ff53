import math

import pytest
import torch

from lxmert.modeling_lxmert.losses import question_answering_loss


def test_one_answer_by_hand() -> None:
    # e^0 = 1, e^ln3 = 3: the right answers have probabilities 3/4 and 1/4
    scores = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    loss = question_answering_loss(scores, torch.tensor([1, 0]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


@pytest.mark.parametrize("nothing", [-100, -1])
def test_unlabelled_questions_do_not_count(nothing: int) -> None:
    scores = torch.tensor([[0.0, math.log(3)], [5.0, -5.0]])
    loss = question_answering_loss(scores, torch.tensor([1, nothing]))
    assert loss.item() == pytest.approx(math.log(4 / 3))


@pytest.mark.parametrize("nothing", [-100, -1])
def test_a_batch_without_labels_gives_zero_and_a_zero_gradient(nothing: int) -> None:
    scores = torch.ones(2, 3, requires_grad=True)
    loss = question_answering_loss(scores, torch.tensor([nothing, nothing]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros(2, 3))


def test_scores_by_hand() -> None:
    # probability 1/2 everywhere: each of the 4 terms is ln 2, their mean times 2 answers
    loss = question_answering_loss(torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [0.3, 0.0]]))
    assert loss.item() == pytest.approx(2 * math.log(2))


def test_scores_in_half_precision_labels() -> None:
    loss = question_answering_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    assert loss.dtype == torch.float32
