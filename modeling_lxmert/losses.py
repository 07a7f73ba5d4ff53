"""Losses: small pure functions, each with its source."""

import torch
from torch.nn import functional as F

IGNORED = (-100, -1)  # transformers' mark and the original's for "no label"


def question_answering_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Loss of image question answering, on one answer per question or on scores of all answers.

    One answer: cross-entropy, mean over the questions that have a label (the original's `CrossEntropyLoss` of
    `LXRTPretraining`, where an unlabelled batch gives NaN; here it gives 0). Scores: binary cross-entropy, mean over
    all questions and answers, times the number of answers (the original's `vqa.py`).

    Args:
        scores: (B, A), logits of A answers.
        labels: (B,) class ids, -100 or -1 for none, or (B, A) scores in [0, 1].

    Returns:
        A scalar.

    Example:
        >>> question_answering_loss(torch.zeros(1, 4), torch.tensor([2])).item()  # ln 4
        1.3862943649291992
        >>> question_answering_loss(torch.zeros(1, 4), torch.tensor([[0.0, 0.3, 1.0, 0.0]])).item()  # 4 ln 2
        2.7725887298583984
    """
    if labels.is_floating_point():
        return F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype)) * scores.shape[1]
    labels = labels.long()
    labelled = labels >= 0
    total = F.cross_entropy(scores, labels.masked_fill(~labelled, IGNORED[0]), reduction="sum")
    return total / labelled.sum().clamp(min=1)
