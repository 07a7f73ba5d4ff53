"""How much a model uses the image and the question: what its answers are worth without either."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from tqdm.auto import tqdm

from lxmert.modeling_lxmert.modes import evaluating
from lxmert.visualization.answer_relevance import scores_of
from lxmert.visualization.perturbation import targets_of
from lxmert.visualization.removal import inputs_of_pairs, removable, with_parts

if TYPE_CHECKING:
    import pandas

Way = Literal["removed", "zeroed", "mean", "swapped"]
Modality = Literal["image", "question"]
WAYS: tuple[Way, ...] = ("removed", "zeroed", "mean", "swapped")
MODALITIES: tuple[Modality, ...] = ("image", "question")


@dataclass(frozen=True)
class Withholding:
    """What a model's answers are worth without a modality, means over the pairs.

    Args:
        withheld: "nothing", "image", "question" or "both".
        way: in which it was withheld; "" for nothing.
        accuracy: mean score of the answers; without labels, share of answers that stay as they were.
        unchanged: share of answers that stay as they were.
        probability: mean probability of what was the answer to the whole pair.
    """

    withheld: str
    way: str
    accuracy: float
    unchanged: float
    probability: float


@dataclass(frozen=True)
class ModalityAblation:
    """All ways to withhold a modality, over N pairs."""

    rows: tuple[Withholding, ...]
    pairs: int

    def row(self, withheld: str, way: str = "") -> Withholding:
        """One row.

        Raises:
            KeyError: no such row.
        """
        for row in self.rows:
            if (row.withheld, row.way) == (withheld, way):
                return row
        raise KeyError(f"Nothing is known of {withheld!r} withheld in the way {way!r}.")

    def shapley(self) -> dict[Modality, float]:
        """What image and question each add to the accuracy (Shapley, 1953, of two players), with "removed" parts.

        They add up to the accuracy on whole pairs minus that on none.
        """
        whole, nothing = self.row("nothing").accuracy, self.row("both", "removed").accuracy
        alone: dict[Modality, float] = {
            "image": self.row("question", "removed").accuracy,
            "question": self.row("image", "removed").accuracy,
        }
        image = ((whole - alone["question"]) + (alone["image"] - nothing)) / 2
        return {"image": image, "question": whole - nothing - image}

    def table(self) -> "pandas.DataFrame":
        """A row for each way: `withheld`, `way`, `accuracy`, `unchanged`, `probability`."""
        import pandas

        return pandas.DataFrame([vars(row) for row in self.rows])


def ablate_modalities(
    model: Any,
    batches: Iterable[Mapping[str, torch.Tensor]],
    ways: Sequence[Way] = WAYS,
    progress: bool = True,
) -> ModalityAblation:
    """Withhold the image, the question and both, and judge the answers.

    | way | image | question |
    |---|---|---|
    | `removed` | one region, the whole image's box, with features of 0 | [CLS] and [SEP] are left |
    | `zeroed` | features of 0 in the boxes as they are | word embeddings of 0 |
    | `mean` | each feature is the mean of the batch | each word embedding is the mean of the batch |
    | `swapped` | that of the pair before in the batch | that of the pair before in the batch |

    Both are withheld in the way "removed" only.

    Args:
        model: with a head that answers questions about one image.
        batches: keywords of the model; with `labels`, integer class ids (B,) or scores of all answers (B, A) as floats.
            Pairs of a batch should be about different images, for "swapped"; before the first comes the last.
        ways: see above; "removed" is always among them.
        progress: show a bar with time left.

    Raises:
        TypeError: one batch in place of several.
        ValueError: no batches, an unknown way, a batch of one pair to be swapped, or labels of another shape or of
            answers that the model does not have.
    """
    unknown = [way for way in ways if way not in WAYS]
    if unknown:
        raise ValueError(f"ways must be some of {', '.join(WAYS)}, got {list(ways)}.")
    cases: list[tuple[str, str]] = [("nothing", ""), ("both", "removed")]
    cases += [(modality, way) for way in WAYS if way in {"removed", *ways} for modality in MODALITIES]
    sums = {case: np.zeros(3) for case in cases}
    pairs = 0
    batches = list(batches)
    if "swapped" in ways:  # before hours of work
        for batch in batches:
            _check_swappable(inputs_of_pairs(batch))
    for batch in tqdm(batches, desc="Withholding", unit=" batches", disable=not progress):
        inputs = {name: value.to(model.device) for name, value in inputs_of_pairs(batch).items()}
        with evaluating(model), torch.no_grad():
            first = scores_of(model(**inputs, return_dict=True))
            own = first.argmax(-1)
            targets = targets_of(first, batch.get("labels"))
            pairs += len(own)
            for withheld, way in cases:
                scores = scores_of(model(**withhold(model, inputs, withheld, way), return_dict=True)) if way else first
                answers, probabilities = scores.argmax(-1), scores.float().softmax(-1)
                unchanged = (answers == own).float()
                sums[withheld, way] += [
                    targets.gather(1, answers[:, None]).sum().item(),
                    unchanged.sum().item(),
                    probabilities.gather(1, own[:, None]).sum().item(),
                ]
    if not pairs:
        raise ValueError("batches is empty: there is nothing to judge.")
    return ModalityAblation(tuple(Withholding(*case, *(sums[case] / pairs).tolist()) for case in cases), pairs)


def _check_swappable(inputs: Mapping[str, torch.Tensor]) -> None:
    if len(inputs["input_ids"]) < 2:
        raise ValueError("A batch of one pair has no other to swap with: make larger batches, or leave swapped out.")


def withhold(model: Any, inputs: Mapping[str, torch.Tensor], withheld: str, way: str) -> dict[str, torch.Tensor]:
    """The inputs of B pairs without a modality; see `ablate_modalities`.

    Raises:
        ValueError: one pair only, to be swapped; or both modalities in another way than "removed".
    """
    inputs = inputs_of_pairs(inputs)
    there = removable(inputs)
    if way == "removed":
        kept = there._replace(
            words=there.words & (withheld == "image"),
            regions=there.regions & (withheld == "question"),
        )
        return with_parts(inputs, kept.words, kept.regions)
    if withheld == "both":
        raise ValueError(f'Both modalities are withheld in the way "removed" only, got {way!r}.')
    if way == "swapped":
        _check_swappable(inputs)
        part = "visual" if withheld == "image" else ("input", "token", "attention")
        return {name: value.roll(1, 0) if name.startswith(part) else value for name, value in inputs.items()}
    if withheld == "image":
        features = inputs["visual_feats"]
        replaced = _replaced(features, there.regions, way)
        return inputs | {"visual_feats": replaced}
    embedded = model.get_input_embeddings()(inputs["input_ids"])  # (B, T, H)
    return {name: value for name, value in inputs.items() if name != "input_ids"} | {
        "inputs_embeds": _replaced(embedded, there.words, way)
    }


def _replaced(states: torch.Tensor, there: torch.Tensor, way: str) -> torch.Tensor:
    """(B, N, D), zeros or the mean in the place of what is there."""
    filling = states[there].mean(0) if way == "mean" and there.any() else torch.zeros_like(states[0, 0])
    return torch.where(there[..., None], filling, states)
