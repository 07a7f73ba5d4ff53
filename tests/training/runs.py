"""Small runs that are exact to compare; also a program, so that a run can be killed or have several processes.

`python runs.py <plan>` with a plan in JSON, a list of runs one after the other; see `run`.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from lxmert import LxmertConfig, LxmertForQuestionAnswering
from lxmert.training.loop import TrainingResult, train
from lxmert.training.resume import put_back
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Task

EXAMPLES = 22


class CountingModel(LxmertForQuestionAnswering):
    """Its loss is a sum over the labelled examples divided by `loss_counts`; a part of it may be no number."""

    def forward(self, loss_counts=None, labels=None, **inputs):  # type: ignore[no-untyped-def, override]
        scores = super().forward(**inputs).question_answering_score
        labels, extra = labels["nested"]
        judged = labels >= 0
        each = torch.nn.functional.cross_entropy(scores, labels, ignore_index=-100, reduction="none")
        count = (judged.sum() if loss_counts is None else loss_counts["labelled"]).clamp(min=1e-6)
        parts = {"answer": each.sum() / count, "extra": (extra * scores.mean(-1)).sum() / count}
        right = (scores.argmax(-1) == labels)[judged].sum()
        return SimpleNamespace(
            loss=parts["answer"] + parts["extra"],
            losses=parts,
            correct={"answer": torch.stack([right, judged.sum()]).float()},
            scores=scores,
            each=each,
        )


CountingModel._forward_keywords = LxmertForQuestionAnswering._forward_keywords | {"loss_counts"}


def make_model(dropout: float = 0.1) -> CountingModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": 9, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8, "visual_feat_dim": 2}
    layers = {"l_layers": 1, "r_layers": 1, "x_layers": 1}
    dropouts = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return CountingModel(LxmertConfig(**sizes, **layers, **dropouts, num_qa_labels=3))


class DrawnRows:
    """Examples (index, shift) that differ from epoch to epoch."""

    def __init__(self, count: int = EXAMPLES, bad: int | None = None):
        self.count, self.bad = count, bad

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, float]:
        raise AssertionError("the loop must draw")

    def draw(self, epoch: int, index: int) -> tuple[int, float]:
        return index, float("nan") if index == self.bad and epoch else 0.1 * epoch


def collate(rows: list[tuple[int, float]]) -> dict[str, Any]:
    ids = torch.tensor([index for index, _ in rows])
    shift = torch.tensor([shift for _, shift in rows])
    words = torch.stack([ids % 8 + 1, ids % 5 + 1, ids % 3 + 1], -1)
    boxes = torch.stack([ids.float().sin(), ids.float().cos()], -1)[:, None].repeat(1, 2, 1)
    boxes[:, 1] = 1 - 2 * boxes[:, 1]
    feats = boxes + shift.nan_to_num()[:, None, None]
    batch = {"input_ids": words, "visual_feats": feats, "visual_pos": boxes.sigmoid().repeat(1, 1, 2)}
    labels = torch.where(ids % 4 == 0, -100, ids % 3)  # a varying number in each batch
    return batch | {"labels": {"nested": (labels, shift)}}


def counts(batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {"labelled": (batch["labels"]["nested"][0] >= 0).sum()}


@torch.no_grad()
def measure(model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator) -> dict[str, float]:
    torch.rand(3)  # an evaluation may use up randomness
    model.eval()
    each = torch.cat([accelerator.gather_for_metrics(model(**batch).each) for batch in loader])
    return {"loss": each.mean().item(), "rows": float(len(each))}


def make_task(**changes: Any) -> Task:
    validation = [(index, 0.0) for index in range(7)]
    task = Task("runs", DrawnRows(), validation, collate, measure, "loss", counts=counts, greater_is_better=False)
    return replace(task, **changes)


def make_settings(folder: Path | str, **changes: Any) -> TrainingSettings:
    values: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "evaluation_batch_size": 2,
        "evaluations_per_epoch": 2,
        "learning_rate": 1e-2,
        "max_gradient_norm": 1.0,
        "progress": False,
    }
    return TrainingSettings(folder, **(values | changes))


def at_forward(model: CountingModel, number: int, action: Callable[[], None]) -> None:
    """Do something at the given training forward of a model, counted from 1."""
    seen = 0

    def hook(module: torch.nn.Module, *_: Any) -> None:
        nonlocal seen
        seen += module.training
        if seen == number:
            action()

    model.register_forward_pre_hook(hook)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_file_operation(folder: str, number: int | None) -> list[str]:
    """Die before the given opening for writing, renaming or removal below a folder; gives those that came so far."""
    seen: list[str] = []

    def hook(event: str, arguments: tuple) -> None:
        writes = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") or (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wa+")
        )
        if writes and str(arguments[0]).startswith((folder, "state", "progress", "tensors")):
            seen.append(f"{event} {arguments[0]}")
            if len(seen) == number:
                die()

    sys.addaudithook(hook)
    return seen


def summary(model: torch.nn.Module, result: TrainingResult) -> dict[str, Any]:
    """Everything by which two runs are compared: all weights bit for bit."""
    best = {name: value.tolist() for name, value in CountingModel.from_pretrained(result.best).state_dict().items()}
    last = {name: value.tolist() for name, value in CountingModel.from_pretrained(result.last).state_dict().items()}
    weights = {name: value.tolist() for name, value in model.state_dict().items()}
    said = {"history": result.history, "figure": result.best_figure}
    with torch.no_grad():
        scores = model.eval()(**collate([(index, 0.0) for index in range(EXAMPLES)])).scores.tolist()
    return {"weights": weights, "best": best, "last": last, **said, "scores": scores}


def run(
    folder: str,
    dies_at: int | None = None,
    dies_in_rank: int = 0,
    dies_at_file: int | None = None,
    dropout: float = 0.1,
    bad: int | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """One run; gives its summary, or the message of a loss that is not finite.

    It dies at a forward or a file operation, counted from 1, if asked to.
    """
    model = make_model(dropout)
    if dies_at is not None and dies_in_rank == int(os.environ.get("RANK", "0")):
        at_forward(model, dies_at, die)
    if settings.get("resume") and "RANK" not in os.environ and list(Path(folder).glob("state-*")):
        for name in ("best", "last"):  # whatever the run before died of
            put_back(Path(folder, name))
            CountingModel.from_pretrained(Path(folder, name))
    operations = at_file_operation(folder, dies_at_file)
    try:
        result = train(model, make_task(training=DrawnRows(bad=bad)), make_settings(folder, **settings))
    except FloatingPointError as error:
        return {"error": str(error)}
    return summary(model, result) | {"operations": operations}


def in_child(work: Callable[[], None]) -> None:
    """Do it in a process of its own, which may die of it."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    work()
    os._exit(0)


def write_run(number: int, plan: dict[str, Any]) -> None:
    Path(plan["folder"]).mkdir(exist_ok=True)
    summed = run(**plan)
    Path(plan["folder"], f"summary-{number}-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(summed))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number, plan in enumerate(json.loads(sys.argv[1])):
        if "RANK" in os.environ:
            write_run(number, plan)
        else:
            in_child(lambda: write_run(number, plan))  # noqa: B023
