"""The perturbation test on a model whose answer is known to rest on one word and one region."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from lxmert import LxmertForQuestionAnswering
from lxmert.visualization import ablate_modalities, perturbation_figures
from lxmert.visualization.perturbation import PerturbationCurve, _order, perturbation_test
from tests.conftest import make_batch, make_masks
from tests.visualization.toy_model import toy_inputs, toy_model

PAIRS = [("yes", "plus"), ("yes", "minus"), ("no", "plus"), ("no", "minus")]


def toy_batch() -> dict[str, torch.Tensor]:
    each = [toy_inputs(*pair) for pair in PAIRS]
    return {name: torch.cat([item[name] for item in each]) for name in each[0]} | {"labels": torch.arange(4)}


def test_removing_what_matters_first_or_last() -> None:
    shares = (0.0, 0.2, 0.8, 1.0)
    result = perturbation_test(toy_model(), [toy_batch()], ["generic"], ["regions"], shares, progress=False)
    curves = {curve.direction: curve for curve in result.curves}
    assert result.pairs == 4
    # one of five regions matters: with it gone first the answers fall to what a guess gives, else it is the last to go
    positive, negative = curves["positive"].accuracies, curves["negative"].accuracies
    assert positive[0] == negative[0] == 1
    assert positive[1] <= 0.5
    assert negative[2] == 1
    assert negative[3] == positive[3] <= 0.5
    assert result.area("generic", "regions", "positive") < 0.6 < result.area("generic", "regions", "negative")


def test_methods_that_find_it_beat_random_and_those_that_do_not_do_not() -> None:
    """Behind layers that look at everything alike, gradients of the last layer and attention say nothing."""
    batches = [toy_batch()] * 8  # each in its own random order
    result = perturbation_test(toy_model(layers=3), batches, shares=(0.0, 0.25, 0.5, 0.75, 1.0), progress=False)
    for side in ("regions", "words"):
        random = result.area("random", side, "negative")
        assert result.area("generic", side, "negative") > random + 0.1
        assert abs(result.area("gradient_attention", side, "negative") - random) < 0.12
    table = result.table()
    assert list(table.index) == [
        *("generic", "gradient_attention", "attention_grad_cam", "rollout", "raw_attention", "random")
    ]
    assert table.loc["random", "words, negative"] == result.area("random", "words", "negative")


def test_a_random_order_loses_the_region_at_a_random_time() -> None:
    result = perturbation_test(
        toy_model(), [toy_batch()] * 100, ["random"], ["regions"], (0.0, 0.4, 1.0), progress=False
    )
    nothing = result.curves[0].accuracies[2]
    # 3 of 5 regions are left: the one that matters is among them in 60 % of orders, else a guess remains
    assert abs(result.curves[0].accuracies[1] - (0.6 + 0.4 * nothing)) < 0.1


def test_without_labels_answers_are_compared_with_the_models_own(small_model: LxmertForQuestionAnswering) -> None:
    batch = make_batch() | make_masks()
    result = perturbation_test(small_model, [batch], ["random"], ["words"], (0.0, 1.0), progress=False)
    assert all(curve.accuracies[0] == 1 for curve in result.curves)
    own = small_model(**batch).logits.argmax(-1)
    labelled = perturbation_test(
        small_model, [batch | {"labels": own}], ["random"], ["words"], (0.0, 1.0), progress=False
    )
    np.testing.assert_array_equal(labelled.curves[0].accuracies, result.curves[0].accuracies)


def test_scores_of_answers_and_unknown_answers() -> None:
    batch = toy_batch()
    scores = 0.3 * torch.eye(4)
    result = perturbation_test(toy_model(), [batch | {"labels": scores}], ["random"], progress=False)
    assert result.curves[0].accuracies[0] == pytest.approx(0.3)
    unknown = perturbation_test(
        toy_model(), [batch | {"labels": torch.tensor([0, 1, -100, -1])}], ["random"], progress=False
    )
    assert unknown.curves[0].accuracies[0] == 0.5


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.ones(4, 4, dtype=torch.long), r"floats of the shape \(4, 4\).* got torch.int64 of \(4, 4\)"),
        (torch.ones(4, 5), r"got torch.float32 of \(4, 5\)"),
        (torch.ones(4), r"got torch.float32 of \(4,\)"),
        (torch.tensor([0, 1, 2]), r"class ids of the shape \(4,\)"),
        (torch.tensor([0, 1, 2, 9]), "labels has the class id 9, the model has 4 answers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: torch.Tensor, words: str) -> None:
    batch = toy_batch() | {"labels": labels}
    with pytest.raises(ValueError, match=words):
        perturbation_test(toy_model(), [batch], ["random"], progress=False)
    with pytest.raises(ValueError, match=words):
        ablate_modalities(toy_model(), [batch], progress=False)


def test_the_drawing_says_what_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(
        perturbation_figures, "Figure", lambda **keywords: drawn.append(Figure(**keywords)) or drawn[-1]
    )
    batch = toy_batch()
    unlabelled = {name: value for name, value in batch.items() if name != "labels"}
    for given, expected in ((batch, "right answers, %"), (unlabelled, "unchanged answers, %")):
        result = perturbation_test(toy_model(), [given], ["random"], ["words"], progress=False)
        perturbation_figures.draw_perturbation(result, tmp_path / "p.svg", "of $5 and $6")
        assert drawn[-1].axes[0].get_ylabel() == expected
        assert not drawn[-1]._suptitle.get_parse_math()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"path must end in .png, .svg or .pdf"):
        perturbation_figures.draw_perturbation(result, tmp_path / "p.jpg")


def test_the_order_of_removal() -> None:
    relevances = torch.tensor([[0.0, 0.5, 0.1, 0.9, 7.0]])
    there = torch.tensor([[True, True, True, True, False]])
    generator = torch.Generator().manual_seed(0)
    assert _order(relevances, there, "positive", generator).tolist() == [[3, 1, 2, 0, 4]]
    assert _order(relevances, there, "negative", generator).tolist() == [[0, 2, 1, 3, 4]]
    equal = torch.zeros(4000, 4)
    first = (_order(equal, torch.ones(4000, 4, dtype=torch.bool), "positive", generator) == 0).float().mean(0)
    torch.testing.assert_close(first, torch.full((4,), 0.25), atol=0.03, rtol=0)


def test_the_area_of_a_curve() -> None:
    curve = PerturbationCurve("generic", "words", "positive", np.array([0, 0.5, 1]), np.array([1.0, 0.5, 0.0]))
    assert curve.area == pytest.approx(0.5)
    half = PerturbationCurve("generic", "words", "positive", np.array([0, 0.5]), np.array([1.0, 0.5]))
    assert half.area == pytest.approx(0.75)


def test_the_same_seed_gives_the_same(small_model: LxmertForQuestionAnswering) -> None:
    results = [perturbation_test(small_model, [make_batch()], ["random"], seed=3, progress=False) for _ in range(2)]
    for first, second in zip(*(result.curves for result in results), strict=True):
        np.testing.assert_array_equal(first.accuracies, second.accuracies)


def test_what_is_refused(small_model: LxmertForQuestionAnswering) -> None:
    with pytest.raises(TypeError, match="got str: put a single batch into a list"):
        perturbation_test(small_model, make_batch(), progress=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batches is empty"):
        perturbation_test(small_model, [])
    with pytest.raises(ValueError, match="rankings must be some of generic, .*random, got"):
        perturbation_test(small_model, [make_batch()], ["luck"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="sides must be some of regions, words"):
        perturbation_test(small_model, [make_batch()], sides=[])
    with pytest.raises(ValueError, match="rankings must name each once"):
        perturbation_test(small_model, [make_batch()], ["random", "random"])
    for shares in ((0.0,), (0.0, 0.5, 0.5), (0.0, 1.1), (-0.1, 1.0)):
        with pytest.raises(ValueError, match="shares must rise from 0"):
            perturbation_test(small_model, [make_batch()], shares=shares)
    with pytest.raises(KeyError, match="no curve of random, words, positive"):
        perturbation_test(small_model, [make_batch()], ["generic"], ["words"], (0.0, 1.0), progress=False).area(
            "random", "words", "positive"
        )
