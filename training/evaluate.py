"""Measuring a model's answers; every example counts exactly once, whatever the number of processes."""

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lxmert.evaluation import AnswerAccuracy


@dataclass(frozen=True)
class AnswerEvaluation:
    """Accuracy in [0, 1], and the class ids (N,) behind it in the loader's order."""

    accuracy: float
    predictions: list[int]
    references: list[int]


@torch.inference_mode()
def evaluate_answers(
    model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator | None = None, description: str | None = None
) -> AnswerEvaluation:
    """Answer every question of a loader and compare with its label.

    Args:
        model: a `LxmertForQuestionAnswering`, prepared by the accelerator if there is one.
        loader: batches with `labels` (B,), prepared likewise.
        accelerator: gathers from all processes; none is needed in a single one.
        description: shows a progress bar of this name.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    predictions: list[int] = []
    references: list[int] = []
    hidden = description is None or (accelerator is not None and not accelerator.is_main_process)
    try:
        for batch in tqdm(loader, desc=description, unit=" batches", disable=hidden):
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            labels = batch.pop("labels")
            answers = model(**batch).logits.argmax(-1)
            if accelerator is not None:
                answers, labels = accelerator.gather_for_metrics((answers, labels))
            predictions += answers.tolist()
            references += labels.tolist()
    finally:
        model.train(was_training)
    metric = AnswerAccuracy(keep_in_memory=True)
    accuracy = metric.compute(predictions=predictions, references=references)["accuracy"]
    return AnswerEvaluation(accuracy, predictions, references)
