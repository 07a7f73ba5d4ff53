"""What each word and region adds to an answer: Shapley values, and the share that each modality has in them.

Shapley (1953) shares what a team earns among its players by what each adds on average as they join in any order. With
words and regions as players, a modality's share of all absolute values is the measure of Parcalabescu & Frank (ACL
2023, "MM-SHAP").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from lxmert.modeling_lxmert.modes import evaluating
from lxmert.visualization.answer_relevance import Answers, answers_of, scores_of
from lxmert.visualization.removal import inputs_of_pairs, removable, with_parts

MOST_STATES = 65_536  # words and regions of a forward pass together


@dataclass(frozen=True, eq=False)
class ModalityShares:
    """Shapley values of the words and regions of B pairs, and what share of them each modality has.

    Args:
        words: (B, T), what each word adds to the probability of the explained answer; 0 for [CLS], [SEP], padding.
        regions: (B, R), what each region adds.
        whole: (B,), probability of the answer given everything.
        nothing: (B,), given nothing; values of a pair add up to `whole` minus `nothing`.
        answers: class ids that are explained.
    """

    words: np.ndarray
    regions: np.ndarray
    whole: np.ndarray
    nothing: np.ndarray
    answers: tuple[int, ...]

    @property
    def question_share(self) -> np.ndarray:
        """(B,), the words' share of all absolute values (T-SHAP of Parcalabescu & Frank, 2023); NaN where all are 0."""
        words, regions = np.abs(self.words).sum(1), np.abs(self.regions).sum(1)
        with np.errstate(invalid="ignore"):
            return words / (words + regions)

    @property
    def image_share(self) -> np.ndarray:
        """(B,), the regions' share, 1 minus the words' (V-SHAP)."""
        return 1 - self.question_share


def modality_shares(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    answer: Answers | None = None,
    permutations: int = 16,
    seed: int = 0,
    progress: bool = False,
) -> ModalityShares:
    """Shapley values of every word and region, by drawn orders in which they join (Castro et al., 2009).

    Orders are drawn in pairs, each with its reverse, which makes the estimate steadier. A value is the mean, over the
    orders, of how much the answer's probability rises when the part joins.

    Args:
        model: with a head that answers questions about one image.
        inputs: of B pairs, keywords of the model.
        answer: as in `relevance`.
        permutations: number of orders, an even one.
        seed: of the orders.
        progress: show a bar with time left.

    Raises:
        ValueError: an odd number of permutations or none, and what `relevance` raises of answers.
    """
    if permutations < 2 or permutations % 2:
        raise ValueError(f"permutations must be even and 2 at least, as each order has its reverse: {permutations}.")
    inputs = {name: value.to(model.device) for name, value in inputs_of_pairs(inputs).items()}
    there = torch.cat(removable(inputs), 1).cpu()  # (B, T + R)
    generator = np.random.default_rng(seed)
    with evaluating(model), torch.no_grad():
        logits = scores_of(model(**inputs, return_dict=True))
        chosen = answers_of(model, answer, logits)
        values = np.zeros(tuple(there.shape))
        ends = np.zeros((len(there), 2))
        for pair in tqdm(range(len(there)), desc="Shapley values", unit=" pairs", disable=not progress):
            parts = np.flatnonzero(there[pair].numpy())
            orders = [generator.permutation(parts) for _ in range(permutations // 2)]
            orders += [order[::-1] for order in orders]
            one = {name: value[pair : pair + 1] for name, value in inputs.items()}
            joined = _probabilities(model, one, orders, there.shape[1], chosen[pair])  # (orders, parts + 1)
            for order, probabilities in zip(orders, joined, strict=True):
                values[pair, order] += np.diff(probabilities) / permutations
            ends[pair] = joined[0, -1], joined[0, 0]
    words = inputs["input_ids"].shape[1]
    return ModalityShares(values[:, :words], values[:, words:], ends[:, 0], ends[:, 1], tuple(chosen))


def _probabilities(
    model: Any, one: dict[str, torch.Tensor], orders: Sequence[np.ndarray], parts: int, answer: int
) -> np.ndarray:
    """(orders, N + 1), the answer's probability as the N parts of a pair join in each order."""
    kept = np.zeros((len(orders), len(orders[0]) + 1, parts), bool)
    for row, order in enumerate(orders):
        for place, part in enumerate(order):
            kept[row, place + 1 :, part] = True
    rows = torch.from_numpy(kept.reshape(-1, parts))
    found = []
    words = one["input_ids"].shape[1]
    for chunk in rows.split(max(MOST_STATES // parts, 1)):
        chunk = chunk.to(one["input_ids"].device)
        repeated = {name: value.expand(len(chunk), *value.shape[1:]) for name, value in one.items()}
        scores = scores_of(model(**with_parts(repeated, chunk[:, :words], chunk[:, words:]), return_dict=True))
        found.append(scores.float().softmax(-1)[:, answer].cpu())
    return torch.cat(found).numpy().reshape(kept.shape[:2])
