"""The files of a model's repository: weights, processor, code, card and what the card shows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lxmert.hub import handler
from lxmert.hub.card import CURVE_FILE, default_title, model_card, widget_path
from lxmert.hub.card_details import CardDetails
from lxmert.hub.checkpoint import (
    LICENSE_FILE,
    MADE_CODE,
    SETTINGS,
    SHOWN,
    WEIGHTS,
    Checkpoint,
    Example,
    check_checkpoint,
)
from lxmert.hub.evaluation_results import results_file
from lxmert.hub.own_files import CARD, read_json
from lxmert.hub.remote_code import export_remote_code
from lxmert.hub.small_pictures import small_copy
from lxmert.hub.training_run import TrainingRun, read_run

# All that `prepare_model` may write but the card: what an earlier publication left is known by it.
STALE = re.compile("|".join([WEIGHTS.pattern, *map(re.escape, sorted(SETTINGS)), MADE_CODE.pattern, SHOWN.pattern]))


@dataclass(frozen=True)
class Page:
    """What a folder becomes on the Hub.

    Args:
        files: local files by their paths in the repository.
        stale: pattern of paths that a later commit deletes where it does not bring them.
        notes: what a person should know, each a sentence.
    """

    files: dict[str, Path]
    stale: re.Pattern[str]
    notes: tuple[str, ...] = ()


def prepare_model(
    folder: Path,
    work: Path,
    repo_id: str,
    details: CardDetails,
    examples: Sequence[Example] = (),
    evaluations: Sequence[str | Path] = (),
) -> Page:
    """Check a checkpoint and write what its page needs besides it.

    Args:
        folder: of the checkpoint.
        work: to write to.
        repo_id: name on the Hub.
        details: what a person says.
        examples: questions about pictures.
        evaluations: folders of reports.

    Raises:
        FileNotFoundError, ValueError: see `check_checkpoint` and `read_run`.
    """
    checkpoint, run = check_checkpoint(folder, examples), read_run(folder, evaluations)
    files = {name: folder / name for name in checkpoint.files}
    files |= {path.name: path for path in folder.iterdir() if path.is_file() and LICENSE_FILE.fullmatch(path.name)}
    files |= _code(checkpoint, work)
    card = model_card(checkpoint, run, details, repo_id, _auto_class(files["config.json"], checkpoint.head))
    files[CARD] = work / CARD
    files[CARD].write_text(card, encoding="utf-8")
    for i, each in enumerate(checkpoint.examples):
        files[widget_path(i)] = small_copy(each.image, work / widget_path(i))
    notes = list(_unsaid(checkpoint, run, details))
    if run.history:
        files[CURVE_FILE] = _curve(run, work / CURVE_FILE, details.title or default_title(run))
    if details.benchmark is not None:
        name, content = results_file(run.evaluations, details.benchmark, f"https://huggingface.co/{repo_id}")
        files[name] = work / name
        files[name].parent.mkdir(exist_ok=True)
        files[name].write_text(content, encoding="utf-8")
    return Page(files, STALE, tuple(notes))


def _code(checkpoint: Checkpoint, work: Path) -> dict[str, Path]:
    """Code for `trust_remote_code` with the settings that name it, and for an endpoint."""
    written = export_remote_code(checkpoint.folder, work)
    endpoint = {"handler.py": Path(handler.__file__)} if checkpoint.sees_pictures else {}
    return {path.name: path for path in written} | endpoint


def _auto_class(config: Path, head: str) -> str | None:
    """The class of transformers that finds the head's code."""
    auto_map = read_json(config).get("auto_map", {})
    named = (name for name, target in auto_map.items() if name.startswith("AutoModel") and target.endswith(f".{head}"))
    return next(named, None)


def _curve(run: TrainingRun, path: Path, title: str) -> Path:
    try:
        from lxmert.hub.training_curve import draw_training_curve
    except ImportError as error:
        raise FileNotFoundError(
            "The page's training curve is drawn with matplotlib, which is not installed: pip install lxmert[plots]."
        ) from error
    return draw_training_curve(run.history, path, title, run.selection)


def _unsaid(checkpoint: Checkpoint, run: TrainingRun, details: CardDetails) -> list[str]:
    """What the page lacks, and how to give it."""
    notes = []
    if checkpoint.sees_pictures and not checkpoint.examples:
        notes.append("The page has no example: give some (--example PICTURE QUESTION).")
    if not run.evaluations:
        notes.append("The page has no figures: judge the model (examples/5_evaluate.py) and give them (--evaluation).")
    if run.evaluations and details.benchmark is None:
        notes.append("No leaderboard is told: name the data set that is a benchmark on the Hub (--benchmark).")
    if not run.learned_from:
        notes.append("What the model learned from is not recorded beside the weights.")
    if details.cost.hours is None:
        notes.append("The page does not say what training cost: give it (--hours, --hardware).")
    return notes
