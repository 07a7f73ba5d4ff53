import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch.utils.data import DataLoader
from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

from lxmert.training import Task, TrainingSettings, evaluate_answers, question_answering_task, train
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
    colours = replace(colour_task, examples=[e for e in colour_task.examples if e.question.startswith("what")])
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


def test_bfloat16_and_a_tracker(colour_task: ColourTask, tmp_path: Path) -> None:
    AcceleratorState._reset_state()  # one precision a process is Accelerate's rule
    model = colour_task.model()
    result = train(
        model,
        answering(colour_task),
        settings(tmp_path, epochs=10, mixed_precision="bf16", log_with="tensorboard"),
    )
    assert result.history[-1]["loss"] < 0.7 * result.history[0]["loss"]
    assert model.dtype == torch.float32
    assert list(tmp_path.rglob("events.out.tfevents.*"))
    AcceleratorState._reset_state()


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


def test_bad_settings_and_empty_tasks_are_refused(colour_task: ColourTask, tmp_path: Path) -> None:
    for changes, message in (
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"warmup_share": 1.5}, r"warmup_share must lie in \[0, 1\], got 1.5"),
        ({"weight_decay": -1}, "weight_decay must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            settings(tmp_path, **changes)
    task = answering(colour_task)
    with pytest.raises(ValueError, match="Task colours has no training example"):
        train(
            colour_task.model(),
            Task(task.name, [], task.validation, task.collate, task.measure, task.selection),
            settings(tmp_path),
        )


def test_evaluation_is_in_the_loaders_order_and_restores_the_mode(colour_task: ColourTask) -> None:
    task, model = answering(colour_task), colour_task.model().train()
    loader = DataLoader(task.validation, batch_size=7, collate_fn=task.collate)
    evaluation = evaluate_answers(model, loader)
    assert model.training
    assert evaluation.references == [colour_task.label2id[example.answer] for example in colour_task.examples]
    right = sum(p == r for p, r in zip(evaluation.predictions, evaluation.references, strict=True))
    assert evaluation.accuracy == right / 48


TWO_PROCESSES = """
import sys, torch
from lxmert.training import Task, TrainingSettings, train
from lxmert import LxmertConfig, LxmertForQuestionAnswering

torch.manual_seed(0)
sizes = dict(vocab_size=9, hidden_size=8, num_attention_heads=1, intermediate_size=8, num_qa_labels=3)
model = LxmertForQuestionAnswering(LxmertConfig(**sizes, l_layers=1, r_layers=1, x_layers=1, visual_feat_dim=2,
                                                hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
examples = list(range(12))

def collate(rows):
    ids = torch.tensor(rows)
    words = torch.stack([ids % 8 + 1, ids % 5 + 1, ids % 3 + 1], -1)
    feats = torch.stack([ids.float().sin(), ids.float().cos()], -1)[:, None].repeat(1, 2, 1)
    feats[:, 1] = 1 - 2 * feats[:, 1]
    return {"input_ids": words, "visual_feats": feats, "visual_pos": feats.sigmoid().repeat(1, 1, 2), "labels": ids % 3}

def measure(model, loader, accelerator):
    gathered = [accelerator.gather_for_metrics(batch["input_ids"]) for batch in loader]
    return {"rows": float(sum(len(rows) for rows in gathered))}

task = Task("two", examples, examples[:7], collate, measure, "rows")
size = int(sys.argv[2])
result = train(model, task, TrainingSettings(sys.argv[1], epochs=8, batch_size=size, evaluation_batch_size=2,
                                             learning_rate=1e-3, progress=False))
print("loss", [entry["loss"] for entry in result.history])
print("logits", model(**collate(examples)).logits.tolist())
assert result.history[-1]["validation_rows"] == 7, result.history
"""


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_large_batch(tmp_path: Path) -> None:
    """The parameters that cannot learn are frozen, so that no search for unused ones is needed."""
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    logits = []
    for command in ([sys.executable, script, tmp_path / "one", "12"], [*torchrun, script, tmp_path / "two", "6"]):
        run = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert run.returncode == 0, run.stderr[-3000:]
        lines = [line for line in run.stdout.splitlines() if line.startswith("logits ")]
        logits += [torch.tensor(json.loads(line.removeprefix("logits "))) for line in lines]
    # compared by what the models say: Adam turns the rounding of a gradient that is zero into a step
    one, first, second = logits
    assert torch.equal(first, second), "the two processes must hold the same model"
    torch.testing.assert_close(first, one, atol=1e-4, rtol=1e-3)
    assert one.std() > 0.05, "the models must have learned something to compare"
