"""The one training loop, on Accelerate: any task record, one process or many."""

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DataLoaderConfiguration,
    GradientAccumulationPlugin,
    gather_object,
    parse_flag_from_env,
)
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup
from transformers.utils import logging

from lxmert.modeling_lxmert import LxmertPreTrainedModel, use_onednn
from lxmert.processing.processes import process_state
from lxmert.training.batches import EpochBatches, EpochExamples, groups, stable_seed
from lxmert.training.compiling import compiled_layers
from lxmert.training.feeding import Feeding
from lxmert.training.optimizer import make_optimizer
from lxmert.training.resume import Progress, SavedStates, fingerprint, put_back, write_whole, written_whole
from lxmert.training.settings import TrainingSettings
from lxmert.training.tally import ForwardFigures, Pace, StepFigures, Tally
from lxmert.training.task import Batch, Task

REPORT_EVERY = 10  # steps
EXAMPLES_SHOWN = 8  # of a batch whose loss is not finite


@dataclass
class TrainingResult:
    """What a run gave.

    Args:
        best: folder of the checkpoint with the best selection figure.
        last: folder of the checkpoint at the end.
        best_figure: the selection figure of `best`.
        history: one entry for each evaluation: step, epoch, mean training losses and accuracies since the last one,
            rate, figures.
    """

    best: Path
    last: Path
    best_figure: float = math.nan
    history: list[dict[str, float]] = field(default_factory=list)


def train(model: LxmertPreTrainedModel, task: Task, settings: TrainingSettings) -> TrainingResult:
    """Train a model on a task; the model is changed in place and ends with the last weights.

    Parameters that the loss cannot reach (`parameters_without_gradient`) are frozen during the run, so that several
    processes need no search for unused ones.

    With `settings.resume`, a run that was stopped at any moment goes on from its last saved state. In float32 on CPU,
    in one process or two, weights, history and checkpoints are then bit for bit those of a run never stopped: the order
    of examples is a function of seed and epoch, and before every forward torch's random state is set from seed, step,
    batch and process, so that neither depends on what ran before. A finished run gives its result again.

    Raises:
        ValueError: no example to train or validate on; an unfinished state that is not to be resumed, or another
            run's; sharding (FSDP) without an accelerator; `sentences_per_image` or `resident_regions` for a task that
            they do not fit, or more regions than the device has memory for.
        FloatingPointError: a loss or gradient that is not finite. The optimiser has not stepped with it, checkpoints
            and states stay as they were.
    """
    on_cpu = not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")
    if on_cpu and parse_flag_from_env("ACCELERATE_USE_FSDP"):  # which a plugin sets, too
        raise ValueError(
            "Sharded training (FSDP) needs GPUs, but this run is on CPU, where Accelerate would silently train whole "
            "copies: start it without FSDP."
        )
    for name in ("training", "validation"):
        if not len(getattr(task, name)):
            raise ValueError(f"Task {task.name} has no {name} example.")
    with (
        _frozen(model, model.parameters_without_gradient()),
        compiled_layers(model) if settings.compile_layers else nullcontext(),
    ):
        return _Run(model, task, settings).train()


class _Run:
    """One call of `train`: what its steps share."""

    def __init__(self, model: LxmertPreTrainedModel, task: Task, settings: TrainingSettings):
        self.task, self.settings, self.original = task, settings, model
        output_dir = Path(settings.output_dir)
        self.result = TrainingResult(best=output_dir / "best", last=output_dir / "last")
        device = torch.accelerator.current_accelerator(check_available=True)
        self.pinned = device is not None and device.type != "mps"  # which has no pinned memory
        process_state()  # which disconnects at the end
        self.accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),
            mixed_precision=settings.mixed_precision,
            # Accumulation is done by hand; said outright, because a launcher's environment would win otherwise.
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            dataloader_config=DataLoaderConfiguration(non_blocking=self.pinned),
            log_with=settings.log_with,
            project_dir=str(output_dir),
            # The schedule is stepped by hand, once for each step of the optimiser.
            step_scheduler_with_optimizer=False,
        )
        processes = self.accelerator.num_processes
        self.examples = EpochExamples(task.training)
        self.states = SavedStates(output_dir, self.accelerator, fingerprint(model, task, settings, processes))
        self.feeding = Feeding(task, settings)
        images, together = self.feeding.training_images(), settings.sentences_per_image
        self.order = EpochBatches(len(task.training), settings.batch_size, settings.seed, processes, images, together)
        self.tally = Tally()

    def train(self) -> TrainingResult:
        saved, finished = self.states.open(self.settings.resume)
        if self.accelerator.is_main_process:
            put_back(self.result.best)
            put_back(self.result.last)
        if saved is not None and finished:
            return self._finished(saved)
        if saved is None:
            if self.settings.resume and self.accelerator.is_main_process:
                warnings.warn(
                    f"There is no state in {self.settings.output_dir} to resume: the run starts from the beginning.",
                    stacklevel=3,
                )
            self.states.clear()
        self._prepare()
        if saved is not None:
            self.states.load(saved, self.model, self.optimizer, self.schedule)
            self.result.best_figure, self.result.history = saved.best_figure, saved.history
            self.tally = Tally(**saved.tally)
        if self.settings.log_with:
            loggable = {name: str(value) for name, value in asdict(self.settings).items()}
            self.accelerator.init_trackers(self.task.name, config=loggable)
        try:
            self._steps(saved.step if saved else 0)
            self.states.finish(self._progress(self.steps))
        finally:
            for tracker in self.accelerator.trackers:  # the processes stay connected, perhaps for another run
                tracker.finish()
        return self.result

    def _finished(self, saved: Progress) -> TrainingResult:
        """The result of a run that came to its end before."""
        with _without_progress_bars():
            weights = type(self.original).from_pretrained(self.result.last).state_dict()
        self.original.load_state_dict(weights)
        self.result.best_figure, self.result.history = saved.best_figure, saved.history
        return self.result

    def _prepare(self) -> None:
        settings = self.settings
        if settings.onednn:
            use_onednn(self.original)
        self.feeding.load(self.accelerator.device, settings.progress and self.accelerator.is_main_process)
        Path(settings.output_dir).mkdir(parents=True, exist_ok=True)
        learning = [parameter for parameter in self.original.parameters() if parameter.requires_grad]
        self.model, self.optimizer, *loaders = self.accelerator.prepare(
            self.original,
            make_optimizer(learning, settings),
            self._loader(self.examples, training=True, batch_sampler=self.order),
            self._loader(self.task.validation, training=False, batch_size=settings.evaluation_batch_size),
        )
        self.training, self.validation = map(self.feeding.filled, loaders)
        self.steps_per_epoch = math.ceil(len(self.training) / settings.gradient_accumulation_steps)
        self.steps = self.steps_per_epoch * settings.epochs
        self.schedule = get_linear_schedule_with_warmup(
            self.optimizer, round(self.steps * settings.warmup_share), self.steps
        )

    def _loader(self, examples: Any, training: bool, **batches: Any) -> DataLoader:
        return DataLoader(
            examples,
            collate_fn=self.feeding.collate(training),
            num_workers=self.settings.workers,
            pin_memory=self.pinned,
            **batches,
        )

    def _steps(self, step: int) -> None:
        """All steps after the first `step`."""
        settings = self.settings
        measured_at = self._steps_to_measure_at()
        hidden = not (settings.progress and self.accelerator.is_main_process)
        description = f"Training {self.task.name}"
        with tqdm(total=self.steps, initial=step, desc=description, unit=" steps", disable=hidden) as bar:
            self.model.train()
            pace = Pace()
            for epoch in range(step // self.steps_per_epoch, settings.epochs):
                done = step - epoch * self.steps_per_epoch
                self.order.start(epoch, skip=done * settings.gradient_accumulation_steps)
                for batches in groups(self.training, settings.gradient_accumulation_steps):
                    step += 1
                    self.tally.add(self._step(step, batches))
                    bar.update()
                    pace.add(self._examples_at(step))
                    if step % REPORT_EVERY == 0 or step in measured_at:
                        self._report(step, bar, pace)
                    if step in measured_at:
                        self._measure(step)
                        self.tally, pace = Tally(), Pace()
                    if settings.save_state_every and step % settings.save_state_every == 0 and step < self.steps:
                        self.states.save(self._progress(step), self.model, self.optimizer, self.schedule)

    def _steps_to_measure_at(self) -> set[int]:
        count = self.settings.epochs * self.settings.evaluations_per_epoch
        return {math.ceil(self.steps * i / count) for i in range(1, count + 1)}

    def _examples_at(self, step: int) -> int:
        """Examples in one step, over all processes."""
        most = self.settings.gradient_accumulation_steps * self.settings.batch_size * self.accelerator.num_processes
        return min(most, len(self.examples) - (step - 1) % self.steps_per_epoch * most)

    def _progress(self, step: int) -> Progress:
        return Progress(step, self.result.best_figure, self.result.history, asdict(self.tally))

    def _rate(self) -> float:
        return self.schedule.get_last_lr()[0]

    def _step(self, step: int, batches: list[Batch]) -> StepFigures:
        """One step of the optimiser: forward and backward of each micro-batch, then the change of the weights."""
        accelerator, forwards = self.accelerator, []
        counts = self._counts(batches)
        for i, batch in enumerate(batches):
            torch.manual_seed(stable_seed("computation", self.settings.seed, step, i, accelerator.process_index))
            with accelerator.no_sync(self.model) if i + 1 < len(batches) else nullcontext():
                output = self.model(**batch, **counts)
                accelerator.backward(output.loss / len(batches))
            forwards.append(ForwardFigures.of(output))
        norm = accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_gradient_norm)
        # The one wait for the device: the optimiser must not step with what is not finite.
        figures = StepFigures.read(forwards, norm, accelerator)
        # In fp16 gradients overflow now and then; the scaler then skips the step by itself.
        if figures.not_finite() or (accelerator.scaler is None and not math.isfinite(figures.gradient_norm)):
            raise FloatingPointError(self._what_is_not_finite(step, forwards, figures))
        self.optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            self.schedule.step()
        self.optimizer.zero_grad()
        return figures

    def _counts(self, batches: list[Batch]) -> dict[str, dict[str, torch.Tensor]]:
        """The keyword `loss_counts`, if the task counts: means over all batches of the step, in all processes."""
        if self.task.counts is None:
            return {}
        each = [self.task.counts(batch) for batch in batches]
        names = list(each[0])
        sums = torch.stack([torch.stack([counts[name].float() for counts in each]).sum() for name in names])
        sums = self.accelerator.reduce(sums.to(self.accelerator.device), reduction="sum")
        means = sums / (len(batches) * self.accelerator.num_processes)
        return {"loss_counts": dict(zip(names, means.unbind(), strict=True))}

    def _what_is_not_finite(self, step: int, forwards: list[ForwardFigures], figures: StepFigures) -> str:
        """The message, the same in all processes."""
        losses = figures.not_finite()
        epoch, before = divmod(step - 1, self.steps_per_epoch)
        describe = self.task.describe or str
        keys = []
        for i, forward in enumerate(forwards):
            if not losses or not forward.are_finite():
                batch = before * self.settings.gradient_accumulation_steps + i
                keys += self.order.batch(epoch, batch * self.accelerator.num_processes + self.accelerator.process_index)
        shown = [describe(self.examples[key]) for key in keys[:EXAMPLES_SHOWN]]
        parts = gather_object([(shown, len(keys))])
        shown = [text for texts, _ in parts for text in texts][:EXAMPLES_SHOWN]
        more = sum(count for _, count in parts) - len(shown)
        said = ", ".join(f"the {name} became {value}" for name, value in losses.items())
        said = said or f"the gradient's norm became {figures.gradient_norm}"
        return (
            f"At step {step} {said}. The weights were not changed by it, and checkpoints and states are as they were. "
            "To go on, begin anew in another output_dir with a lower learning rate, or look for extreme features among "
            "the examples:\n  " + "\n  ".join(shown) + (f"\n  and {more} more" if more else "")
        )

    def _report(self, step: int, bar: tqdm, pace: Pace) -> None:
        means = self.tally.means()
        shown = {name: f"{value:.4f}" for name, value in means.items()}
        bar.set_postfix(shown | {"lr": f"{self._rate():.1e}"}, refresh=False)
        said = {"learning_rate": self._rate(), "examples_per_second": pace.rate()}
        self.accelerator.log(means | said, step=step)

    def _measure(self, step: int) -> None:
        """Measure the validation examples, log, and save the checkpoints."""
        means = self.tally.means()
        figures = self.task.measure(self.model, self.validation, self.accelerator)
        self.model.train()
        entry = {"step": step, "epoch": step / self.steps_per_epoch, "learning_rate": self._rate(), **means}
        entry |= {f"validation_{name}": value for name, value in figures.items()}
        self.result.history.append(entry)
        self.accelerator.log(entry, step=step)
        if self.task.selection not in figures:
            raise ValueError(
                f"Task {self.task.name} selects by {self.task.selection!r}, but measured {sorted(figures)}."
            )
        if self.accelerator.is_main_process:
            history_file = Path(self.settings.output_dir) / "history.json"
            write_whole(history_file, json.dumps(self.result.history, indent=2) + "\n")
            if self.settings.progress:
                said = ", ".join(f"{name} {value:.4f}" for name, value in (means | figures).items())
                tqdm.write(f"  epoch {entry['epoch']:.2f}, step {step}: {said}")
        figure, best = figures[self.task.selection], self.result.best_figure
        if math.isnan(best) or (figure > best if self.task.greater_is_better else figure < best):
            self.result.best_figure = figure
            self._save(self.result.best)
        self._save(self.result.last)

    def _save(self, folder: Path) -> None:
        model = self.accelerator.unwrap_model(self.model)
        state = self.accelerator.get_state_dict(self.model)
        if self.accelerator.is_main_process:
            with written_whole(folder) as writing, _without_progress_bars():
                model.save_pretrained(writing, state_dict=state)
                for companion in self.task.saved_with_model:
                    companion.save_pretrained(str(writing))
        self.accelerator.wait_for_everyone()


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


@contextmanager
def _frozen(model: torch.nn.Module, names: list[str]) -> Iterator[None]:
    """Parameters that do not learn meanwhile."""
    learning = [name for name in names if model.get_parameter(name).requires_grad]
    for name in learning:
        model.get_parameter(name).requires_grad_(False)
    try:
        yield
    finally:
        for name in learning:
            model.get_parameter(name).requires_grad_(True)
