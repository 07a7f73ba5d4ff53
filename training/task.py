"""A task as a record: all that the training loop does not know by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

Batch = dict[str, torch.Tensor]


class Saveable(Protocol):
    """Something that travels with the checkpoint, such as a processor."""

    def save_pretrained(self, save_directory: str, /) -> Any:
        """Write it to a folder."""


@dataclass(frozen=True)
class Task:
    """What is learned and how it is measured. Fine-tuning is one such record; pre-training is another.

    The model's output needs a `loss`; where it also has `losses` (its parts by name), the loop reports each.

    Args:
        name: of the run in trackers.
        training: examples to learn from; any sequence.
        validation: examples that choose the best checkpoint.
        collate: makes a batch, the model's keywords, from a list of examples.
        measure: figures of the model on a loader of validation batches. Called in every process with the prepared
            model and loader.
        selection: the figure of `measure` that the best checkpoint has highest.
        saved_with_model: written beside the weights of every checkpoint.
    """

    name: str
    training: Sequence[Any]
    validation: Sequence[Any]
    collate: Callable[[list[Any]], Batch]
    measure: Callable[[torch.nn.Module, DataLoader, Accelerator], dict[str, float]]
    selection: str
    saved_with_model: tuple[Saveable, ...] = ()
