"""What can be chosen about a training run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class TrainingSettings:
    """Choices of the training loop; the defaults are the paper's for VQA (section 3.3 and its appendix).

    Args:
        output_dir: folder for the checkpoints `best` and `last`, and for `history.json`.
        epochs: passes over the training examples.
        batch_size: examples in a micro-batch of one process.
        evaluation_batch_size: examples in a batch of the evaluation.
        gradient_accumulation_steps: micro-batches for each step of the optimiser.
        learning_rate: its peak; it rises linearly during the warm-up and falls linearly to 0.
        warmup_share: share of all steps that the warm-up takes, in [0, 1].
        weight_decay: AdamW's, on all parameters, as the original.
        max_gradient_norm: gradients are clipped to this norm.
        mixed_precision: "bf16" or "fp16" compute what they can in half precision; "no" is float32.
        evaluations_per_epoch: how often the validation examples are measured; the best checkpoint is kept.
        seed: of the order of examples, dropout and all else that is random.
        log_with: a tracker that Accelerate knows ("tensorboard", "wandb", ...), logging to `output_dir`.
        progress: show a bar with loss, learning rate, steps per second and time left.

    Raises:
        ValueError: a number out of range.
    """

    output_dir: str | Path
    epochs: int = 4
    batch_size: int = 32
    evaluation_batch_size: int = 256
    gradient_accumulation_steps: int = 1
    learning_rate: float = 5e-5
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    max_gradient_norm: float = 5.0
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    evaluations_per_epoch: int = 1
    seed: int = 9595
    log_with: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "evaluation_batch_size", "gradient_accumulation_steps")
        for name in (*counts, "evaluations_per_epoch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("learning_rate", "max_gradient_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}.")
        if not 0 <= self.warmup_share <= 1:
            raise ValueError(f"warmup_share must lie in [0, 1], got {self.warmup_share}.")
