"""Targets of all pre-training tasks for the batches of `make_batch`."""

from typing import Any

import torch

TASKS = ("mask_lm", "matched", "obj", "attr", "feat", "qa")


def make_labels(
    words: int = 9,
    regions: int = 5,
    batch: int = 3,
    seed: int = 0,
    nothing: int = -100,
    soft: bool = False,
    visual_feat_dim: int = 12,
) -> dict[str, Any]:
    """Random targets of the small models' sizes; every task has items with and without a label.

    Args:
        words: T.
        regions: R.
        batch: B, at least 2.
        seed: of the random numbers.
        nothing: stands where there is no label.
        soft: scores of all answers in place of one class id per question.
        visual_feat_dim: width of a region's features.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(classes: int, *shape: int) -> torch.Tensor:
        return torch.randint(classes, shape, generator=generator)

    labels = draw(60, batch, words)
    labels[:, ::3] = nothing
    objects, attributes = draw(5, batch, regions), draw(3, batch, regions)
    objects[:, 0] = attributes[:, 1] = nothing
    matched, answers = draw(2, batch), draw(7, batch)
    matched[-1] = answers[0] = nothing
    masked = (draw(3, batch, regions) > 0).float()
    masked[:, :2] = torch.tensor([1.0, 0.0])
    return {
        "labels": labels,
        "obj_labels": {
            "obj": (objects, torch.rand(batch, regions, generator=generator)),
            "attr": (attributes, torch.rand(batch, regions, generator=generator)),
            "feat": (torch.randn(batch, regions, visual_feat_dim, generator=generator), masked),
        },
        "matched_label": matched,
        "ans": torch.rand(batch, 7, generator=generator) if soft else answers,
    }


def make_grounding_labels(
    words: int = 9, regions: int = 5, batch: int = 3, seed: int = 0, nothing: int = -100
) -> dict[str, torch.Tensor]:
    """Random sets of regions and their sizes, for the words of the small models; every third word has no label.

    Args:
        words: T.
        regions: R.
        batch: B.
        seed: of the random numbers.
        nothing: stands where there is no label.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(2, (batch, words, regions), generator=generator, dtype=torch.int8)
    numbers = pairs.sum(-1)
    pairs[:, ::3] = nothing
    pairs[:, 1, 0] = nothing
    numbers[:, ::3] = nothing
    return {"grounding_labels": pairs, "count_labels": numbers}


def only(labels: dict[str, Any], *tasks: str) -> dict[str, Any]:
    """The targets of some of the `TASKS`."""
    names = {"mask_lm": "labels", "matched": "matched_label", "qa": "ans"}
    chosen = {names[task]: labels[names[task]] for task in tasks if task in names}
    if visual := {task: labels["obj_labels"][task] for task in tasks if task not in names}:
        chosen["obj_labels"] = visual
    return chosen


def rows(inputs: dict[str, Any], which: slice) -> dict[str, Any]:
    """Some items of a batch, of its targets too."""
    return {name: _rows(value, which) for name, value in inputs.items()}


def _rows(value: Any, which: slice) -> Any:
    if isinstance(value, dict):
        return rows(value, which)
    return tuple(part[which] for part in value) if isinstance(value, tuple) else value[which]
