"""A task as a record: all that the training loop does not know by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from lxmert.processing.region_table import RegionPlaces
from lxmert.processing.regions import RegionSource

Batch = dict[str, Any]  # a model's keywords: tensors, also in nested dictionaries and tuples


class Saveable(Protocol):
    """Something that travels with the checkpoint, such as a processor."""

    def save_pretrained(self, save_directory: str, /) -> Any:
        """Write it to a folder."""


@runtime_checkable
class DrawnExamples(Protocol):
    """Training examples that differ from epoch to epoch, as masks and replaced sentences do."""

    def __len__(self) -> int:
        """How many there are in every epoch."""

    def draw(self, epoch: int, index: int) -> Any:
        """The example of this index in this epoch; it must depend on nothing else, or a resumed run differs."""


Collate = Callable[[list[Any]], Batch]


@dataclass(frozen=True)
class ImageFeed:
    """Where the batches of a task have their images from, for the settings that feed them otherwise.

    Args:
        regions: of all images.
        collator: makes a function like `Task.collate`: of the regions, or of their places in a table, and of whether a
            batch has each image once (`share_images`).
        training: gives the image id of each training example, (N,), of pairs a list of two.
        validation: likewise of the validation examples.
    """

    regions: RegionSource
    collator: Callable[[RegionSource | RegionPlaces, bool], Collate]
    training: Callable[[], pa.ChunkedArray]
    validation: Callable[[], pa.ChunkedArray]


@dataclass(frozen=True)
class Task:
    """What is learned and how it is measured. Fine-tuning is one such record; pre-training is another.

    The model's output needs a `loss`. Where it also has `losses` (its parts by name, 0-dim), the loop reports the mean
    of each; where it has `correct` (by name a float tensor (2,): number right, number judged), it reports
    `<name>_accuracy`. The names must be the same in all processes at a step; they may change from step to step.

    Args:
        name: of the run in trackers.
        training: examples to learn from: any sequence, or one with a method `draw(epoch, index)`, which is then called
            instead of `training[index]` (see `DrawnExamples`).
        validation: examples that choose the best checkpoint.
        collate: makes a batch, the model's keywords, from a list of examples. It should depend on these alone.
        measure: figures of the model on a loader of validation batches. Called in every process with the prepared
            model and loader.
        selection: the figure of `measure` that chooses the best checkpoint.
        saved_with_model: written beside the weights of every checkpoint.
        counts: for losses that are means over a varying number of labelled items. Gives, from a batch, the numbers
            (0-dim tensors by name, always the same names) by which the batch's sums are to be divided. The loop
            averages each over all batches of a step, in every process, and hands it to the model's forward as
            `loss_counts={name: tensor}`; a model that divides its sums by these makes the step's loss exactly that of
            one large batch. An average may be 0. Without it a step's loss is the mean of its batches' losses.
        describe: names a training example in the message about a loss that is not finite; `str` by default.
        identity: JSON values that tell this task from another one of the same name and size, such as how often words
            are masked; a state saved with others is not resumed.
        greater_is_better: whether the best checkpoint has `selection` highest, or lowest as for a loss.
        images: needed for `sentences_per_image` and `resident_regions` of the settings.
    """

    name: str
    training: Sequence[Any] | DrawnExamples
    validation: Sequence[Any]
    collate: Collate
    measure: Callable[[torch.nn.Module, DataLoader, Accelerator], dict[str, float]]
    selection: str
    saved_with_model: tuple[Saveable, ...] = ()
    counts: Callable[[Batch], dict[str, torch.Tensor]] | None = None
    describe: Callable[[Any], str] | None = None
    greater_is_better: bool = True
    identity: Mapping[str, Any] = field(default_factory=dict)
    images: ImageFeed | None = None
