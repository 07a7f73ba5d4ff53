"""The perturbation test: does removing what a method calls relevant change the answers (Chefer et al., 2021, 4.1)?

*Positive*: the most relevant words or regions go first, so the accuracy of a good method falls fast and the area under
its curve is small. *Negative*: the least relevant go first, and a good method's area is large.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from tqdm.auto import tqdm

from lxmert.modeling_lxmert.modes import evaluating
from lxmert.visualization.answer_relevance import relevance, scores_of
from lxmert.visualization.attention import Side
from lxmert.visualization.relevance_rules import METHODS, Method
from lxmert.visualization.removal import Removable, inputs_of_pairs, removable, with_parts

if TYPE_CHECKING:
    import pandas

Direction = Literal["positive", "negative"]
Ranking = Method | Literal["random"]
DIRECTIONS: tuple[Direction, ...] = ("positive", "negative")
SIDES: tuple[Side, ...] = ("regions", "words")
RANKINGS: tuple[Ranking, ...] = (*METHODS, "random")
SHARES = tuple(i / 10 for i in range(11))


@dataclass(frozen=True, eq=False)
class PerturbationCurve:
    """How the answers suffer when words or regions are removed in the order of a ranking.

    Args:
        ranking: the method, or "random".
        side: what is removed.
        direction: "positive", the most relevant first, or "negative", the least relevant first.
        shares: (S,), shares that are removed, from 0 to 1.
        accuracies: (S,), mean score of the answers.
    """

    ranking: Ranking
    side: Side
    direction: Direction
    shares: np.ndarray
    accuracies: np.ndarray

    @property
    def area(self) -> float:
        """Under the curve, by the trapezoidal rule, as a share of the largest that there could be."""
        return float(np.trapezoid(self.accuracies, self.shares) / (self.shares[-1] - self.shares[0]))


@dataclass(frozen=True, eq=False)
class PerturbationResult:
    """Curves of all rankings.

    Args:
        curves: for each ranking, side and direction.
        pairs: how many they are means over.
        labelled: whether answers were judged by labels, not by the model's answers to the whole pairs.
    """

    curves: tuple[PerturbationCurve, ...]
    pairs: int
    labelled: bool = True

    def area(self, ranking: Ranking, side: Side, direction: Direction) -> float:
        """Of one curve.

        Raises:
            KeyError: no such curve.
        """
        for curve in self.curves:
            if (curve.ranking, curve.side, curve.direction) == (ranking, side, direction):
                return curve.area
        raise KeyError(f"There is no curve of {ranking}, {side}, {direction}.")

    def table(self) -> "pandas.DataFrame":
        """Areas under the curves: a row for each ranking, columns such as `regions, positive`."""
        import pandas

        rows: dict[str, dict[str, float]] = {}
        for curve in self.curves:
            rows.setdefault(curve.ranking, {})[f"{curve.side}, {curve.direction}"] = curve.area
        return pandas.DataFrame.from_dict(rows, orient="index")


def perturbation_test(
    model: Any,
    batches: Iterable[Mapping[str, torch.Tensor]],
    rankings: Sequence[Ranking] = RANKINGS,
    sides: Sequence[Side] = SIDES,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    progress: bool = True,
) -> PerturbationResult:
    """Remove words and regions by relevance, and judge the answers to what is left.

    What is explained is the model's answer to the whole pair, as in the paper; equal relevances are put in random
    order. Removed parts are masked out (see `with_parts`), where the paper's code shortens the inputs. Where a share
    is no whole number of parts, it is rounded up: a tenth of one region is that region.

    Args:
        model: with a head that answers questions about one image.
        batches: keywords of the model; with `labels`, integer class ids (B,) or scores of all answers (B, A) as floats,
            the figure is the accuracy, without them the share of answers that stay as they were.
        rankings: methods of `relevance`, and "random", each once.
        sides: what is removed, "regions", "words", each once.
        shares: that are removed, rising, from 0 to 1.
        seed: of random orders.
        progress: show a bar with time left.

    Raises:
        TypeError: one batch in place of several.
        ValueError: no batches, an unknown ranking or side or one that is given twice, shares that do not rise, labels
            of another shape or of answers that the model does not have, and what `relevance` raises.
    """
    _check(rankings, sides, shares)
    batches = list(batches)
    if not batches:
        raise ValueError("batches is empty: there is nothing to judge.")
    generator = torch.Generator().manual_seed(seed)
    keys = list(product(rankings, sides, DIRECTIONS))
    sums = {key: np.zeros(len(shares)) for key in keys}
    pairs = 0
    with tqdm(total=len(batches) * len(keys), desc="Removing parts", unit=" curves", disable=not progress) as bar:
        for batch in batches:
            inputs = {name: value.to(model.device) for name, value in inputs_of_pairs(batch).items()}
            with evaluating(model), torch.no_grad():
                targets = targets_of(scores_of(model(**inputs, return_dict=True)), batch.get("labels"))
            pairs += len(targets)
            there = removable(inputs)
            for ranking in rankings:
                relevances = _relevances(model, inputs, ranking, generator)
                for side, direction in product(sides, DIRECTIONS):
                    order = _order(relevances[side], there._asdict()[side], direction, generator)
                    sums[ranking, side, direction] += _scores(model, inputs, there, targets, order, side, shares)
                    bar.update()
    return PerturbationResult(
        tuple(PerturbationCurve(*key, np.array(shares), sums[key] / pairs) for key in keys),
        pairs,
        labelled=all(batch.get("labels") is not None for batch in batches),
    )


def _check(rankings: Sequence[str], sides: Sequence[str], shares: Sequence[float]) -> None:
    for name, given, known in (("rankings", rankings, RANKINGS), ("sides", sides, SIDES)):
        unknown = [item for item in given if item not in known]
        if unknown or not given:
            raise ValueError(f"{name} must be some of {', '.join(known)}, got {list(given)}.")
        if len(set(given)) < len(given):
            raise ValueError(f"{name} must name each once, got {list(given)}.")
    rising = all(first < second for first, second in pairwise(shares))
    if len(shares) < 2 or not rising or shares[0] < 0 or shares[-1] > 1:
        raise ValueError(f"shares must rise from 0 or more to 1 or less, two of them at least, got {list(shares)}.")


def targets_of(scores: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
    """(B, A), what each answer counts; without labels, 1 for the model's own answers.

    Args:
        scores: (B, A), logits.
        labels: integer class ids (B,), negative where no answer is right; or floats (B, A), the scores of all answers.

    Raises:
        ValueError: labels of another shape, or ids of answers that the model does not have.
    """
    if labels is not None and labels.shape != (scores.shape if labels.is_floating_point() else scores.shape[:1]):
        raise ValueError(
            f"labels must be integer class ids of the shape ({len(scores)},) or floats of the shape "
            f"{tuple(scores.shape)}, scores of all answers, got {labels.dtype} of {tuple(labels.shape)}."
        )
    if labels is not None and labels.is_floating_point():
        return labels.to(scores.device)
    ids = scores.argmax(-1) if labels is None else labels.to(scores.device).long()
    if (ids >= scores.shape[-1]).any():
        raise ValueError(f"labels has the class id {int(ids.max())}, the model has {scores.shape[-1]} answers.")
    known = ids >= 0  # a question whose answer is not among the labels is never right
    return torch.nn.functional.one_hot(ids.clamp(min=0), scores.shape[-1]).float() * known[:, None]


def _relevances(
    model: Any, inputs: dict[str, torch.Tensor], ranking: Ranking, generator: torch.Generator
) -> dict[Side, torch.Tensor]:
    """(B, T) and (B, R)."""
    if ranking == "random":
        return {
            "words": torch.rand(inputs["input_ids"].shape, generator=generator),
            "regions": torch.rand(inputs["visual_feats"].shape[:2], generator=generator),
        }
    found = relevance(model, inputs, method=ranking)
    return {"words": torch.from_numpy(found.words), "regions": torch.from_numpy(found.regions)}


def _order(
    relevances: torch.Tensor, there: torch.Tensor, direction: Direction, generator: torch.Generator
) -> torch.Tensor:
    """(B, N), the place of each part in the order of removal; parts that cannot be removed stand behind the others."""
    there = there.cpu()
    shuffled = torch.rand(relevances.shape, generator=generator).argsort(1)  # so that equal ones come in random order
    sign = -1 if direction == "positive" else 1
    by_relevance = (sign * relevances).gather(1, shuffled).argsort(dim=1, stable=True)
    parts = shuffled.gather(1, by_relevance)  # (B, N), first to go first
    first_those_there = (~there).gather(1, parts).long().argsort(dim=1, stable=True)
    return parts.gather(1, first_those_there).argsort(1)


@torch.no_grad()
def _scores(
    model: Any,
    inputs: dict[str, torch.Tensor],
    there: Removable,
    targets: torch.Tensor,
    order: torch.Tensor,
    side: Side,
    shares: Sequence[float],
) -> np.ndarray:
    """(S,), summed scores of the answers to what each share leaves."""
    order = order.to(targets.device)
    count = there._asdict()[side].sum(1, keepdim=True)  # (B, 1)
    found = np.zeros(len(shares))
    with evaluating(model):
        for index, share in enumerate(shares):
            left = torch.floor((1 - share) * count + 1e-6)
            kept = there._replace(**{side: order >= count - left})
            answers = scores_of(model(**with_parts(inputs, kept.words, kept.regions), return_dict=True)).argmax(-1)
            found[index] = targets.gather(1, answers[:, None]).sum().item()
    return found
