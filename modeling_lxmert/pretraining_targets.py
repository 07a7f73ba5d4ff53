"""What a batch of pre-training is to predict, and where."""

from dataclasses import dataclass

import torch
from transformers.utils.import_utils import is_tracing

from lxmert.modeling_lxmert.checks import VisualLabels, values_may_be_read
from lxmert.modeling_lxmert.losses import IGNORED
from lxmert.modeling_lxmert.packing import marked_positions

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class PretrainingTargets:
    """What is to be predicted, by what the losses are divided, and how much of it there is.

    Fields are the arguments of `LxmertForPreTraining.forward`; `counts` is its `loss_counts`.
    """

    labels: torch.Tensor | None
    obj_labels: VisualLabels | None
    matched_label: torch.Tensor | None
    ans: torch.Tensor | None
    grounding_labels: torch.Tensor | None
    count_labels: torch.Tensor | None
    counts: Tensors
    labelled_word_count: int | None
    masked_region_count: int | None


def labels_of_pairs(obj_labels: VisualLabels, image_indices: torch.Tensor) -> VisualLabels:
    """Labels and weights of I images (I, R, ...) as those of the pairs (B, R, ...) that `image_indices` (B,) makes."""
    return {name: (labels[image_indices], weights[image_indices]) for name, (labels, weights) in obj_labels.items()}


def labels_are_hidden(attention_mask: torch.Tensor | None, *labels: torch.Tensor | None) -> bool:
    """Whether words that the mask (B, T) hides have labels (B, T) or (B, T, R), as far as this may be looked at."""
    if attention_mask is None:
        return False
    return any(
        bool(((each >= 0) & (attention_mask == 0).view(*attention_mask.shape, *[1] * (each.dim() - 2))).any())
        for each in labels
        if each is not None and each.shape[:2] == attention_mask.shape and values_may_be_read(each)
    )


def at_labels(states: torch.Tensor, labels: torch.Tensor, count: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The n states (n, H) of words with a label, and their labels (n,), -100 for rows that only fill up."""
    rows = marked_positions(labels >= 0, count)
    if rows is None:
        if is_tracing(labels):
            return states, labels
        rows = marked_positions(labels >= 0, int((labels >= 0).sum()))  # waits for the device
    assert rows is not None
    return rows.take(states), rows.take(labels).masked_fill(~rows.real, IGNORED[0])
