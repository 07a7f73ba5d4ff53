"""Pre-training as a task record: what the loop needs to know about it."""

from dataclasses import asdict
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import recursively_apply
from torch.utils.data import DataLoader

from lxmert.modeling_lxmert import loss_counts
from lxmert.modeling_lxmert.losses import LABELS
from lxmert.modeling_lxmert.modes import evaluating
from lxmert.modeling_lxmert.pretraining import TASKS
from lxmert.processing import LxmertProcessor, RegionSource
from lxmert.processing.region_table import RegionPlaces
from lxmert.training.batches import stable_seed
from lxmert.training.masking import PretrainingObjectives
from lxmert.training.pretraining_collator import PretrainingCollator, counts_of
from lxmert.training.pretraining_examples import PretrainingExamples
from lxmert.training.task import Batch, ImageFeed, Saveable, Task


def pretraining_task(
    name: str,
    training: PretrainingExamples,
    validation: PretrainingExamples,
    processor: LxmertProcessor,
    regions: RegionSource,
    objectives: PretrainingObjectives,
    max_length: int = 20,
    saved_with_model: tuple[Saveable, ...] = (),
) -> Task:
    """The record that trains `LxmertForPreTraining`; the best checkpoint has the lowest sum of validation losses.

    Args:
        name: of the run in trackers.
        training: `PretrainingExamples` to learn from.
        validation: `PretrainingExamples` about other images; their masks never change.
        processor: tokenizes and pads; saved with every checkpoint.
        regions: regions of all images.
        objectives: how often what is masked; the model's configuration must agree, see `config_fields`.
        max_length: largest number of wordpieces in a sentence.
        saved_with_model: what else is written beside the weights of every checkpoint.
    """

    def collator(source: RegionSource | RegionPlaces, share_images: bool = False) -> PretrainingCollator:
        return PretrainingCollator(processor, source, objectives, max_length, share_images)

    return Task(
        name=name,
        training=training,
        validation=validation,
        collate=collator(regions),
        measure=measure_pretraining,
        selection="loss",
        greater_is_better=False,
        counts=loss_counts,
        identity={
            **asdict(objectives),
            "max_length": max_length,
            "unmatched pairs": training.unmatched_rate,
            "answers_from_epoch": training.answers_from_epoch,
            "training records": training.digest(),
            "validation records": validation.digest(),
            "wordpieces": stable_seed(*sorted(processor.tokenizer.get_vocab())),
        },
        saved_with_model=(processor, *saved_with_model),
        images=ImageFeed(regions, collator, training.images, validation.images),
    )


@torch.inference_mode()
def measure_pretraining(model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator) -> dict[str, float]:
    """Losses and accuracies of all tasks on validation batches, each example counted once on any number of processes.

    Unlike the training loss, every loss is a mean over what is to be predicted: words with a label, pairs, labelled
    regions that are masked, masked regions, answers, labelled pairs of a word and a region, words with a number. So
    losses of different variants compare with each other and with the trivial predictors.

    Returns:
        `loss` (the sum of the losses), a loss for each task that is on and has something to predict, and
        `<task>_accuracy` where classes are chosen.

    Raises:
        ValueError: nothing is to be predicted, or batches with shared images, whose examples cannot be told apart.
    """
    config = accelerator.unwrap_model(model).config
    weights = dict.fromkeys(("obj", "attr", "feat"), config.visual_loss_normalizer or 1.0)
    weights |= {"grounding": config.grounding_loss_weight or 1.0, "count": config.count_loss_weight or 1.0}
    totals: dict[str, torch.Tensor] = {}
    with evaluating(model):
        for batch in loader:
            kept, share = _without_duplicates(batch, accelerator)
            for name, value in _sums(model, weights, kept).items():
                totals[name] = totals.get(name, torch.zeros_like(value)) + share * value
    if not totals:
        raise ValueError(
            "The examples hold nothing to predict for any task that the model's configuration switches on."
        )
    # (tasks, 4): sum of losses, number of targets, right, judged
    table = accelerator.reduce(torch.stack(list(totals.values())), reduction="sum").double().tolist()
    losses, figures = {}, {}
    for name, (loss, count, right, judged) in zip(totals, table, strict=True):
        if count:
            losses[name] = loss / count
        if judged:
            figures[f"{name}_accuracy"] = right / judged
    return {"loss": sum(losses.values()), **losses, **figures}


def _sums(model: torch.nn.Module, weights: dict[str, float], batch: Batch) -> dict[str, torch.Tensor]:
    """For each task, (4,): sum of losses, number of targets, right, judged."""
    batch = dict(batch)
    features, masked = batch["obj_labels"]["feat"]
    classes = {name: batch["obj_labels"][name][0] for name in ("obj", "attr")}
    batch["obj_labels"] = {name: (labels, masked) for name, labels in classes.items()} | {"feat": (features, masked)}
    one = torch.ones((), device=masked.device)
    output = model(**batch, loss_counts=dict.fromkeys((*LABELS, "regions"), one))
    numbers = {
        **loss_counts(batch),
        **{name: ((labels >= 0) & (masked > 0)).sum() for name, labels in classes.items()},
        "feat": masked.sum(),
    }
    sums = {}
    for name in TASKS:
        if name in output.losses:
            loss = output.losses[name] / weights.get(name, 1.0)
            right, judged = output.correct.get(name, torch.zeros(2, device=one.device))
            sums[name] = torch.stack([loss.float(), numbers[name].float(), right, judged])
    return sums


def _without_duplicates(batch: Batch, accelerator: Accelerator) -> tuple[Batch, int]:
    """The examples of this process's batch that are no repetition, and 1; or one example and 0 if all are.

    Accelerate fills up the last round of batches with examples from the start, so that all processes work alike.
    """
    if "image_indices" in batch:
        raise ValueError("Measure batches with an image for each example: collate them without share_images.")
    size = len(batch["input_ids"])
    state = accelerator.gradient_state
    if not state.end_of_dataloader or state.remainder <= 0:
        return batch, 1
    real = min(max(state.remainder - accelerator.process_index * size, 0), size)
    kept: Any = recursively_apply(lambda tensor: tensor[: max(real, 1)], batch)
    if "word_count" in kept:  # numbers of the whole batch
        kept |= counts_of(kept, kept["visual_attention_mask"], kept["obj_labels"]["feat"][1])
    return kept, int(real > 0)
