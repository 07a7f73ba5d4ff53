"""The task record: what the loop does with it, and what is measured."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from lxmert import LxmertConfig, LxmertForPreTraining, LxmertProcessor
from lxmert.modeling_lxmert import losses
from lxmert.processing import RegionStore, train_wordpiece_tokenizer
from lxmert.training import (
    ORIGINAL_CODE,
    PretrainingCollator,
    PretrainingExamples,
    Task,
    TrainingSettings,
    measure_pretraining,
    pretraining_task,
    train,
)
from lxmert.training.pretraining import _without_duplicates
from tests.training.test_pretraining_collator import WORDS, make_regions
from tests.training.test_pretraining_examples import make_records


@pytest.fixture
def task(tmp_path: Path) -> Task:
    records = make_records(count=24, images=8)
    records = records.map(lambda row, i: {"sentence": " ".join(WORDS[: 1 + i % 7])}, with_indices=True)
    store = RegionStore.create(tmp_path / "regions", [make_regions(number) for number in range(8)])
    examples = PretrainingExamples(records, {"yes": 0, "no": 1}, seed=5)
    processor = LxmertProcessor(train_wordpiece_tokenizer(WORDS))
    return pretraining_task("tiny", examples, examples, processor, store, ORIGINAL_CODE)


def make_model(task: Task, **changes: object) -> LxmertForPreTraining:
    torch.manual_seed(0)
    assert isinstance(task.collate, PretrainingCollator)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "visual_feat_dim": 2}
    sizes |= {"l_layers": 1, "r_layers": 1, "x_layers": 1, "num_object_labels": 3, "num_attr_labels": 2}
    vocabulary = len(task.collate.processor.tokenizer)
    config = LxmertConfig(**(sizes | changes), vocab_size=vocabulary, id2label={0: "yes", 1: "no"})
    return LxmertForPreTraining(config)


def make_settings(folder: Path, **changes: object) -> TrainingSettings:
    values = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "max_gradient_norm": 1.0, "progress": False}
    return TrainingSettings(folder, **(values | changes))


def test_figures_are_means_over_what_is_to_be_predicted(task: Task) -> None:
    model = make_model(task).eval()
    batch = task.collate([task.validation[i] for i in range(24)])
    loader = DataLoader(task.validation, batch_size=24, collate_fn=task.collate)
    figures = measure_pretraining(model, loader, Accelerator(cpu=True))

    with torch.no_grad():
        output = model(**(batch | {"return_logits": True}))
    masked = batch["obj_labels"]["feat"][1] > 0
    for name in ("obj", "attr"):
        classes = batch["obj_labels"][name][0]
        chosen = masked & (classes >= 0)
        logits = output.visual_predictions[name]
        expected = torch.nn.functional.cross_entropy(logits[chosen], classes[chosen])
        assert figures[name] == pytest.approx(expected.item(), rel=1e-5)
        right = (logits[chosen].argmax(-1) == classes[chosen]).float().mean()
        assert figures[f"{name}_accuracy"] == pytest.approx(right.item())
    targets = batch["obj_labels"]["feat"][0]
    expected = torch.nn.functional.smooth_l1_loss(output.visual_predictions["feat"][masked], targets[masked])
    assert figures["feat"] == pytest.approx(expected.item(), rel=1e-5)
    for name in ("mask_lm", "matched", "qa"):
        assert figures[name] == pytest.approx(output.losses[name].item(), rel=1e-5)
    parts = ("mask_lm", "matched", "obj", "attr", "feat", "qa")
    assert figures["loss"] == pytest.approx(sum(figures[name] for name in parts))


def test_figures_of_grounding(task: Task) -> None:
    weights = {"grounding_loss_weight": 3.0, "count_loss_weight": 0.5}  # which figures do not depend on
    model = make_model(task, task_grounding=True, num_count_labels=3, **weights).eval()
    generator = torch.Generator().manual_seed(0)
    batches = list(DataLoader(task.validation, batch_size=8, collate_fn=task.collate))
    for batch in batches:
        shape = (*batch["input_ids"].shape, batch["visual_feats"].shape[1])
        batch["grounding_labels"] = torch.randint(-1, 2, shape, generator=generator, dtype=torch.int8)
        batch["count_labels"] = torch.randint(-1, 3, shape[:2], generator=generator)
    batches[1]["grounding_labels"][:] = batches[1]["count_labels"][:] = -100
    figures = measure_pretraining(model, batches, Accelerator(cpu=True))  # type: ignore[arg-type]

    pairs, yes, words, numbers = [], [], [], []
    with torch.no_grad():
        for batch in batches:
            output = model(**(batch | {"return_logits": True}))
            pairs.append(output.grounding_logits[batch["grounding_labels"] >= 0])
            yes.append(batch["grounding_labels"][batch["grounding_labels"] >= 0].float())
            words.append(output.count_logits[batch["count_labels"] >= 0])
            numbers.append(batch["count_labels"][batch["count_labels"] >= 0])
    logits, labels = torch.cat(pairs), torch.cat(yes)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert figures["grounding"] == pytest.approx(expected.item(), rel=1e-5)
    assert figures["grounding_accuracy"] == pytest.approx(((logits > 0) == (labels > 0)).float().mean().item())
    logits, labels = torch.cat(words), torch.cat(numbers)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert figures["count"] == pytest.approx(expected.item(), rel=1e-5)
    assert figures["count_accuracy"] == pytest.approx((logits.argmax(-1) == labels).float().mean().item())
    parts = ("mask_lm", "matched", "obj", "attr", "feat", "qa", "grounding", "count")
    assert figures["loss"] == pytest.approx(sum(figures[name] for name in parts))


def test_figures_do_not_depend_on_batches_or_objectives(task: Task) -> None:
    model = make_model(task)
    accelerator = Accelerator(cpu=True)
    loaders = [DataLoader(task.validation, batch_size=size, collate_fn=task.collate) for size in (5, 24)]
    small, large = (measure_pretraining(model, loader, accelerator) for loader in loaders)
    assert small == pytest.approx(large, rel=1e-5)
    assert model.training
    model.config.visual_label_regions = "masked"
    model.config.visual_loss_normalizer = 1.0
    assert measure_pretraining(model, loaders[1], accelerator) == pytest.approx(large, rel=1e-5)


def test_the_loop_learns_reports_and_keeps_the_lowest_loss(task: Task, tmp_path: Path) -> None:
    result = train(make_model(task), task, make_settings(tmp_path, epochs=12))
    first, last = result.history[0], result.history[-1]
    for name in ("mask_lm", "matched", "obj", "attr", "feat", "qa"):
        assert f"validation_{name}" in last
        assert name in last
    assert {"mask_lm_accuracy", "matched_accuracy", "obj_accuracy", "attr_accuracy", "qa_accuracy"} <= last.keys()
    assert last["loss"] < 0.9 * first["loss"]
    assert result.best_figure == min(entry["validation_loss"] for entry in result.history)
    loaded = LxmertForPreTraining.from_pretrained(result.best)
    assert loaded.config.id2label == {0: "yes", 1: "no"}


def test_tasks_that_are_off_are_not_measured(task: Task, tmp_path: Path) -> None:
    model = make_model(task, task_qa=False, visual_attr_loss=False)
    history = train(model, task, make_settings(tmp_path)).history
    assert not [name for name in history[0] if "qa" in name or "attr" in name]


def test_answers_that_join_later(task: Task, tmp_path: Path) -> None:
    examples = task.training
    assert isinstance(examples, PretrainingExamples)
    later = PretrainingExamples(examples.records, examples.label2id, answers_from_epoch=1, seed=5)
    history = train(make_model(task), replace(task, training=later), make_settings(tmp_path)).history
    assert history[0]["qa"] == 0
    assert "qa_accuracy" not in history[0]
    assert history[1]["qa"] > 0.3
    assert history[0]["validation_qa"] > 0.3, "held-out questions are answered all the time"


@pytest.mark.parametrize("split", [2, 4])
def test_micro_batches_equal_the_large_batch(task: Task, tmp_path: Path, split: int) -> None:
    """Words and answers with a label differ in number from micro-batch to micro-batch, and so does the padding."""
    runs = []
    for size, steps in ((8, 1), (8 // split, split)):
        model = make_model(task, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        changes = {"batch_size": size, "gradient_accumulation_steps": steps}
        history = train(model, task, make_settings(tmp_path / str(steps), **changes)).history
        runs.append((torch.cat([p.detach().flatten() for p in model.parameters()]), history))
    (large, one), (small, many) = runs
    for name in ("loss", "mask_lm", "obj", "feat", "qa", "validation_loss"):
        assert many[-1][name] == pytest.approx(one[-1][name], rel=1e-4)
    assert (large - small).abs().mean() < 1e-5


def test_a_loss_that_is_not_finite_names_the_examples(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(task)
    original, calls = losses.feature_regression_loss, []

    def breaks(*arguments: object, **keywords: object) -> torch.Tensor:
        calls.append(1)
        return original(*arguments, **keywords) * (float("nan") if len(calls) == 6 and model.training else 1)

    monkeypatch.setattr("lxmert.modeling_lxmert.pretraining.feature_regression_loss", breaks)
    with pytest.raises(FloatingPointError, match=r"feat") as error:
        train(model, task, make_settings(tmp_path))
    assert "image 'image " in str(error.value)
    assert "sentence '" in str(error.value)
    kept = json.loads((tmp_path / "history.json").read_text())
    assert [entry["step"] for entry in kept] == [3], "the checkpoint of the first epoch is the last good one"
    weights = LxmertForPreTraining.from_pretrained(tmp_path / "last").state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.parametrize(("process", "kept", "share"), [(0, 8, 1), (1, 3, 1), (2, 1, 0)])
def test_repeated_examples_of_the_last_batches_do_not_count(process: int, kept: int, share: int) -> None:
    """Three processes, batches of 8, 11 examples left: 8 in the first, 3 in the second, none in the third."""
    state = SimpleNamespace(end_of_dataloader=True, remainder=11)
    accelerator = SimpleNamespace(gradient_state=state, process_index=process)
    batch = {"input_ids": torch.arange(8), "obj_labels": {"feat": (torch.arange(16).reshape(8, 2), torch.ones(8))}}
    part, counted = _without_duplicates(batch, accelerator)
    assert counted == share
    assert torch.equal(part["input_ids"], torch.arange(kept))
    assert len(part["obj_labels"]["feat"][0]) == len(part["obj_labels"]["feat"][1]) == kept
    state.end_of_dataloader = False
    assert _without_duplicates(batch, accelerator) == (batch, 1)


def test_the_numbers_follow_what_is_kept(task: Task) -> None:
    accelerator = SimpleNamespace(gradient_state=SimpleNamespace(end_of_dataloader=True, remainder=5), process_index=0)
    batch = task.collate([task.validation[i] for i in range(24)])
    kept, _ = _without_duplicates(batch, accelerator)  # type: ignore[arg-type]
    alone = task.collate([task.validation[i] for i in range(5)])
    names = ("word_count", "region_count", "labelled_word_count", "masked_region_count")
    assert [kept[name] for name in names] == [alone[name] for name in names]
    assert [batch[name] for name in names] != [alone[name] for name in names]


def test_shared_images_are_not_measured(task: Task) -> None:
    assert task.images is not None
    loader = DataLoader(task.validation, 8, collate_fn=task.images.collator(task.images.regions, True))
    with pytest.raises(ValueError, match="collate them without share_images"):
        measure_pretraining(make_model(task), loader, Accelerator(cpu=True))


def test_figures_of_nothing_are_left_out(task: Task) -> None:
    examples = task.validation
    assert isinstance(examples, PretrainingExamples)
    unknown = PretrainingExamples(examples.records, {}, seed=5)
    loader = DataLoader(unknown, batch_size=24, collate_fn=task.collate)
    figures = measure_pretraining(make_model(task), loader, Accelerator(cpu=True))
    assert "qa" not in figures
    assert "qa_accuracy" not in figures
    assert figures["loss"] == pytest.approx(sum(figures[n] for n in ("mask_lm", "matched", "obj", "attr", "feat")))


def test_a_batch_of_repetitions_adds_nothing(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    model, accelerator = make_model(task), Accelerator(cpu=True)
    whole = DataLoader(task.validation, batch_size=8, collate_fn=task.collate)
    first = [batch for batch, _ in zip(whole, range(2), strict=False)]
    expected = measure_pretraining(model, first, accelerator)  # type: ignore[arg-type]
    shares = iter([1, 1, 0])
    monkeypatch.setattr("lxmert.training.pretraining._without_duplicates", lambda batch, _: (batch, next(shares)))
    assert measure_pretraining(model, whole, accelerator) == expected
