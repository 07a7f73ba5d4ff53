"""What a training run left behind, read back for the page that others see."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lxmert.hub.own_files import read_card, read_json
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
    finished = read_json(folder / "finished.json") or {}
    fingerprint = _part(finished, "fingerprint", dict, folder / "finished.json")
    progress = _part(finished, "progress", dict, folder / "finished.json")
    known = {entry.name for entry in fields(TrainingSettings)} - NOT_OF_THE_RECIPE
    own = [folder / "report" / "report.json"]
    # by where they lie: the run's own report may be given again
    reports = {path.resolve(): path for path in [*filter(Path.is_file, own), *map(_report_in, evaluations)]}
    return TrainingRun(
        learned_from=tuple(entry for entry in training_data_of(checkpoint) if isinstance(entry.questions, int)),
        settings={name: value for name, value in fingerprint.items() if name in known},
        history=_history(read_json(folder / "history.json", list) or [], folder / "history.json")
        or _history(_part(progress, "history", list, folder / "finished.json"), folder / "finished.json"),
        evaluations=tuple(map(_evaluation, reports.values())),
        withheld=_withheld(checkpoint),
    )


def _withheld(checkpoint: Path) -> str | None:
    text = read_card(checkpoint) or ""
    found = re.search(r"^(?:It was t|T)rained with the (image|question) withheld", text, re.MULTILINE)
    return None if found is None else found[1]


def _report_in(place: str | Path) -> Path:
    path = Path(place)
    path = path / "report.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: name a folder that examples/5_evaluate.py wrote.")
    return path


def _history(entries: list[Any], path: Path) -> list[dict[str, float]]:
    """The entries, if each has numbers."""
    for entry in entries:
        numbers = isinstance(entry, dict) and all(isinstance(value, int | float) for value in entry.values())
        if not numbers or not {"epoch", "loss"} <= entry.keys():
            raise ValueError(f"{path} is no history of a run: put back a copy, or move it away (found {entry!r:.60}).")
    return entries


def _part(content: dict[str, Any], name: str, kind: type, path: Path) -> Any:
    """A part of a file's content, empty if it is not there."""
    part = content.get(name, kind())
    if not isinstance(part, kind):
        raise ValueError(f"{path} has no {kind.__name__} as {name}: put back a copy, or move it away.")
    return part


def _evaluation(path: Path) -> Evaluation:
    content = read_json(path) or {}
    title, figures, questions = (content.get(name) for name in ("title", "figures", "questions"))
    if not isinstance(title, str) or not isinstance(figures, dict) or not isinstance(questions, int):
        raise ValueError(f"{path} is no report of answered questions: title, figures and questions are not all there.")
    figures = {name: value for name, value in figures.items() if value is not None}
    if odd := [name for name, value in figures.items() if not isinstance(value, int | float)]:
        raise ValueError(f"{path} has no number as the figure {odd[0]}: judge the model again.")
    # the longest title first, so that "NLVR" does not answer for "NLVR2"
    tasks = sorted(TASKS.values(), key=lambda task: len(task.title), reverse=True)
    task = next((task for task in tasks if title == task.title or title.startswith(f"{task.title}, ")), None)
    split = title.removeprefix(f"{task.title}, ") if task is not None and title != task.title else None
    return Evaluation(title, figures, questions, None if task is None else task.name, split)
