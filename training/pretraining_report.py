"""What pre-training learned on held-out examples, beside what needs no learning."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from lxmert.modeling_lxmert import LxmertForPreTraining
from lxmert.modeling_lxmert.pretraining import TASKS
from lxmert.training.task import Task
from lxmert.training.trivial_predictors import batches_of, trivial_predictors

NAMES = {
    "mask_lm": "masked words",
    "matched": "matching",
    "obj": "masked objects",
    "attr": "masked attributes",
    "feat": "masked features",
    "qa": "question answering",
}
COUNTED = 20_000  # examples; enough to know how frequent classes are


@dataclass(frozen=True)
class PretrainingStart:
    """Held-out figures before the first step, and those of the trivial predictors.

    Args:
        figures: of the model, as `measure_pretraining` gives them.
        trivial: of predictors that do not look, by task, see `trivial_predictors`.
    """

    figures: dict[str, float]
    trivial: dict[str, dict[str, float]]

    @classmethod
    def of(cls, model: LxmertForPreTraining, task: Task, file: Path) -> "PretrainingStart":
        """Measure before training; a run that goes on reads the file that it wrote when it began."""
        if file.is_file():
            return cls(**json.loads(file.read_text()))
        accelerator = Accelerator(cpu=not torch.accelerator.is_available())
        loader = accelerator.prepare(DataLoader(task.validation, batch_size=256, collate_fn=task.collate))  # type: ignore[arg-type]
        start = cls(
            figures=task.measure(model.to(accelerator.device), loader, accelerator),
            trivial=trivial_predictors(
                model.config,
                batches_of(task.training, task.collate, limit=COUNTED),  # type: ignore[arg-type]
                batches_of(task.validation, task.collate),
            ),
        )
        if accelerator.is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(asdict(start), indent=2) + "\n")
        accelerator.wait_for_everyone()
        return start


def pretraining_table(start: PretrainingStart, end: dict[str, float]) -> str:
    """Losses and accuracies on held-out examples, one row for each task, as a Markdown table.

    The trivial loss is that of the classes' frequencies, or of the mean feature; the trivial accuracy is that of the
    most frequent class.

    Args:
        start: before training.
        end: the last entry of the history, with `validation_` before its figures.

    Example:
        >>> start = PretrainingStart({"qa": 0.69, "qa_accuracy": 0.5}, {"qa": {"uniform": 0.69, "frequency": 0.68}})
        >>> print(pretraining_table(start, {"validation_qa": 0.1, "validation_qa_accuracy": 0.97}))
        | task | loss at the start | trivial loss | loss at the end | trivial accuracy | accuracy at the end |
        |---|---|---|---|---|---|
        | question answering | 0.690 | 0.680 | 0.100 | - | 97.0 % |
    """
    lines = [
        "| task | loss at the start | trivial loss | loss at the end | trivial accuracy | accuracy at the end |",
        "|---|---|---|---|---|---|",
    ]
    for name in TASKS:
        if name in start.figures and f"validation_{name}" in end:
            trivial = start.trivial.get(name, {})
            losses = (start.figures[name], trivial_loss(trivial), end[f"validation_{name}"])
            accuracies = (trivial.get("most_frequent_accuracy"), end.get(f"validation_{name}_accuracy"))
            cells = [NAMES[name], *map(_number, losses), *map(_percentage, accuracies)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def trivial_loss(trivial: dict[str, float]) -> float | None:
    """Of the better of the predictors that do not look: class frequencies, or the mean feature."""
    return trivial.get("frequency", trivial.get("mean"))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percentage(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
