"""What a training run left behind, read back for the page that others see."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lxmert.training import TASKS, TrainingData, TrainingSettings, training_data_of

SELECTIONS = ("accuracy", "image_retrieval/recall@1", "loss")  # that choose checkpoints
NOT_OF_THE_RECIPE = {"output_dir", "log_with", "progress", "workers", "save_state_every", "resume"}


@dataclass(frozen=True)
class Evaluation:
    """A report of answered questions, as `report_answers` and examples/5_evaluate.py write it.

    Args:
        title: what was judged on what.
        figures: shares in [0, 1] by name.
        questions: how many were answered.
        task: a name in `TASKS`, None where the title tells none.
        split: of the task, None where the title tells none.
    """

    title: str
    figures: dict[str, float]
    questions: int
    task: str | None = None
    split: str | None = None

    @property
    def overall(self) -> dict[str, float]:
        """The figures of all questions, without those of kinds of questions."""
        return {name: value for name, value in self.figures.items() if "/" not in name}


@dataclass(frozen=True)
class TrainingRun:
    """One run, as far as its files tell.

    Args:
        learned_from: of the checkpoint's card.
        settings: of the training loop, of a finished run.
        history: one entry for each evaluation during training.
        evaluations: reports of held-out questions.
        withheld: "image" or "question" where the card says that it was trained without it.
    """

    learned_from: tuple[TrainingData, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    evaluations: tuple[Evaluation, ...] = ()
    withheld: str | None = None

    @property
    def selection(self) -> str | None:
        """Name in the history of the figure that chose the checkpoint, None if no entry has one."""
        names = (f"validation_{name}" for name in SELECTIONS)
        return next((name for name in names if self.history and all(name in entry for entry in self.history)), None)

    @property
    def best(self) -> dict[str, float]:
        """The entry of the checkpoint that was chosen.

        Raises:
            ValueError: a run without such a figure.
        """
        if (name := self.selection) is None:
            raise ValueError("The run's history has no figure that chose a checkpoint.")
        return (min if name.endswith("loss") else max)(self.history, key=lambda entry: entry[name])

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that it has learned or was judged by, each once."""
        learned = [entry.task for entry in self.learned_from]
        return list(dict.fromkeys(learned + [each.task for each in self.evaluations if each.task is not None]))


def read_run(checkpoint: str | Path, evaluations: Sequence[str | Path] = ()) -> TrainingRun:
    """What is known of the run that a checkpoint is from.

    The loop writes `history.json` and, at its end, `finished.json` beside `best` and `last`; examples/4_finetune.py a
    folder `report`. What is not there is left out: a checkpoint alone is a run of which little is known.

    Args:
        checkpoint: folder of the weights, such as `runs/finetune_gqa/best`.
        evaluations: folders of further reports, such as `runs/evaluate_gqa`, or their report.json.

    Raises:
        FileNotFoundError: an evaluation that is not there.
        ValueError: a file that holds something else.
    """
    checkpoint = Path(checkpoint)
    folder = checkpoint.resolve().parent if checkpoint.name in ("best", "last") else checkpoint.resolve()
    finished = _read(folder / "finished.json", dict) or {}
    fingerprint = finished.get("fingerprint", {})
    known = {entry.name for entry in fields(TrainingSettings)} - NOT_OF_THE_RECIPE
    own = [folder / "report" / "report.json"]
    return TrainingRun(
        learned_from=training_data_of(checkpoint),
        settings={name: value for name, value in fingerprint.items() if name in known},
        history=_read(folder / "history.json", list) or finished.get("progress", {}).get("history", []),
        evaluations=tuple(_evaluation(path) for path in [*filter(Path.is_file, own), *map(_report_in, evaluations)]),
        withheld=_withheld(checkpoint / "README.md"),
    )


def _withheld(card: Path) -> str | None:
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    found = re.search(r"^(?:It was t|T)rained with the (image|question) withheld", text, re.MULTILINE)
    return None if found is None else found[1]


def _report_in(place: str | Path) -> Path:
    path = Path(place)
    path = path / "report.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: name a folder that examples/5_evaluate.py wrote.")
    return path


def _evaluation(path: Path) -> Evaluation:
    content = _read(path, dict) or {}
    if not {"title", "figures", "questions"} <= content.keys():
        raise ValueError(f"{path} is no report of answered questions: title, figures and questions are not all there.")
    title: str = content["title"]
    # the longest title first, so that "NLVR" does not answer for "NLVR2"
    tasks = sorted(TASKS.values(), key=lambda task: len(task.title), reverse=True)
    task = next((task for task in tasks if title == task.title or title.startswith(f"{task.title}, ")), None)
    split = title.removeprefix(f"{task.title}, ") if task is not None and title != task.title else None
    figures = {name: value for name, value in content["figures"].items() if value is not None}
    return Evaluation(title, figures, content["questions"], None if task is None else task.name, split)


def _read(path: Path, kind: type) -> Any:
    """The content of a JSON file, None if it is not there."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: put back a copy, or move it away ({error}).") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path} must hold a JSON {kind.__name__}, got {type(content).__name__}.")
    return content
