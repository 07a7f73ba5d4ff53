"""What can be chosen about a training run."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lxmert.processing.region_rows import FeaturesType

MixedPrecision = Literal["no", "fp16", "bf16"]


@dataclass(frozen=True)
class TrainingSettings:
    """Choices of the training loop; the defaults are the paper's for VQA (section 3.3 and its appendix).

    The original pre-trains (`src/pretrain/lxmert_pretrain.py`, BertAdam) with `learning_rate=1e-4`,
    `warmup_share=0.05`, `max_gradient_norm=1.0`, `adam_epsilon=1e-6` and `bias_correction=False`.

    Args:
        output_dir: folder for the checkpoints `best` and `last`, for `history.json` and for saved states.
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
        workers: processes that load batches beside each training process; the result does not depend on it.
        save_state_every: steps of the optimiser between saved states, from which `resume` goes on; None saves none.
        resume: go on from the state in `output_dir`, to the same end as a run that was never stopped.
        adam_epsilon: AdamW's epsilon.
        bias_correction: whether Adam's averages are divided by the share of gradients that they have seen.
        sentences_per_image: up to so many training examples of one image stay together in a batch, and its regions are
            encoded once for all of them; the weights learn the same from a batch of the same examples. What it costs:
            the examples of a batch are less independent, and in pre-training the sentences of an image share the masks
            of its regions. 1 leaves the order to chance. Not for sentences about pairs of images.
        resident_regions: "float16" or "float32" loads the regions of all images into the memory of the device before
            training, in every process; batches then bring numbers of rows only. None reads regions for each batch.
            The paper's 180,000 images take 26.7 GB in float16, which rounds features that are stored as float32.
        compile_layers: compile the encoders' layers with `torch.compile`, each kind once and for batches of any shape.
            The first steps then take minutes.
        onednn: let linear layers compute by oneDNN on a CPU, in float32 twice as fast on CPUs that are not Intel's; see
            `use_onednn`. Results differ by rounding.

    Raises:
        TypeError: a value of another type, such as a text in place of a number.
        ValueError: a number out of range, or another `mixed_precision` or `resident_regions`.
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
    mixed_precision: MixedPrecision = "no"
    evaluations_per_epoch: int = 1
    seed: int = 9595
    log_with: str | None = None
    progress: bool = True
    workers: int = 0
    save_state_every: int | None = None
    resume: bool = False
    adam_epsilon: float = 1e-8
    bias_correction: bool = True
    sentences_per_image: int = 1
    resident_regions: FeaturesType | None = None
    compile_layers: bool = False
    onednn: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.output_dir, (str, os.PathLike)):
            raise TypeError(f"output_dir must be a path, got {self.output_dir!r}.")
        if self.log_with is not None and not isinstance(self.log_with, str):
            raise TypeError(f"log_with must be the name of a tracker or None, got {self.log_with!r}.")
        if self.mixed_precision not in get_args(MixedPrecision):
            raise ValueError(f'mixed_precision must be "no", "fp16" or "bf16", got {self.mixed_precision!r}.')
        if self.resident_regions not in (None, *get_args(FeaturesType)):
            raise ValueError(f'resident_regions must be "float16", "float32" or None, got {self.resident_regions!r}.')
        for name in ("progress", "resume", "bias_correction", "compile_layers", "onednn"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be true or false, got {getattr(self, name)!r}.")
        counts = ("epochs", "batch_size", "evaluation_batch_size", "gradient_accumulation_steps", "sentences_per_image")
        for name in (*counts, "evaluations_per_epoch", "save_state_every", "seed", "workers"):
            value = getattr(self, name)
            if value is None and name == "save_state_every":
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be a whole number, got {value!r}.")
            least = 0 if name in ("seed", "workers") else 1
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        for name in ("learning_rate", "max_gradient_norm", "adam_epsilon", "weight_decay", "warmup_share"):
            _check_number(name, getattr(self, name))
        for name in ("learning_rate", "max_gradient_norm", "adam_epsilon"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}.")
        if not 0 <= self.warmup_share <= 1:
            raise ValueError(f"warmup_share must lie in [0, 1], got {self.warmup_share}.")


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, str):
        # YAML reads 1e-4 as a text: its numbers need a point and, in the exponent, a sign
        parts = re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)", value)
        hint = f"; in YAML, write {parts[1]}{parts[2] or '.0'}e{parts[3] or '+'}{parts[4]}" if parts else ""
        raise TypeError(f"{name} must be a number, got the text {value!r}{hint}.")
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}.")
