"""Fine-tuning on questions with one answer each, as a task record."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from lxmert.processing import LxmertProcessor, Question, RegionSource
from lxmert.training.collator import AnswerCollator
from lxmert.training.evaluate import evaluate_answers
from lxmert.training.task import Task


def question_answering_task(
    name: str,
    training: Sequence[Question],
    validation: Sequence[Question],
    processor: LxmertProcessor,
    store: RegionSource,
    label2id: dict[str, int],
) -> Task:
    """The record that trains `LxmertForQuestionAnswering`; the best checkpoint is the most accurate one.

    Args:
        name: of the run in trackers.
        training: examples to learn from.
        validation: examples that choose the best checkpoint, of other images than `training`.
        processor: tokenizes and pads; saved with every checkpoint.
        store: regions of all images.
        label2id: class ids by answer, as in the model's configuration.
    """

    def measure(model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator) -> dict[str, float]:
        return {"accuracy": evaluate_answers(model, loader, accelerator).accuracy}

    return Task(
        name=name,
        training=training,
        validation=validation,
        collate=AnswerCollator(processor, store, label2id),
        measure=measure,
        selection="accuracy",
        saved_with_model=(processor,),
    )
