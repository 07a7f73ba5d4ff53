"""Fine-tuning on questions and their answers, as a task record of the loop."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from lxmert.evaluation import answer_accuracy
from lxmert.processing import LxmertProcessor, Question, QuestionTable, RegionSource
from lxmert.processing.region_table import RegionPlaces
from lxmert.training.batches import stable_seed
from lxmert.training.collator import AnswerCollator, Targets, Withheld
from lxmert.training.evaluate import evaluate_answers, predict_answers
from lxmert.training.feeding import question_images
from lxmert.training.task import ImageFeed, Saveable, Task

# Of questions and the answers given to them by question id; some data sets know further files.
Figures = Callable[..., dict[str, float]]


def question_answering_task(
    name: str,
    training: Sequence[Question],
    validation: Sequence[Question],
    processor: LxmertProcessor,
    store: RegionSource,
    label2id: Mapping[str, int],
    *,
    id2label: Mapping[int, str] | None = None,
    figures: Figures | None = None,
    selection: str = "accuracy",
    targets: Targets = "classes",
    withhold: Withheld | None = None,
    known_answers_only: bool = True,
    max_length: int | None = None,
    saved_with_model: tuple[Saveable, ...] = (),
) -> Task:
    """The record that trains a model with an answer head; the best checkpoint is the most accurate one.

    Args:
        name: of the run in trackers.
        training: questions to learn from.
        validation: questions that choose the best checkpoint, of other images than `training`.
        processor: tokenizes and pads; saved with every checkpoint.
        store: regions of all images.
        label2id: class ids by answer, as in the model's configuration.
        id2label: the answers' texts by class id; those of `label2id` by default.
        figures: of validation questions and the model's answers by question id; without it the share of answers that
            are right.
        selection: which of the figures chooses the best checkpoint.
        targets: of the loss, see `AnswerCollator`.
        withhold: learn and validate without one of the inputs, an ablation.
        known_answers_only: refuse answers without a class id; False ignores them.
        max_length: largest number of wordpieces, longer questions are cut; None refuses them.
        saved_with_model: what else is written beside the weights of every checkpoint.
    """
    texts = {number: answer for answer, number in reversed(list(label2id.items()))} if id2label is None else id2label

    def measure(model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator) -> dict[str, float]:
        if figures is None and targets == "classes" and known_answers_only:
            return {"accuracy": evaluate_answers(model, loader, accelerator).accuracy}
        predictions = predict_answers(model, loader, validation, texts, accelerator)
        if figures is None:
            given = [predictions.answers[question.question_id] for question in validation]
            return {"accuracy": answer_accuracy(given, [question.answer for question in validation])}
        return figures(validation, predictions.answers)

    unknown: Any = "refuse" if known_answers_only else "ignore"

    def collator(source: RegionSource | RegionPlaces, share_images: bool = False) -> AnswerCollator:
        return AnswerCollator(processor, source, label2id, withhold, targets, unknown, max_length, share_images)

    return Task(
        name=name,
        training=training,
        validation=validation,
        collate=collator(store),
        measure=measure,
        selection=selection,
        saved_with_model=(processor, *saved_with_model),
        identity={
            "targets": targets,
            "withhold": withhold,
            "max_length": max_length,
            "training questions": digest_of(training),
            "validation questions": digest_of(validation),
            "wordpieces": stable_seed(*sorted(processor.tokenizer.get_vocab())),
        },
        images=ImageFeed(store, collator, partial(question_images, training), partial(question_images, validation)),
    )


def digest_of(questions: Sequence[Question]) -> str:
    """Tells questions from others: ids, images, texts and answers, whatever their order."""
    if isinstance(questions, QuestionTable):
        columns = [questions.column(name) for name in ("question_id", "image_ids", "text", "answers")]
        rows: Any = zip(*columns, strict=True)
    else:
        rows = ((q.question_id, list(q.image_ids), q.text, list(q.scores)) for q in questions)
    total = 0
    for row in rows:
        total += int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=8).digest(), "little")
    return f"{total % 2**64:016x}"
