"""Losses: small pure functions, each with its source.

Each is a sum over what is labelled, divided by a count. By default the count is the batch's own; training passes one
that holds for all micro-batches and processes of a step together, so that splitting a batch changes nothing.
"""

from typing import Any, Literal

import torch
from torch.nn import functional as F

IGNORED = (-100, -1)  # transformers' mark and the original's for "no label"
# By task, the keyword of its labels, where the loss is a mean over them.
LABELS = {
    "mask_lm": "labels",
    "matched": "matched_label",
    "qa": "ans",
    "grounding": "grounding_labels",
    "count": "count_labels",
}


def masked_language_modelling_loss(
    logits: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | None = None
) -> torch.Tensor:
    """Loss of masked cross-modality language modelling (section 3.1.1).

    Cross-entropy, mean over the wordpieces that have a label (the original's `masked_lm_loss`); 0 if none has.

    Args:
        logits: (..., V), of V wordpieces.
        labels: (...), wordpiece ids, -100 or -1 where nothing is to be predicted.
        count: divides the sum instead of the number of labels.

    Returns:
        A scalar.

    Example:
        >>> masked_language_modelling_loss(torch.zeros(1, 3, 4), torch.tensor([[2, -1, -100]])).item()  # ln 4
        1.3862943649291992
    """
    return _cross_entropy(logits, labels, count)


def cross_modality_matching_loss(
    scores: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | None = None
) -> torch.Tensor:
    """Loss of cross-modality matching (section 3.1.3): does the sentence describe the image?

    Cross-entropy, mean over the pairs that have a label (the original's `matched_loss`).

    Args:
        scores: (B, 2), logits of "not matched" and "matched".
        labels: (B,), 1 for matched pairs, 0 for others, -100 or -1 for none.
        count: divides the sum instead of the number of labels.

    Returns:
        A scalar.

    Example:
        >>> cross_modality_matching_loss(torch.zeros(2, 2), torch.tensor([1, 0])).item()  # ln 2
        0.6931471824645996
    """
    return _cross_entropy(scores, labels, count)


def detected_label_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, count: torch.Tensor | None = None
) -> torch.Tensor:
    """Loss of detected-label classification, for objects or attributes (section 3.1.2).

    Cross-entropy of each region times its weight, mean over **all** regions of the batch, padded ones and those
    without a label included (the original's `visual_losses_fct` for `obj` and `attr`, before the normaliser).

    Args:
        logits: (..., C), of C classes.
        labels: (...), the detector's classes, -100 or -1 for none.
        weights: (...), the detector's confidences (the original), or 1 for masked regions and 0 for others (the paper).
        count: divides the sum instead of the number of regions.

    Returns:
        A scalar.

    Example:
        >>> labels, weights = torch.tensor([[1, -1]]), torch.tensor([[0.5, 1.0]])
        >>> detected_label_loss(torch.zeros(1, 2, 4), labels, weights).item()  # 0.5 ln 4 / 2
        0.3465735912322998
    """
    labels = labels.long()
    labelled = labels >= 0
    each = F.cross_entropy(
        logits.float().flatten(0, -2), labels.masked_fill(~labelled, IGNORED[0]).flatten(), reduction="none"
    )
    return (each * weights.float().flatten()).sum() / _at_least_one(labels.numel() if count is None else count)


def feature_regression_loss(
    predictions: torch.Tensor,
    targets: torch.Tensor,
    masked: torch.Tensor,
    distance: Literal["smooth_l1", "l2"] = "smooth_l1",
    count: torch.Tensor | None = None,
) -> torch.Tensor:
    """Loss of RoI-feature regression (section 3.1.2).

    Distance to the features that were masked, mean over the feature's width, on masked regions only, then mean over
    **all** regions of the batch (the original's `visual_losses_fct` for `feat`, before the normaliser).

    Args:
        predictions: (..., D).
        targets: (..., D), features before masking.
        masked: (...), 1 for masked regions, 0 for others.
        distance: "smooth_l1" with its corner at 1, as the original, or "l2", the squared difference, as the paper.
        count: divides the sum instead of the number of regions.

    Returns:
        A scalar.

    Example:
        >>> targets, masked = torch.tensor([[[0.5, 3.0], [9.0, 9.0]]]), torch.tensor([[1.0, 0.0]])
        >>> feature_regression_loss(torch.zeros(1, 2, 2), targets, masked).item()  # (0.125 + 2.5) / 2 / 2
        0.65625
        >>> feature_regression_loss(torch.zeros(1, 2, 2), targets, masked, "l2").item()  # (0.25 + 9) / 2 / 2
        2.3125
    """
    function = F.smooth_l1_loss if distance == "smooth_l1" else F.mse_loss
    each = function(predictions.float(), targets.float(), reduction="none").mean(-1)
    return (each * masked.float()).sum() / _at_least_one(masked.numel() if count is None else count)


def question_answering_loss(
    scores: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | None = None
) -> torch.Tensor:
    """Loss of image question answering (section 3.1.3), on one answer per question or on scores of all answers.

    One answer: cross-entropy, mean over the questions that have a label (the original's `CrossEntropyLoss` of
    `LXRTPretraining`, where an unlabelled batch gives NaN; here it gives 0). Scores: binary cross-entropy, mean over
    all questions and answers, times the number of answers (the original's `vqa.py`).

    Args:
        scores: (B, A), logits of A answers.
        labels: (B,) class ids, -100 or -1 for none, or (B, A) scores in [0, 1].
        count: divides the sum instead of the number of labels.

    Returns:
        A scalar.

    Example:
        >>> question_answering_loss(torch.zeros(1, 4), torch.tensor([2])).item()  # ln 4
        1.3862943649291992
        >>> question_answering_loss(torch.zeros(1, 4), torch.tensor([[0.0, 0.3, 1.0, 0.0]])).item()  # 4 ln 2
        2.7725887298583984
    """
    if labels.is_floating_point():
        total = F.binary_cross_entropy_with_logits(scores.float(), labels.float(), reduction="sum")
        return total / _at_least_one(len(scores) if count is None else count)
    return _cross_entropy(scores, labels, count)


def grounding_loss(logits: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | None = None) -> torch.Tensor:
    """Loss of grounding: does the word's phrase mean the region (Plummer et al., 2015)?

    Binary cross-entropy, mean over the pairs of a word and a region that have a label; 0 if none has.

    Args:
        logits: (B, T, R).
        labels: (B, T, R), 1 where the word means the region, 0 where not, -100 or -1 for none.
        count: divides the sum instead of the number of labels.

    Returns:
        A scalar.

    Example:
        >>> grounding_loss(torch.zeros(1, 1, 3), torch.tensor([[[1, 0, -100]]])).item()  # ln 2
        0.6931471824645996
    """
    labelled = labels >= 0
    total = F.binary_cross_entropy_with_logits(
        logits.float(), (labels > 0).float(), weight=labelled.float(), reduction="sum"
    )
    return total / _at_least_one(labelled.sum() if count is None else count)


def counting_loss(logits: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | None = None) -> torch.Tensor:
    """Loss of counting: how many regions does the word's phrase mean (the sizes of NLVR's sets, Suhr et al., 2017)?

    Cross-entropy, mean over the words that have a label; 0 if none has.

    Args:
        logits: (..., C), of the numbers 0 to C - 2 and of "C - 1 or more".
        labels: (...), class ids, -100 or -1 for none.
        count: divides the sum instead of the number of labels.

    Returns:
        A scalar.

    Example:
        >>> counting_loss(torch.zeros(1, 2, 10), torch.tensor([[3, -100]])).item()  # ln 10
        2.3025851249694824
    """
    return _cross_entropy(logits, labels, count)


def loss_counts(batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    """By what `LxmertForPreTraining` divides each loss of a batch: the labels, and the regions that are not padding.

    Summed over the micro-batches and processes of a step, and divided by how many there are, these numbers go back
    into the model as `loss_counts`; the step then equals that of one large batch, however it is split.

    Args:
        batch: keywords of the model.

    Returns:
        `mask_lm`, `matched`, `qa`, `grounding`, `count` and `regions`, as far as their labels are in the batch;
        0-dimensional, float32.

    Example:
        >>> counts = loss_counts({"labels": torch.tensor([[5, -100]]), "ans": torch.tensor([-1, -1])})
        >>> {name: count.item() for name, count in counts.items()}
        {'mask_lm': 1.0, 'qa': 0.0}
    """
    counts = {name: _number_of_labels(batch[label]) for name, label in LABELS.items() if batch.get(label) is not None}
    if batch.get("obj_labels"):
        mask = batch.get("visual_attention_mask")
        shape = next(iter(batch["obj_labels"].values()))[1]  # (B, R), or (I, R) of images
        regions = (torch.ones_like(shape) if mask is None else mask.expand(shape.shape)).float().sum(1)
        indices = batch.get("image_indices")
        counts["regions"] = (regions if indices is None else regions[indices]).sum()
    return {name: count.float() for name, count in counts.items()}


def right_and_judged(logits: torch.Tensor, labels: torch.Tensor, judged: torch.Tensor | None = None) -> torch.Tensor:
    """How often the best class is the label, and how many labels there are; sums, so they add up over batches.

    Args:
        logits: (..., C), of C classes.
        labels: (...), class ids, -100 or -1 for none.
        judged: (...), 0 leaves a label out.

    Returns:
        (2,), float32, without a gradient.

    Example:
        >>> right_and_judged(torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), torch.tensor([1, 1, -1])).tolist()
        [1.0, 2.0]
    """
    counted = labels >= 0 if judged is None else (labels >= 0) & (judged > 0)
    right = (logits.detach().argmax(-1) == labels) & counted
    return torch.stack([right.sum(), counted.sum()]).float()


def pairs_right_and_judged(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As `right_and_judged`, of pairs of a word and a region, where a logit above 0 says that they belong together.

    Args:
        logits: (B, T, R).
        labels: (B, T, R), 1 or 0, -100 or -1 for none.

    Returns:
        (2,), float32, without a gradient.

    Example:
        >>> pairs_right_and_judged(torch.tensor([[[2.0, 2.0, -2.0, 2.0]]]), torch.tensor([[[1, 0, 0, -1]]])).tolist()
        [2.0, 3.0]
    """
    counted = labels >= 0
    right = ((logits.detach() > 0) == (labels > 0)) & counted
    return torch.stack([right.sum(), counted.sum()]).float()


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | None) -> torch.Tensor:
    """Sum over the labelled items, divided by `count` or by their number."""
    labels = labels.long()
    labelled = labels >= 0
    # in float32: a sum over thousands of items is beyond half precision
    total = F.cross_entropy(
        logits.float().flatten(0, -2), labels.masked_fill(~labelled, IGNORED[0]).flatten(), reduction="sum"
    )
    return total / _at_least_one(labelled.sum() if count is None else count)


def _number_of_labels(labels: torch.Tensor) -> torch.Tensor:
    """How many items have a class id; questions with scores (B, A) of all answers all have one label."""
    return torch.tensor(len(labels), device=labels.device) if labels.is_floating_point() else (labels >= 0).sum()


def _at_least_one(count: torch.Tensor | int) -> torch.Tensor | int:
    """A count that can divide. Counts of a share of a batch may lie below 1; only nothing at all becomes 1."""
    return torch.where(count > 0, count, torch.ones_like(count)) if isinstance(count, torch.Tensor) else max(count, 1)
