import copy
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader
from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

from lxmert.training import Task, TrainingSettings, evaluate_answers, question_answering_task, train
from lxmert.training.batches import EpochBatches, stable_seed
from lxmert.training.tally import StepFigures, Tally
from tests.training import runs
from tests.training.conftest import ColourTask


def answering(task: ColourTask) -> Task:
    return question_answering_task("colours", task.examples, task.examples, task.processor, task.store, task.label2id)


def settings(folder: Path, **changes: object) -> TrainingSettings:
    values = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3, "max_gradient_norm": 1.0, "progress": False}
    return TrainingSettings(folder, **(values | changes))


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_a_small_model_learns_the_task(colour_task: ColourTask, tmp_path: Path) -> None:
    model = colour_task.model()
    colours = replace(colour_task, examples=[e for e in colour_task.examples if e.text.startswith("what")])
    result = train(model, answering(colours), settings(tmp_path, epochs=40, batch_size=8))
    assert result.history[-1]["loss"] < 0.1 < 1 < result.history[0]["loss"]
    assert result.best_figure == max(entry["validation_accuracy"] for entry in result.history) == 1
    assert json.loads((tmp_path / "history.json").read_text()) == result.history

    for folder in (result.best, result.last):
        loaded = AutoModelForVisualQuestionAnswering.from_pretrained(folder)
        processor = AutoProcessor.from_pretrained(folder)
        inputs = processor(text="what color is it?", regions=colour_task.store["image 0"])
        assert loaded.config.id2label[loaded(**inputs).logits.argmax().item()] == "red"
    assert torch.equal(weights(loaded), weights(model))


def test_the_same_seed_gives_the_same_weights(colour_task: ColourTask, tmp_path: Path) -> None:
    runs = []
    for seed in (1, 1, 2):
        model = colour_task.model()
        train(model, answering(colour_task), settings(tmp_path, seed=seed))
        runs.append(weights(model))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_accumulation_equals_the_large_batch(colour_task: ColourTask, tmp_path: Path) -> None:
    large, small = colour_task.model(), colour_task.model()
    train(large, answering(colour_task), settings(tmp_path, batch_size=16, weight_decay=0.1))
    train(
        small, answering(colour_task), settings(tmp_path, batch_size=4, gradient_accumulation_steps=4, weight_decay=0.1)
    )
    torch.testing.assert_close(weights(small), weights(large), atol=2e-4, rtol=1e-3)


def test_the_rate_warms_up_and_decays(colour_task: ColourTask, tmp_path: Path) -> None:
    # 48 examples in batches of 12: 4 steps an epoch, 20 in all, 10 of them warm-up
    result = train(
        colour_task.model(),
        answering(colour_task),
        settings(tmp_path, epochs=5, batch_size=12, learning_rate=1e-3, warmup_share=0.5),
    )
    assert [entry["step"] for entry in result.history] == [4, 8, 12, 16, 20]
    assert [entry["learning_rate"] for entry in result.history] == pytest.approx([4e-4, 8e-4, 8e-4, 4e-4, 0])


def test_evaluations_between_epochs(colour_task: ColourTask, tmp_path: Path) -> None:
    result = train(
        colour_task.model(),
        answering(colour_task),
        settings(tmp_path, epochs=1, batch_size=12, evaluations_per_epoch=2),
    )
    assert [(entry["step"], entry["epoch"]) for entry in result.history] == [(2, 0.5), (4, 1.0)]


def test_the_best_checkpoint_is_kept_when_things_get_worse(colour_task: ColourTask, tmp_path: Path) -> None:
    figures, seen = iter([0.5, 0.9, 0.1]), []

    def measure(model: torch.nn.Module, *_: object) -> dict[str, float]:
        seen.append(weights(model))
        return {"figure": next(figures)}

    task = answering(colour_task)
    task = Task(task.name, task.training, task.validation, task.collate, measure, "figure")
    result = train(colour_task.model(), task, settings(tmp_path, epochs=3))
    assert result.best_figure == 0.9
    assert torch.equal(weights(AutoModelForVisualQuestionAnswering.from_pretrained(result.best)), seen[1])
    assert torch.equal(weights(AutoModelForVisualQuestionAnswering.from_pretrained(result.last)), seen[2])


def test_gradients_are_clipped(colour_task: ColourTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    original = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *arguments: object, **keywords: object) -> object:
        gradients = [p.grad.flatten() for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.cat(gradients).norm().item())
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    train(colour_task.model(), answering(colour_task), settings(tmp_path, epochs=1, max_gradient_norm=0.01))
    assert len(norms) == 3
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_parts_of_a_loss_are_reported(colour_task: ColourTask, tmp_path: Path) -> None:
    """The seam for pre-training: a model whose output has `losses`."""

    class InTwoParts(type(colour_task.model())):
        def forward(self, **inputs):  # type: ignore[no-untyped-def]
            output = super().forward(**inputs)
            if output.loss is not None:
                output.losses = {"first": 0.25 * output.loss, "second": 0.75 * output.loss}
            return output

    model = colour_task.model()
    model.__class__ = InTwoParts
    InTwoParts._forward_keywords = type(colour_task.model())._forward_keywords
    entry = train(model, answering(colour_task), settings(tmp_path, epochs=1)).history[0]
    assert entry["first"] + entry["second"] == pytest.approx(entry["loss"])
    assert entry["second"] == pytest.approx(3 * entry["first"])


@pytest.fixture
def another_precision() -> Iterator[None]:
    """One precision a process is Accelerate's rule."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.usefixtures("another_precision")
def test_bfloat16_and_a_tracker(colour_task: ColourTask, tmp_path: Path) -> None:
    model = colour_task.model()
    result = train(
        model,
        answering(colour_task),
        settings(tmp_path, epochs=10, mixed_precision="bf16", log_with="tensorboard"),
    )
    assert result.history[-1]["loss"] < 0.7 * result.history[0]["loss"]
    assert model.dtype == torch.float32
    logged = EventAccumulator(str(tmp_path / "colours"))
    logged.Reload()
    assert [event.step for event in logged.Scalars("loss")][:3] == [3, 3, 6], "reported and measured"
    assert all(event.value > 0 for event in logged.Scalars("examples_per_second"))


def test_progress_shows_loss_rate_and_time_left(
    colour_task: ColourTask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(colour_task.model(), answering(colour_task), settings(tmp_path, progress=True))
    shown = capsys.readouterr()
    assert "Training colours" in shown.err
    assert "6/6" in shown.err
    assert "lr=0.0e+00" in shown.err
    assert "epoch 2.00, step 6: loss" in shown.out + shown.err


def test_a_loss_that_explodes_stops_the_run(colour_task: ColourTask, tmp_path: Path) -> None:
    model = colour_task.model()
    with torch.no_grad():
        model.answer_head.logit_fc[-1].bias[0] = float("inf")
    before = weights(model)
    with pytest.raises(FloatingPointError, match="At step 1 the loss became nan"):
        train(model, answering(colour_task), settings(tmp_path))
    assert torch.equal(weights(model), before), "the optimiser must not step"
    assert not (tmp_path / "best").exists()


def test_empty_tasks_are_refused(colour_task: ColourTask, tmp_path: Path) -> None:
    for name in ("training", "validation"):
        with pytest.raises(ValueError, match=f"Task colours has no {name} example"):
            train(colour_task.model(), replace(answering(colour_task), **{name: []}), settings(tmp_path))


def test_evaluation_is_in_the_loaders_order_and_restores_the_mode(colour_task: ColourTask) -> None:
    task, model = answering(colour_task), colour_task.model().train()
    loader = DataLoader(task.validation, batch_size=7, collate_fn=task.collate)
    evaluation = evaluate_answers(model, loader)
    assert model.training
    assert evaluation.references == [colour_task.label2id[example.answer] for example in colour_task.examples]
    right = sum(p == r for p, r in zip(evaluation.predictions, evaluation.references, strict=True))
    assert evaluation.accuracy == right / 48


def by_hand(model: runs.CountingModel, batches: list[list[int]], seeds: list[int]) -> list[torch.Tensor]:
    """For each batch, (2,): the sum of its losses and the number of its labels."""
    sums = []
    for indices, seed in zip(batches, seeds, strict=True):
        batch = runs.collate([(index, 0.0) for index in indices])
        torch.manual_seed(seed)
        output = model.train()(**batch)
        sums.append(torch.stack([output.each.sum(), runs.counts(batch)["labelled"]]).detach())
    return sums


@pytest.mark.parametrize("counted", [True, False])
def test_the_loss_of_a_step_is_counted_or_a_mean_of_means(tmp_path: Path, counted: bool) -> None:
    """10 examples in micro-batches of 4, 4 and 2 make one step; the losses by hand, dropout included."""
    model = runs.make_model()
    order = [[index for _, index in batch] for batch in EpochBatches(10, 4, seed=9595)]
    seeds = [stable_seed("computation", 9595, 1, i, 0) for i in range(3)]
    sums = by_hand(copy.deepcopy(model), order, seeds)
    assert len({float(count) for _, count in sums}) > 1, "the batches must differ in their counts"
    task = runs.make_task(training=runs.DrawnRows(10), **({} if counted else {"counts": None}))
    values = runs.make_settings(tmp_path, epochs=1, batch_size=4, gradient_accumulation_steps=5, learning_rate=1e-9)
    (entry, *_) = train(model, task, values).history
    total = torch.stack(sums).sum(0)
    expected = total[0] / total[1] if counted else torch.stack([loss / count for loss, count in sums]).mean()
    assert entry["answer"] == pytest.approx(expected.item(), rel=1e-6)


def scores(summary: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(summary["scores"])


def curve(summary: dict[str, Any]) -> list[float]:
    return [entry[name] for entry in summary["history"] for name in ("loss", "answer_accuracy", "validation_loss")]


def test_counted_accumulation_equals_the_large_batch(tmp_path: Path) -> None:
    """22 examples: three steps of 6 and one of 4 in every epoch; the numbers of labels vary."""
    shared = {"dropout": 0.0, "max_gradient_norm": 1e3}  # clipping would hide a wrong scale
    large = runs.run(str(tmp_path / "large"), batch_size=6, gradient_accumulation_steps=1, **shared)
    small = runs.run(str(tmp_path / "small"), batch_size=2, gradient_accumulation_steps=3, **shared)
    assert [entry["step"] for entry in large["history"]] == [2, 4, 6, 8, 10, 12]
    assert curve(small) == pytest.approx(curve(large), rel=1e-4)
    torch.testing.assert_close(scores(small), scores(large), atol=1e-4, rtol=1e-3)
    assert scores(large).std() > 0.05, "the models must have learned something to compare"


def test_evaluations_do_not_disturb_the_randomness(tmp_path: Path) -> None:
    """Dropout and order are the same however often is measured, and whatever was drawn before."""
    weights_of = []
    for count in (1, 3):
        torch.rand(count)
        weights_of.append(runs.run(str(tmp_path / str(count)), evaluations_per_epoch=count)["weights"])
    assert weights_of[0] == weights_of[1]
    assert runs.run(str(tmp_path / "no dropout"), dropout=0.0)["weights"] != weights_of[0]


def test_accuracies_are_right_by_judged(tmp_path: Path) -> None:
    history = runs.run(str(tmp_path), epochs=1, evaluations_per_epoch=1, learning_rate=1e-9)["history"]
    labelled = sum(index % 4 != 0 for index in range(22))
    right = history[0]["answer_accuracy"] * labelled
    assert right == pytest.approx(round(right), abs=1e-4)
    assert history[0]["loss"] == pytest.approx(history[0]["answer"] + history[0]["extra"])


def test_what_is_not_judged_is_left_out() -> None:
    tally = Tally()
    tally.add(StepFigures({"loss": 1.0}, {"answer": (0.0, 0.0), "word": (1.0, 4.0)}, 1.0))
    assert tally.means() == {"loss": 1, "word_accuracy": 0.25}
    tally.add(StepFigures({"loss": 2.0, "late": 5.0}, {"answer": (2.0, 3.0), "word": (2.0, 2.0)}, 1.0))
    assert tally.means() == {"loss": 1.5, "late": 5, "answer_accuracy": 2 / 3, "word_accuracy": 0.5}


def first_bad_step(bad: int, batch_size: int) -> int:
    """Where the example that is bad in the second epoch comes, without accumulation."""
    batches = EpochBatches(22, batch_size, seed=9595)
    batches.start(1)
    return len(batches) + 1 + next(i for i, batch in enumerate(batches) if (1, bad) in batch)


def test_the_step_with_a_loss_that_is_not_finite_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    original = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *a, **k: (steps.append(1), original(self, *a, **k))[1])
    bad, values = 13, {"batch_size": 10, "gradient_accumulation_steps": 1, "save_state_every": 2}
    message = runs.run(str(tmp_path), bad=bad, **values)["error"]
    step = first_bad_step(bad, 10)
    assert len(steps) == step - 1
    assert message.startswith(f"At step {step} the loss became nan, the extra became nan. The weights were not changed")
    order = EpochBatches(22, 10, seed=9595).batch(1, step - 4)
    described = [f"({index}, {'nan' if index == bad else 0.1})" for _, index in order]
    assert "\n  ".join(described[:8]) in message
    assert message.endswith("\n  and 2 more") == (len(described) == 10)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["best", "history.json", "last", f"state-{(step - 1) // 2 * 2:09d}"]
    assert runs.run(str(tmp_path), bad=bad, resume=True, **values)["error"] == message, "a resumed run stops there, too"


def test_the_task_describes_its_examples(tmp_path: Path) -> None:
    task = runs.make_task(training=runs.DrawnRows(bad=3), describe=lambda row: f"<row {row[0]}>")
    model = runs.make_model()
    before = {name: tensor.requires_grad for name, tensor in model.named_parameters()}
    with pytest.raises(FloatingPointError, match="<row 3>"):
        train(model, task, runs.make_settings(tmp_path))
    assert {name: tensor.requires_grad for name, tensor in model.named_parameters()} == before


def test_a_loss_may_be_infinite_while_its_gradient_is_not(tmp_path: Path) -> None:
    class Infinite(runs.CountingModel):
        def forward(self, **inputs):  # type: ignore[no-untyped-def, override]
            output = super().forward(**inputs)
            output.loss = output.loss + math.inf
            return output

    model = runs.make_model()
    model.__class__ = Infinite
    Infinite._forward_keywords = runs.CountingModel._forward_keywords
    with pytest.raises(FloatingPointError, match="At step 1 the loss became inf. The weights"):
        train(model, runs.make_task(), runs.make_settings(tmp_path))


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    model = runs.make_model()
    model.answer_head.logit_fc[0].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(FloatingPointError, match="At step 1 the gradient's norm became (nan|inf)"):
        train(model, runs.make_task(), runs.make_settings(tmp_path))


def test_frozen_parameters_learn_again_after_the_run(tmp_path: Path) -> None:
    model = runs.make_model()
    mine = model.answer_head.logit_fc[0].weight.requires_grad_(False)
    dead = model.get_parameter(model.parameters_without_gradient()[0])
    before, dead_before = mine.clone(), dead.clone()
    train(model, runs.make_task(), runs.make_settings(tmp_path, epochs=1))
    assert dead.requires_grad
    assert not mine.requires_grad
    assert torch.equal(mine, before)
    assert torch.equal(dead, dead_before)


@pytest.mark.parametrize(("greater", "best"), [(True, 1), (False, 3)])
def test_the_best_is_the_greatest_or_the_least(tmp_path: Path, greater: bool, best: int) -> None:
    """A figure that is not a number is never the best, unless it is the first."""
    values, seen = [math.nan, 0.9, 0.5, 0.1, math.nan, 0.3], []

    def measure(model: torch.nn.Module, *_: object) -> dict[str, float]:
        seen.append(weights(model))
        return {"figure": values[len(seen) - 1]}

    task = runs.make_task(measure=measure, selection="figure", greater_is_better=greater)
    result = train(runs.make_model(), task, runs.make_settings(tmp_path))
    assert result.best_figure == values[best]
    assert torch.equal(weights(runs.CountingModel.from_pretrained(result.best)), seen[best])


def test_sharding_on_cpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    with pytest.raises(ValueError, match=r"Sharded training \(FSDP\) needs GPUs, but this run is on CPU"):
        train(runs.make_model(), runs.make_task(), runs.make_settings(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_large_batch(tmp_path: Path) -> None:
    """Three runs of one start: without and with accumulation, and one that must stop in both processes.

    The parameters that cannot learn are frozen, so that no search for unused ones is needed.
    """
    shared = {"dropout": 0.0, "evaluations_per_epoch": 1}
    one = runs.run(str(tmp_path / "one"), batch_size=8, gradient_accumulation_steps=1, **shared)
    plans: list[dict[str, Any]] = [
        shared | {"folder": str(tmp_path / "two"), "batch_size": 4, "gradient_accumulation_steps": 1},
        shared | {"folder": str(tmp_path / "four"), "batch_size": 2, "gradient_accumulation_steps": 2},
        shared | {"folder": str(tmp_path / "bad"), "batch_size": 5, "gradient_accumulation_steps": 1, "bad": 13},
    ]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, runs.__file__, json.dumps(plans)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for number, name in enumerate(("two", "four")):
        first, second = (json.loads((tmp_path / name / f"summary-{number}-{rank}.json").read_text()) for rank in (0, 1))
        assert first == second | {"operations": first["operations"]}, "the two processes must hold the same model"
        assert [entry["validation_rows"] for entry in first["history"]] == [7, 7, 7]
        assert curve(first) == pytest.approx(curve(one), rel=1e-4)
        # compared by what the models say: Adam turns the rounding of a gradient that is zero into a step
        torch.testing.assert_close(scores(first), scores(one), atol=1e-4, rtol=1e-3)
    assert scores(one).std() > 0.05, "the models must have learned something to compare"
    errors = {json.loads((tmp_path / "bad" / f"summary-2-{rank}.json").read_text())["error"] for rank in (0, 1)}
    assert len(errors) == 1
    assert f"At step {first_bad_step(13, 10)} the loss became nan" in errors.pop()
