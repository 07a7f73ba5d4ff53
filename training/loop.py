"""The one training loop, on Accelerate: any task record, one process or many."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup
from transformers.utils import logging

from lxmert.modeling_lxmert import LxmertPreTrainedModel
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Batch, Task

REPORT_EVERY = 10  # steps; reading a loss makes a GPU wait, so it is not read at every step


@dataclass
class TrainingResult:
    """What a run gave.

    Args:
        best: folder of the checkpoint with the highest selection figure.
        last: folder of the checkpoint at the end.
        best_figure: the selection figure of `best`.
        history: one entry for each evaluation: step, epoch, mean training loss since the last one, rate, figures.
    """

    best: Path
    last: Path
    best_figure: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)


def train(model: LxmertPreTrainedModel, task: Task, settings: TrainingSettings) -> TrainingResult:
    """Train a model on a task; the model is changed in place and ends with the last weights.

    Parameters that the loss cannot reach (`parameters_without_gradient`) are frozen, so that several processes need
    no search for unused ones.

    Raises:
        ValueError: no example to train or validate on.
        FloatingPointError: a loss that is not finite.
    """
    for name in ("training", "validation"):
        if not len(getattr(task, name)):
            raise ValueError(f"Task {task.name} has no {name} example.")
    return _Run(model, task, settings).train()


class _Run:
    """One call of `train`: what its steps share."""

    def __init__(self, model: LxmertPreTrainedModel, task: Task, settings: TrainingSettings):
        set_seed(settings.seed)
        self.task, self.settings = task, settings
        self.accelerator = Accelerator(
            # Said outright: without it, processes that torchrun starts on a machine without a GPU stay strangers.
            cpu=not torch.accelerator.is_available(),
            mixed_precision=settings.mixed_precision,
            gradient_accumulation_steps=settings.gradient_accumulation_steps,
            log_with=settings.log_with,
            project_dir=str(settings.output_dir),
            # The schedule is stepped by hand, once for each step of the optimiser.
            step_scheduler_with_optimizer=False,
        )
        _freeze(model, model.parameters_without_gradient())
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            learning, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.model, self.optimizer, self.training, self.validation = self.accelerator.prepare(
            model, optimizer, self._loader(train=True), self._loader(train=False)
        )
        self.steps_per_epoch = math.ceil(len(self.training) / settings.gradient_accumulation_steps)
        self.steps = self.steps_per_epoch * settings.epochs
        self.schedule = get_linear_schedule_with_warmup(
            self.optimizer, round(self.steps * settings.warmup_share), self.steps
        )
        output_dir = Path(settings.output_dir)
        self.result = TrainingResult(best=output_dir / "best", last=output_dir / "last")

    def _loader(self, train: bool) -> DataLoader:
        return DataLoader(
            self.task.training if train else self.task.validation,  # type: ignore[arg-type]
            batch_size=self.settings.batch_size if train else self.settings.evaluation_batch_size,
            shuffle=train,
            collate_fn=self.task.collate,
            generator=torch.Generator().manual_seed(self.settings.seed),
        )

    def train(self) -> TrainingResult:
        settings, accelerator = self.settings, self.accelerator
        Path(settings.output_dir).mkdir(parents=True, exist_ok=True)
        if settings.log_with:
            loggable = {name: str(value) for name, value in asdict(settings).items()}
            accelerator.init_trackers(self.task.name, config=loggable)
        measured_at = self._steps_to_measure_at()
        step, losses = 0, _RunningMeans()
        hidden = not (settings.progress and accelerator.is_main_process)
        with tqdm(total=self.steps, desc=f"Training {self.task.name}", unit=" steps", disable=hidden) as bar:
            self.model.train()
            for epoch in range(settings.epochs):
                if hasattr(self.training, "set_epoch"):
                    self.training.set_epoch(epoch)
                for batch in self.training:
                    losses.add(self._micro_step(batch))
                    if not accelerator.sync_gradients:
                        continue
                    step += 1
                    bar.update()
                    if step % REPORT_EVERY == 0 or step in measured_at:
                        means = losses.means(step, accelerator)
                        shown = {name: f"{value:.4f}" for name, value in means.items()}
                        bar.set_postfix(shown | {"lr": f"{self._rate():.1e}"}, refresh=False)
                        accelerator.log(means | {"learning_rate": self._rate()}, step=step)
                    if step in measured_at:
                        self._measure(step, means)
                        losses = _RunningMeans()
        accelerator.end_training()
        return self.result

    def _steps_to_measure_at(self) -> set[int]:
        count = self.settings.epochs * self.settings.evaluations_per_epoch
        return {math.ceil(self.steps * i / count) for i in range(1, count + 1)}

    def _micro_step(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Forward and backward of one micro-batch; steps the optimiser when enough have come together."""
        with self.accelerator.accumulate(self.model):
            output = self.model(**batch)
            self.accelerator.backward(output.loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_gradient_norm)
            self.optimizer.step()
            if self.accelerator.sync_gradients and not self.accelerator.optimizer_step_was_skipped:
                self.schedule.step()
            self.optimizer.zero_grad()
        parts = getattr(output, "losses", None) or {}
        return {"loss": output.loss.detach(), **{name: part.detach() for name, part in parts.items()}}

    def _rate(self) -> float:
        return self.schedule.get_last_lr()[0]

    def _measure(self, step: int, losses: dict[str, float]) -> None:
        """Measure the validation examples, log, and save the checkpoints."""
        figures = self.task.measure(self.model, self.validation, self.accelerator)
        self.model.train()
        entry = {"step": step, "epoch": step / self.steps_per_epoch, "learning_rate": self._rate(), **losses}
        entry |= {f"validation_{name}": value for name, value in figures.items()}
        self.result.history.append(entry)
        self.accelerator.log(entry, step=step)
        if self.task.selection not in figures:
            raise ValueError(
                f"Task {self.task.name} selects by {self.task.selection!r}, but measured {sorted(figures)}."
            )
        figure = figures[self.task.selection]
        if self.accelerator.is_main_process:
            history_file = Path(self.settings.output_dir) / "history.json"
            history_file.write_text(json.dumps(self.result.history, indent=2) + "\n")
            if self.settings.progress:
                said = ", ".join(f"{name} {value:.4f}" for name, value in (losses | figures).items())
                tqdm.write(f"  epoch {entry['epoch']:.2f}, step {step}: {said}")
        if figure > self.result.best_figure or len(self.result.history) == 1:
            self.result.best_figure = figure
            self._save(self.result.best)
        self._save(self.result.last)

    def _save(self, folder: Path) -> None:
        model = self.accelerator.unwrap_model(self.model)
        state = self.accelerator.get_state_dict(self.model)
        if self.accelerator.is_main_process:
            with _without_progress_bars():
                model.save_pretrained(folder, state_dict=state)
                for companion in self.task.saved_with_model:
                    companion.save_pretrained(str(folder))
        self.accelerator.wait_for_everyone()


class _RunningMeans:
    """Means of the losses since the last measurement, summed without reading them."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._count += 1

    def means(self, step: int, accelerator: Accelerator) -> dict[str, float]:
        sums = accelerator.reduce(torch.stack(list(self._sums.values())), reduction="mean")  # over the processes
        means = dict(zip(self._sums, (sums / self._count).tolist(), strict=True))
        for name, value in means.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"The {name} became {value} shortly before step {step}: lower the learning rate, or look for "
                    "extreme features. The checkpoints hold the weights of the last evaluation."
                )
        return means


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """transformers shows a bar for every file it writes, in the middle of ours."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _freeze(model: torch.nn.Module, names: list[str]) -> None:
    for name in names:
        model.get_parameter(name).requires_grad_(False)
