"""What can be predicted without looking: the figures that pre-training has to beat."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from lxmert.configuration import LxmertConfig
from lxmert.training.pretraining_examples import PretrainingExample
from lxmert.training.task import Batch

# Where a batch's class ids lie.
CLASSES: dict[str, Callable[[Batch], torch.Tensor]] = {
    "mask_lm": lambda batch: batch["labels"],
    "matched": lambda batch: batch["matched_label"],
    "obj": lambda batch: _masked_only(batch, "obj"),
    "attr": lambda batch: _masked_only(batch, "attr"),
    "qa": lambda batch: batch["ans"],
    "grounding": lambda batch: batch["grounding_labels"],
    "count": lambda batch: batch["count_labels"],
}


def trivial_predictors(
    config: LxmertConfig, training: Iterable[Batch], validation: Iterable[Batch]
) -> dict[str, dict[str, float]]:
    """Losses and accuracies of predictors that know how often each class occurs, or the mean feature, but no input.

    Judged is what `measure_pretraining` judges: words with a label, pairs, labelled regions that are masked,
    answers, labelled pairs of a word and a region, counted words.

    Args:
        config: of the model; says how many classes there are and which distance features have.
        training: batches to count classes and average features in.
        validation: batches to predict.

    Returns:
        By task: `uniform`, the loss of equal chances for all classes; `frequency`, the loss of the classes'
        frequencies (add-one smoothed); `most_frequent_accuracy`, of always the most frequent class. For `feat`:
        `zero` and `mean`, the losses of predicting 0 and the mean feature.

    Example:
        >>> batch = {"labels": torch.tensor([[0, 0, 1, -100]])}
        >>> figures = trivial_predictors(LxmertConfig(vocab_size=2), [batch], [batch])["mask_lm"]
        >>> {name: round(figure, 3) for name, figure in figures.items()}
        {'uniform': 0.693, 'frequency': 0.646, 'most_frequent_accuracy': 0.667}
    """
    sizes = {
        "mask_lm": config.vocab_size,
        "matched": 2,
        "obj": config.num_object_labels,
        "attr": config.num_attr_labels,
        "qa": config.num_qa_labels or 0,
        "grounding": 2,
        "count": config.num_count_labels,
    }
    counts = {name: torch.zeros(size) for name, size in sizes.items()}
    judged = {name: torch.zeros(size) for name, size in sizes.items()}
    features, number = torch.zeros(config.visual_feat_dim), 0.0
    for batch in training:
        _count(batch, counts)
        if "obj_labels" in batch:
            targets, masked = batch["obj_labels"]["feat"]
            features += targets[masked > 0].sum(0)
            number += masked.sum().item()
    mean = features / max(number, 1)
    distances, regions = {"zero": 0.0, "mean": 0.0}, 0.0
    distance = F.smooth_l1_loss if config.visual_feat_distance == "smooth_l1" else F.mse_loss
    for batch in validation:
        _count(batch, judged)
        if "obj_labels" in batch:
            targets, masked = batch["obj_labels"]["feat"]
            targets = targets[masked > 0]  # (masked regions, D)
            regions += len(targets)
            for name, guess in (("zero", torch.zeros_like(mean)), ("mean", mean)):
                each = distance(guess.expand_as(targets), targets, reduction="none").mean(-1)
                distances[name] += each.sum().item()
    figures = {name: _of_classes(counts[name], judged[name]) for name in sizes if judged[name].any()}
    if regions:
        figures["feat"] = {name: total / regions for name, total in distances.items()}
    return figures


def batches_of(
    examples: Sequence[PretrainingExample],
    collate: Callable[[list[PretrainingExample]], Batch],
    size: int = 256,
    limit: int | None = None,
) -> Iterable[Batch]:
    """Batches of all examples, or of `limit` evenly spaced ones: data sets often follow one another in the records."""
    count = len(examples) if limit is None else min(limit, len(examples))
    chosen = np.linspace(0, len(examples) - 1, count).round().astype(int).tolist()
    for start in range(0, count, size):
        yield collate([examples[i] for i in chosen[start : start + size]])


def _count(batch: Batch, counts: dict[str, torch.Tensor]) -> None:
    for name, total in counts.items():
        try:
            classes = CLASSES[name](batch)
        except KeyError:  # no labels of this task
            continue
        total += torch.bincount(classes[classes >= 0].flatten(), minlength=len(total))


def _masked_only(batch: Batch, name: str) -> torch.Tensor:
    classes, masked = batch["obj_labels"][name][0], batch["obj_labels"]["feat"][1]
    return classes[masked > 0]


def _of_classes(counts: torch.Tensor, judged: torch.Tensor) -> dict[str, float]:
    chances = (counts + 1) / (counts + 1).sum()
    shares = judged / judged.sum()
    return {
        "uniform": math.log(len(counts)),
        "frequency": -(shares * chances.log()).sum().item(),
        "most_frequent_accuracy": shares[counts.argmax()].item(),
    }
