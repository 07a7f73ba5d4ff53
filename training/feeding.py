"""How the loop's batches get their regions: read for each, each image once, or out of a table on the device."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch

from lxmert.processing import Question, QuestionTable
from lxmert.processing.region_table import RegionTable
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Batch, Collate, Task

ROWS = ("target_rows", "shown_rows", "masked_regions")  # what collators give in place of regions


class Feeding:
    """The collators of one run, and what becomes of their batches on the device.

    Args:
        task: of the run.
        settings: of the run.

    Raises:
        ValueError: settings that need to know the images of a task which does not tell them, or images to be shared by
            sentences about pairs.
    """

    def __init__(self, task: Task, settings: TrainingSettings):
        self.task, self.settings = task, settings
        self._shared = settings.sentences_per_image > 1
        self._table: RegionTable | None = None
        if task.images is None and (self._shared or settings.resident_regions):
            raise ValueError(
                f"Task {task.name} does not tell where its images come from: leave sentences_per_image at 1, and "
                "resident_regions out."
            )

    def training_images(self) -> torch.Tensor | None:
        """(N,), a number for the image of each training example; None where it does not matter."""
        if self.task.images is None or not self._shared:
            return None
        return number_images(self.task.images.training())

    def load(self, device: torch.device, progress: bool) -> None:
        """Load the table of regions, if the settings want one; errors as in `RegionTable.load`."""
        dtype, images = self.settings.resident_regions, self.task.images
        if dtype is not None and images is not None:
            columns = [_flat(column()) for column in (images.training, images.validation)]
            image_ids = [image_id for column in columns for image_id in pc.unique(column).to_pylist()]
            self._table = RegionTable.load(images.regions, image_ids, device, dtype, progress)

    def collate(self, training: bool) -> Collate:
        """What makes batches; those of the validation have an image for each example always."""
        images, shared = self.task.images, training and self._shared
        if images is None or (self._table is None and not shared):
            return self.task.collate
        return images.collator(images.regions if self._table is None else self._table.places, shared)

    def filled(self, loader: Any) -> Any:
        """The loader, or one whose batches are made whole on the device."""
        return loader if self._table is None else FilledBatches(loader, self._table)


class FilledBatches:
    """Batches with regions out of a table in place of the numbers of rows.

    Args:
        batches: of a collator that has the table's places, on the table's device; iterated over any number of times.
        table: the regions.
    """

    def __init__(self, batches: Iterable[Batch], table: RegionTable):
        self.batches, self.table = batches, table

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Batch]:
        return (fill(batch, self.table) for batch in self.batches)


def fill(batch: Batch, table: RegionTable) -> Batch:
    """A batch of a collator that has the table's places as it would be with the regions themselves.

    Args:
        batch: with `target_rows` and, in pre-training, `shown_rows` and `masked_regions`; without them it stays.
        table: on the batch's device.
    """
    rows = batch.get("target_rows")
    if rows is None:  # the image is withheld
        return batch
    filled = {name: value for name, value in batch.items() if name not in ROWS}
    filled |= table.inputs(rows, batch.get("shown_rows"))
    if "masked_regions" in batch:
        filled["obj_labels"] = {
            "obj": table.labels_at(rows, "object"),
            "attr": table.labels_at(rows, "attribute"),
            "feat": (table.features_at(rows), batch["masked_regions"]),
        }
    return filled


def question_images(questions: Sequence[Question]) -> pa.ChunkedArray:
    """The image ids of all questions, (N,), each a list; of a table only this column is read."""
    if isinstance(questions, QuestionTable):
        return questions.dataset.with_format("arrow")["image_ids"][:]
    return pa.chunked_array([pa.array([list(question.image_ids) for question in questions], pa.list_(pa.string()))])


def number_images(column: pa.ChunkedArray) -> torch.Tensor:
    """(N,), int64, equal where the image is, counted in the order in which images first come.

    Args:
        column: of image ids, or of lists of one.

    Raises:
        ValueError: lists of several.
    """
    flat = _flat(column)
    if len(flat) != len(column):
        raise ValueError(
            "sentences_per_image is for sentences about one image each, some of these are about pairs (as NLVR2's): "
            "leave it at 1."
        )
    numbers = pc.index_in(flat, value_set=pc.unique(flat)).to_numpy()
    return torch.from_numpy(numbers.astype("int64"))


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.list_flatten(column) if pa.types.is_list(column.type) else column
