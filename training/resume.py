"""Saved states of a run: what it takes to go on as if nothing had happened, and folders that are whole or absent."""

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from lxmert.training.batches import stable_seed
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Task

# Fields of a configuration that change nothing that is computed, or follow from others.
NOT_COMPUTED = ("label2id", "architectures", "transformers_version", "dtype")
# What may differ between a run and the one that goes on with it; all other settings change the result.
FREE_SETTINGS = ("output_dir", "log_with", "progress", "workers", "save_state_every", "resume")
# Settings that older states do not know, with what such a run had.
LATER_SETTINGS = {"sentences_per_image": 1, "resident_regions": None, "compile_layers": False, "onednn": False}


@dataclass
class Progress:
    """Where a run stands, besides its tensors.

    Args:
        step: steps of the optimiser behind it.
        best_figure: the best selection figure so far.
        history: entries of all evaluations so far.
        tally: sums since the last evaluation.
    """

    step: int = 0
    best_figure: float = math.nan
    history: list[dict[str, float]] = field(default_factory=list)
    tally: dict[str, dict[str, Any]] = field(default_factory=dict)


def fingerprint(model: torch.nn.Module, task: Task, settings: TrainingSettings, processes: int) -> dict[str, Any]:
    """What must agree between a saved state and the run that goes on with it, by name."""
    names = [entry.name for entry in fields(settings) if entry.name not in FREE_SETTINGS]
    return {name: getattr(settings, name) for name in names} | {
        "task": task.name,
        "training examples": len(task.training),
        "validation examples": len(task.validation),
        "processes": processes,
        "model": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **json.loads(json.dumps(_configuration(model) | dict(task.identity))),
    }


def _configuration(model: torch.nn.Module) -> dict[str, Any]:
    """The fields of the model's configuration that change what it computes; the answers as one number."""
    config = getattr(model, "config", None)
    if config is None:
        return {}
    values = config.to_dict()
    answers = stable_seed(*values.pop("id2label", {}).values())
    for name in (*NOT_COMPUTED, *(name for name in values if name.startswith("_"))):
        values.pop(name, None)
    return {f"configuration.{name}": value for name, value in values.items()} | {"configuration.answers": answers}


class SavedStates:
    """The states of one run: folders `state-<step>` in its output folder, of which the newest counts.

    A state appears under its name when all of it is written, and only then goes the one before it. All processes must
    see the same folder; the main one writes. Loading executes nothing that a file says.

    Args:
        folder: the run's output folder.
        accelerator: of the run.
        fingerprint: of the run; see `fingerprint`.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, fingerprint: dict[str, Any]):
        self.folder, self.accelerator, self.fingerprint = folder, accelerator, fingerprint
        self._finished = folder / "finished.json"

    def open(self, resume: bool) -> tuple[Progress | None, bool]:
        """Look for a state, in all processes.

        Returns:
            Where the saved run stands, None if there is none to go on with; and whether it came to its end.

        Raises:
            ValueError: there is an unfinished state but it is not to be resumed, or it is another run's.
        """
        found: list[Any] = [None]
        if self.accelerator.is_main_process:
            if self._finished.exists():
                found = [("finished", json.loads(self._finished.read_text()))]
            elif states := self._states():
                found = [("unfinished", json.loads((states[-1] / "progress.json").read_text()))]
        found = broadcast_object_list(found)
        if found[0] is None:
            return None, False
        kind, saved = found[0]
        if kind == "finished":
            self._remove_states()  # a run may have been killed before it had removed them
        if not resume:
            if kind == "finished":
                return None, False
            raise ValueError(
                f"{self.folder} holds the state of an unfinished run at step {saved['progress']['step']}: pass "
                "resume=True (--resume) to go on with it, or choose another output_dir (--output)."
            )
        before, now = LATER_SETTINGS | saved["fingerprint"], self.fingerprint
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            said = ", ".join(f"{name} {before.get(name)!r}, now {now.get(name)!r}" for name in changed)
            raise ValueError(
                f"The state in {self.folder} is another run's: it has {said}. Pass what it has, or choose another "
                "output_dir (--output)."
            )
        return Progress(**saved["progress"]), kind == "finished"

    def clear(self) -> None:
        """Forget a former run, so that a run which starts from the beginning finds nothing of it."""
        if self.accelerator.is_main_process:
            # the mark goes last: without it, a state that is left would look unfinished
            self._remove_states()
            self._finished.unlink(missing_ok=True)
        self.accelerator.wait_for_everyone()

    def save(self, progress: Progress, model: Any, optimizer: Any, schedule: Any) -> None:
        """Write the state; called in all processes."""
        sharded = is_sharded(model)
        tensors = {
            "model": get_weights(self.accelerator.unwrap_model(model), sharded),
            "optimizer": get_optimizer_state(model, optimizer.optimizer, sharded),
            "schedule": schedule.state_dict(),
            "scaler": None if self.accelerator.scaler is None else self.accelerator.scaler.state_dict(),
        }
        if self.accelerator.is_main_process:
            before = self._states()
            with written_whole(self.folder / f"state-{progress.step:09d}") as folder:
                torch.save(tensors, folder / "tensors.pt")
                content = {"fingerprint": self.fingerprint, "progress": asdict(progress)}
                (folder / "progress.json").write_text(json.dumps(content))
            for state in before:
                shutil.rmtree(state)
        self.accelerator.wait_for_everyone()

    def load(self, progress: Progress, model: Any, optimizer: Any, schedule: Any) -> None:
        """Take the tensors of the state that `open` found."""
        file = self.folder / f"state-{progress.step:09d}" / "tensors.pt"
        tensors = torch.load(file, map_location="cpu", weights_only=True)
        sharded = is_sharded(model)
        set_weights(self.accelerator.unwrap_model(model), tensors["model"], sharded)
        set_optimizer_state(model, optimizer.optimizer, tensors["optimizer"], sharded)
        schedule.load_state_dict(tensors["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(tensors["scaler"])

    def finish(self, progress: Progress) -> None:
        """Mark the run as finished and remove its states."""
        if self.accelerator.is_main_process:
            content = {"fingerprint": self.fingerprint, "progress": asdict(progress)}
            write_whole(self._finished, json.dumps(content) + "\n")
            self._remove_states()
        self.accelerator.wait_for_everyone()

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("state-*"))

    def _remove_states(self) -> None:
        if self.accelerator.is_main_process:
            for state in [*self._states(), *self.folder.glob(".state-*")]:
                shutil.rmtree(state)


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether the parameters are divided among the processes (FSDP version 2)."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_FROM_WHOLE = StateDictOptions(full_state_dict=True)


def get_weights(model: torch.nn.Module, sharded: bool) -> dict[str, Any]:
    """All weights; where they are divided among processes, in the main one only."""
    return get_model_state_dict(model, options=_WHOLE) if sharded else model.state_dict()


def set_weights(model: torch.nn.Module, weights: dict[str, Any], sharded: bool) -> None:
    """Take what `get_weights` gave; every process needs it."""
    if sharded:
        set_model_state_dict(model, weights, options=_FROM_WHOLE)
    else:
        model.load_state_dict(weights)


def get_optimizer_state(model: torch.nn.Module, optimizer: torch.optim.Optimizer, sharded: bool) -> dict[str, Any]:
    """The optimiser's averages, as `get_weights`."""
    return get_optimizer_state_dict(model, optimizer, options=_WHOLE) if sharded else optimizer.state_dict()


def set_optimizer_state(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], sharded: bool
) -> None:
    """Take what `get_optimizer_state` gave; every process needs it."""
    if sharded:
        set_optimizer_state_dict(model, optimizer, state, options=_FROM_WHOLE)
    else:
        optimizer.load_state_dict(state)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Gives a folder to write to, which takes its name, and the place of a former one, when it is complete."""
    put_back(folder)
    writing, former = _beside(folder, "writing"), _beside(folder, "former")
    for left in (writing, former):
        shutil.rmtree(left, ignore_errors=True)
    writing.mkdir(parents=True)
    yield writing
    for path in writing.rglob("*"):
        if path.is_file():
            _flush(path)
    if folder.exists():
        folder.rename(former)
    writing.rename(folder)
    shutil.rmtree(former, ignore_errors=True)


def put_back(folder: Path) -> None:
    """Give the former folder its name again if `written_whole` was killed between taking and giving it."""
    former = _beside(folder, "former")
    if former.exists() and not folder.exists():
        former.rename(folder)


def write_whole(file: Path, text: str) -> None:
    """Write a file that is either the old one or the new one, never a part."""
    writing = _beside(file, "writing")
    writing.write_text(text)
    _flush(writing)
    writing.replace(file)


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}")


def _flush(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
