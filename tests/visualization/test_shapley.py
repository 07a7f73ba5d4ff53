"""Shapley values of words and regions: their laws, against all orders, and on a model of which the truth is known."""

import itertools
import math

import numpy as np
import pytest
import torch

from lxmert import LxmertForQuestionAnswering
from lxmert.visualization import shapley
from lxmert.visualization.removal import with_parts
from lxmert.visualization.shapley import modality_shares
from tests.conftest import make_batch, make_masks
from tests.visualization.toy_model import KEY_WORD, MARKED_REGION, toy_inputs, toy_model


def test_values_add_up_to_what_there_is_to_share(small_model: LxmertForQuestionAnswering) -> None:
    inputs = make_batch() | make_masks()
    found = modality_shares(small_model, inputs, permutations=2)
    np.testing.assert_allclose(found.words.sum(1) + found.regions.sum(1), found.whole - found.nothing, atol=1e-6)
    with torch.no_grad():
        probabilities = small_model(**inputs).logits.softmax(-1)
    np.testing.assert_allclose(found.whole, probabilities.max(-1).values, atol=1e-6)
    assert found.answers == tuple(probabilities.argmax(-1).tolist())
    assert not found.words[:, 0].any()  # [CLS]
    assert not found.words[1, 3:].any()  # [SEP] and padding
    assert not found.regions[1, 2:].any()
    np.testing.assert_allclose(found.question_share + found.image_share, 1)


def test_the_estimate_nears_the_exact_values(small_model: LxmertForQuestionAnswering) -> None:
    """Two words and three regions: all 120 orders by hand."""
    inputs = make_batch(words=4, regions=3, batch=1)
    players = [1, 2, 4, 5, 6]  # places among four words and three regions

    def value(members: frozenset[int]) -> float:
        kept = torch.tensor([[place in members for place in range(7)]])
        with torch.no_grad():
            return small_model(**with_parts(inputs, kept[:, :4], kept[:, 4:])).logits.softmax(-1)[0, 2].item()

    worth = {
        frozenset(members): value(frozenset(members))
        for size in range(6)
        for members in itertools.combinations(players, size)
    }
    exact = np.zeros(7)
    for order in itertools.permutations(players):
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            exact[player] += (worth[before | {player}] - worth[before]) / math.factorial(5)
    found = modality_shares(small_model, inputs, 2, permutations=400)
    estimate = np.concatenate([found.words[0], found.regions[0]])
    np.testing.assert_allclose(estimate, exact, atol=0.15 * np.abs(exact).max())


def test_the_word_and_the_region_that_matter_have_the_largest_values() -> None:
    found = modality_shares(toy_model(), toy_inputs(), "yes plus", permutations=64)
    assert found.words[0].argmax() == KEY_WORD
    assert found.regions[0].argmax() == MARKED_REGION
    assert 0.35 < found.question_share[0] < 0.65


def test_a_part_that_is_never_read_is_worth_nothing() -> None:
    """Without cross-attention's output, no region matters."""
    model = toy_model()
    model.lxmert.encoder.x_layers[0].visual_attention.output.dense.weight.data.zero_()
    found = modality_shares(model, toy_inputs(), permutations=4)
    np.testing.assert_allclose(found.regions, 0, atol=1e-7)
    assert found.question_share[0] == pytest.approx(1)


def test_chunks_do_not_matter(small_model: LxmertForQuestionAnswering, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = modality_shares(small_model, make_batch(), permutations=2)
    monkeypatch.setattr(shapley, "MOST_STATES", 70)
    np.testing.assert_allclose(modality_shares(small_model, make_batch(), permutations=2).words, whole.words, atol=1e-6)


def test_orders_come_with_their_reverse(small_model: LxmertForQuestionAnswering) -> None:
    """One word and one region join in two orders only, and each order brings the other, so the values are exact."""
    inputs = make_batch(words=3, regions=1, batch=2)

    def worth(word: bool, region: bool) -> torch.Tensor:
        kept = torch.tensor([[False, word, False]] * 2), torch.tensor([[region]] * 2)
        with torch.no_grad():
            return small_model(**with_parts(inputs, *kept)).logits.softmax(-1)[:, 4]

    neither, word, region, both = (worth(*kept) for kept in ((0, 0), (1, 0), (0, 1), (1, 1)))  # type: ignore[arg-type]
    found = modality_shares(small_model, inputs, 4, permutations=2)
    np.testing.assert_allclose(found.words[:, 1], ((word - neither) + (both - region)) / 2, atol=1e-6)
    np.testing.assert_allclose(found.regions[:, 0], ((region - neither) + (both - word)) / 2, atol=1e-6)


def test_the_seed_decides(small_model: LxmertForQuestionAnswering) -> None:
    found = [modality_shares(small_model, make_batch(), seed=seed, permutations=2).words for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0


@pytest.mark.parametrize("permutations", [0, 1, 3])
def test_odd_numbers_of_orders_are_refused(small_model: LxmertForQuestionAnswering, permutations: int) -> None:
    with pytest.raises(ValueError, match=f"permutations must be even and 2 at least.*: {permutations}"):
        modality_shares(small_model, make_batch(), permutations=permutations)


def test_unknown_answers_are_refused(small_model: LxmertForQuestionAnswering) -> None:
    with pytest.raises(ValueError, match="'maybe' is not among the model's 7 answers"):
        modality_shares(small_model, make_batch(), "maybe")
