"""Measuring a model's answers; every question counts exactly once, whatever the number of processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lxmert.evaluation import AnswerAccuracy
from lxmert.evaluation.given_answers import question_ids
from lxmert.modeling_lxmert import LxmertPreTrainedModel
from lxmert.modeling_lxmert.modes import evaluating
from lxmert.processing import LxmertProcessor, Question, RegionSource
from lxmert.processing.processes import process_state
from lxmert.training.collator import AnswerCollator, Withheld


@dataclass(frozen=True)
class AnswerEvaluation:
    """Accuracy in [0, 1], and the class ids (N,) behind it in the loader's order."""

    accuracy: float
    predictions: list[int]
    references: list[int]


@dataclass(frozen=True)
class Predictions:
    """Answers to questions, and how sure the model is of each.

    Args:
        answers: by question id.
        probabilities: of these answers among all that the model knows, by question id.
    """

    answers: dict[str, str]
    probabilities: dict[str, float]


def evaluate_answers(
    model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator | None = None, description: str | None = None
) -> AnswerEvaluation:
    """Answer every question of a loader and compare with its class id.

    Args:
        model: with a head that scores answers, prepared by the accelerator if there is one.
        loader: batches with `labels` (B,), prepared likewise.
        accelerator: gathers from all processes; none is needed in a single one.
        description: shows a progress bar of this name.
    """
    chosen, _, labels = _choose(model, loader, accelerator, description)
    metric = AnswerAccuracy(keep_in_memory=True)
    accuracy = metric.compute(predictions=chosen, references=labels)["accuracy"]
    return AnswerEvaluation(accuracy, chosen, labels)


def predict_answers(
    model: torch.nn.Module,
    loader: DataLoader,
    questions: Sequence[Question],
    id2label: Mapping[int, str],
    accelerator: Accelerator | None = None,
    description: str | None = None,
) -> Predictions:
    """Answer every question of a loader, in words.

    Args:
        model: with a head that scores answers, prepared by the accelerator if there is one.
        loader: batches of `questions` in their order, prepared likewise.
        questions: with ids that differ.
        id2label: answers by class id.
        accelerator: gathers from all processes; none is needed in a single one.
        description: shows a progress bar of this name.

    Raises:
        ValueError: a loader of more or fewer questions, or an id that comes twice.
    """
    chosen, probabilities, _ = _choose(model, loader, accelerator, description)
    if len(chosen) != len(questions):
        raise ValueError(f"The loader gave {len(chosen)} answers to {len(questions)} questions.")
    ids = question_ids(questions)
    answers = dict(zip(ids, (id2label[number] for number in chosen), strict=True))
    return Predictions(answers, dict(zip(ids, probabilities, strict=True)))


def answer_all(
    model: LxmertPreTrainedModel,
    processor: LxmertProcessor,
    questions: Sequence[Question],
    regions: RegionSource,
    withhold: Withheld | None = None,
    batch_size: int = 256,
    workers: int = 0,
    description: str | None = "Answering",
) -> Predictions:
    """Answer questions with a finished model; all processes that torchrun or Accelerate started take their share.

    Questions that are longer than the processor's tokenizer takes are cut, as in training. An image about which a batch
    has several questions is encoded once: questions about one image are best next to each other.

    Args:
        model: with an answer head.
        processor: of the model.
        questions: with ids that differ.
        regions: of their images.
        withhold: leave out the "image" or the "question", an ablation.
        batch_size: questions in a batch of one process.
        workers: processes that load batches.
        description: of a progress bar with time left; None shows none.

    Returns:
        The same in every process.

    Raises:
        ValueError: no question, or an id that comes twice.
    """
    if not len(questions):
        raise ValueError("There is no question to answer.")
    process_state()  # which disconnects at the end
    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    longest = min(processor.tokenizer.model_max_length, model.config.max_position_embeddings)
    label2id = model.config.label2id or {}
    about_one_image = len(questions[0].image_ids) == 1
    collate = AnswerCollator(
        processor,
        regions,
        label2id,
        withhold,
        unknown_answers="ignore",
        max_length=longest,
        share_images=about_one_image,
    )
    rows: Any = questions
    prepared, loader = accelerator.prepare(model, DataLoader(rows, batch_size, collate_fn=collate, num_workers=workers))
    return predict_answers(prepared, loader, questions, model.config.id2label, accelerator, description)


@torch.inference_mode()
def _choose(
    model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator | None, description: str | None
) -> tuple[list[int], list[float], list[int]]:
    """Class ids, their probabilities and the labels (all -100 where these are scores), in the loader's order."""
    device = next(model.parameters()).device
    gathered: tuple[list[int], list[float], list[int]] = ([], [], [])
    hidden = description is None or (accelerator is not None and not accelerator.is_main_process)
    with evaluating(model):
        for batch in tqdm(loader, desc=description, unit=" batches", disable=hidden):
            batch = send_to_device(batch, device)
            labels = batch.pop("labels")
            probabilities, chosen = model(**batch).logits.float().softmax(-1).max(-1)
            if labels.dim() > 1:
                labels = torch.full_like(chosen, -100)
            part = (chosen, probabilities, labels)
            if accelerator is not None:
                part = accelerator.gather_for_metrics(part)
            for values, tensor in zip(gathered, part, strict=True):
                values += tensor.tolist()
    return gathered
