"""What pre-training learned on held-out examples, beside what needs no learning."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch.utils.data import DataLoader

from lxmert.modeling_lxmert import LxmertForPreTraining
from lxmert.modeling_lxmert.pretraining import TASKS
from lxmert.processing.processes import process_state
from lxmert.training.resume import fingerprint, write_whole
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Task
from lxmert.training.trivial_predictors import batches_of, trivial_predictors

NAMES = {
    "mask_lm": "masked words",
    "matched": "matching",
    "obj": "masked objects",
    "attr": "masked attributes",
    "feat": "masked features",
    "qa": "question answering",
    "grounding": "grounding",
    "count": "counting",
}
COUNTED = 20_000  # training examples, evenly spaced; enough to know how frequent classes are


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
    def of(cls, model: LxmertForPreTraining, task: Task, settings: TrainingSettings) -> "PretrainingStart":
        """Measure before training, and keep the figures in `start.json` for a run that goes on or is repeated.

        Args:
            model: with its first weights.
            task: of the run.
            settings: of the run.
        """
        process_state()  # which disconnects at the end
        accelerator = Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision=settings.mixed_precision)
        file = Path(settings.output_dir) / "start.json"
        run = json.loads(json.dumps(fingerprint(model, task, settings, accelerator.num_processes)))
        found: list[Any] = [_read(file, run) if accelerator.is_main_process else None]
        if (known := broadcast_object_list(found)[0]) is not None:
            return cls(known["figures"], known["trivial"])
        validation: Any = task.validation
        loader = accelerator.prepare(DataLoader(validation, batch_size=256, collate_fn=task.collate))
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
            write_whole(file, json.dumps({**asdict(start), "run": run}, indent=2) + "\n")
        accelerator.wait_for_everyone()
        return start


def _read(file: Path, run: dict[str, Any]) -> dict[str, Any] | None:
    """The figures in a file, if they are this run's."""
    if not file.is_file():
        return None
    content: dict[str, Any] = json.loads(file.read_text())
    return content if content.get("run") == run else None


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
    """Of the predictor that knows the classes' frequencies, or the mean feature."""
    return trivial.get("frequency", trivial.get("mean"))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percentage(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
