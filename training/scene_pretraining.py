"""Learning from scenes as a task record: drawn sentences in pre-training, the data set's own in fine-tuning."""

from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from lxmert.modeling_lxmert import loss_counts
from lxmert.modeling_lxmert.modes import evaluating
from lxmert.training.batches import stable_seed
from lxmert.training.scene_batches import SceneBatches
from lxmert.training.task import Batch, Saveable, Task

Key = tuple[int, int]  # epoch, batch of the epoch
INPUTS = (
    "input_ids",
    "attention_mask",
    "visual_feats",
    "visual_pos",
    "visual_attention_mask",
)  # of an answer
MakeBatches = Callable[[int], SceneBatches]


class DrawnBatches:
    """Batches as training examples: the loop sees each batch as one example, so that those of one length stay together.

    Args:
        make: the samples of an epoch; it must give the same for the same epoch.
        count: of batches in every epoch; an epoch with fewer begins again.
        batch_size: of samples in a batch.
        seed: of the order and of what is varied.
    """

    def __init__(self, make: MakeBatches, count: int, batch_size: int, seed: int):
        if count < 1 or batch_size < 1:
            raise ValueError(f"There must be a batch of at least one sample, got {count} batches of {batch_size}.")
        self.make, self.count, self.batch_size, self.seed = make, count, batch_size, seed
        self._made: tuple[int, SceneBatches, list[np.ndarray]] | None = None  # of the last epoch

    def __len__(self) -> int:
        return self.count

    def draw(self, epoch: int, index: int) -> Key:
        """The name of a batch; it is made by `collate`, where it is needed."""
        return epoch, index

    def collate(self, keys: list[Key]) -> Batch:
        """The batch of one key."""
        if len(keys) != 1:
            raise ValueError(f"An example is a whole batch: set the loop's batch_size to 1, got {len(keys)} at once.")
        epoch, index = keys[0]
        if self._made is None or self._made[0] != epoch:
            self._made = None  # two epochs at once need twice the memory
            batches = self.make(epoch)
            self._made = epoch, batches, batches.order(self.batch_size, self._generator("order", epoch))
        _, batches, order = self._made
        return batches.batch(order[index % len(order)], self._generator("batch", epoch, index))

    def _generator(self, *parts: int | str) -> np.random.Generator:
        return np.random.default_rng(stable_seed(self.seed, *parts))


def scene_task(
    name: str,
    training: DrawnBatches,
    validation: SceneBatches,
    evaluation_batch_size: int = 256,
    saved_with_model: tuple[Saveable, ...] = (),
) -> Task:
    """The record that trains `LxmertForPreTraining` on scenes; the checkpoint with the most right answers is kept.

    Args:
        name: of the run in trackers.
        training: what is learned from.
        validation: examples that choose the checkpoint, with their own labels, neither varied nor masked.
        evaluation_batch_size: of the validation examples.
        saved_with_model: written beside the weights of every checkpoint.

    Raises:
        ValueError: validation examples that are varied or masked.
    """
    if validation.augmentation is not None or validation.objectives is not None:
        raise ValueError(
            "validation must be what it is in every evaluation: make it without augmentation and objectives."
        )

    def measure(model: torch.nn.Module, _: DataLoader, accelerator: Accelerator) -> dict[str, float]:
        truths = answer_scenes(model, validation, evaluation_batch_size, accelerator.device)
        return {"accuracy": float((truths == validation.samples.truth).mean())}

    return Task(
        name=name,
        training=training,
        validation=[0],  # the loop's loader of single examples is not used: `measure` batches by length
        collate=training.collate,
        measure=measure,
        selection="accuracy",
        counts=loss_counts,
        saved_with_model=saved_with_model,
        identity={
            "batches": training.count,
            "samples in a batch": training.batch_size,
            "seed of the batches": training.seed,
        },
    )


@torch.inference_mode()
def answer_scenes(
    model: torch.nn.Module, batches: SceneBatches, batch_size: int = 256, device: torch.device | str = "cpu"
) -> np.ndarray:
    """(N,), 1 where the model answers "true", 0 otherwise; for any model with `question_answering_score`."""
    answers = np.zeros(len(batches.samples), np.int8)
    generator = np.random.default_rng(0)
    with evaluating(model):
        for rows in batches.order(batch_size, generator):
            batch = batches.batch(rows, generator)
            inputs = {name: tensor.to(device) for name, tensor in batch.items() if name in INPUTS}
            answers[rows] = model(**inputs).question_answering_score.argmax(-1).cpu().numpy()
    return answers
