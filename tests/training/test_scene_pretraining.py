"""Learning from scenes: the same batches for the same epoch, and the record in the loop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from lxmert import LxmertConfig, LxmertForPreTraining
from lxmert.modeling_lxmert import loss_counts
from lxmert.scenes import Samples
from lxmert.training import Task, TrainingSettings, train
from lxmert.training.masking import ORIGINAL_CODE
from lxmert.training.scene_batches import Augmentation, SceneBatches
from lxmert.training.scene_pretraining import DrawnBatches, answer_scenes, scene_task
from lxmert.training.task import Batch, DrawnExamples
from tests.training.test_scene_batches import drawn_samples, scene_tokenizer

COUNT, SIZE = 4, 16


def some(count: int, skip: int = 0) -> Samples:
    """The first samples, or later ones."""
    samples, rows = drawn_samples(), slice(skip, skip + count)
    names = ("sentence", "scene", "truth", "regions")
    return replace(samples, **{name: getattr(samples, name)[rows] for name in names})


def batches_of(epoch: int) -> SceneBatches:
    """Other samples in every epoch."""
    return SceneBatches(some(64, skip=8 * epoch), scene_tokenizer(), augmentation=Augmentation())


def drawn(seed: int = 0, count: int = COUNT, size: int = SIZE) -> DrawnBatches:
    return DrawnBatches(batches_of, count, size, seed)


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def make_model(**changes: object) -> LxmertForPreTraining:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "visual_feat_dim": 10}
    sizes |= {"l_layers": 1, "r_layers": 1, "x_layers": 1, "num_object_labels": 4, "num_attr_labels": 3}
    others = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
    tasks = {"task_matched": False, "task_mask_lm": False, "task_obj_predict": False, "task_grounding": True}
    answers = {"vocab_size": len(scene_tokenizer()), "id2label": {0: "false", 1: "true"}}
    return LxmertForPreTraining(LxmertConfig(**(sizes | others | tasks | answers | changes)))


def make_settings(folder: Path, **changes: object) -> TrainingSettings:
    values = {"batch_size": 1, "learning_rate": 3e-3, "max_gradient_norm": 1.0, "warmup_share": 0.1, "progress": False}
    return TrainingSettings(folder, **(values | changes))


def make_task(training: DrawnBatches, validation: SceneBatches | None = None, **changes: object) -> Task:
    validation = validation or SceneBatches(some(64), scene_tokenizer())
    return scene_task("scenes", training, validation, **changes)  # type: ignore[arg-type]


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_the_same_epoch_gives_the_same_batches() -> None:
    keys = [(epoch, index) for epoch in range(2) for index in range(COUNT)]
    training, fresh = drawn(), drawn()
    assert isinstance(training, DrawnExamples)
    assert len(training) == COUNT
    first = {key: training.collate([training.draw(*key)]) for key in keys}
    for key in reversed(keys):  # epochs the other way round
        assert same(first[key], fresh.collate([fresh.draw(*key)]))
    for key in keys[1:]:
        assert first[key].keys() == first[keys[0]].keys()
        assert first[key]["visual_pos"].shape != first[0, 0]["visual_pos"].shape or not same(first[key], first[0, 0])
    assert not any(
        first[0, index]["visual_pos"].shape == first[1, index]["visual_pos"].shape
        and same(first[0, index], first[1, index])
        for index in range(COUNT)
    )
    other = drawn(seed=1)
    assert [other.collate([(0, index)])["ans"].tolist() for index in range(COUNT)] != [
        first[0, index]["ans"].tolist() for index in range(COUNT)
    ]


class Rows:
    """In the place of `SceneBatches`: a batch holds its rows and a random number."""

    def __init__(self, count: int):
        self.count = count

    def order(self, size: int, generator: np.random.Generator) -> list[np.ndarray]:
        return list(generator.permutation(self.count).reshape(-1, size))

    def batch(self, rows: np.ndarray, generator: np.random.Generator) -> Batch:
        return {"rows": rows.tolist(), "varied": generator.random()}


def test_every_sample_comes_once_in_an_epoch_and_epochs_are_made_once() -> None:
    made = []

    def make(epoch: int) -> Rows:
        made.append(epoch)
        return Rows(64)

    training = DrawnBatches(make, 8, 16, seed=0)  # type: ignore[arg-type]
    batches = [training.collate([(0, index)]) for index in range(8)]
    assert sorted(row for batch in batches[:4] for row in batch["rows"]) == list(range(64))
    assert [batch["rows"] for batch in batches[4:]] == [batch["rows"] for batch in batches[:4]], "it begins again"
    assert len({batch["varied"] for batch in batches}) == 8, "but is varied otherwise"
    assert made == [0]
    later = [training.collate([(1, index)]) for index in range(8)]
    assert made == [0, 1]
    other = DrawnBatches(lambda epoch: Rows(64), 8, 16, seed=1)  # type: ignore[arg-type, return-value]
    for found in (later, [other.collate([(0, index)]) for index in range(8)]):
        assert [batch["rows"] for batch in found] != [batch["rows"] for batch in batches]
        assert not {batch["varied"] for batch in found} & {batch["varied"] for batch in batches}


def test_a_small_model_learns_its_samples_by_heart(tmp_path: Path) -> None:
    """The best checkpoint is the one with the most right answers, and says so again."""
    source = SceneBatches(some(64), scene_tokenizer())
    training = DrawnBatches(lambda epoch: source, 8, SIZE, seed=0)
    task = make_task(training, source, saved_with_model=(scene_tokenizer(),))
    model = make_model()
    result = train(model, task, make_settings(tmp_path, epochs=30, learning_rate=5e-3))
    course = [entry["validation_accuracy"] for entry in result.history]
    assert course[0] < 0.8
    assert result.best_figure == max(course) == 1
    assert result.history[-1]["qa"] < 0.05
    assert result.history[-1]["grounding"] < 0.5 * result.history[0]["grounding"]
    assert result.history[-1]["count"] < 0.5 * result.history[0]["count"]
    best = LxmertForPreTraining.from_pretrained(result.best)
    assert (answer_scenes(best, source) == source.samples.truth).all()
    assert BertTokenizer.from_pretrained(result.best).get_vocab() == scene_tokenizer().get_vocab()


def test_the_checkpoint_with_the_highest_accuracy_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, seen = SceneBatches(some(10), scene_tokenizer()), []
    right = iter([5, 9, 7])

    def answers(model: torch.nn.Module, *_: object) -> np.ndarray:
        seen.append(weights(model))
        number, truth = next(right), source.samples.truth
        return np.where(np.arange(10) < number, truth, 1 - truth)

    monkeypatch.setattr("lxmert.training.scene_pretraining.answer_scenes", answers)
    result = train(make_model(), make_task(drawn(count=1), source), make_settings(tmp_path, epochs=3))
    assert [entry["validation_accuracy"] for entry in result.history] == [0.5, 0.9, 0.7]
    assert torch.equal(weights(LxmertForPreTraining.from_pretrained(result.best)), seen[1])
    assert torch.equal(weights(LxmertForPreTraining.from_pretrained(result.last)), seen[2])


@pytest.mark.parametrize("objectives", [None, ORIGINAL_CODE])
def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(tmp_path: Path, objectives: object) -> None:
    def run(folder: Path, stops_at: int | None = None, resume: bool = False) -> tuple[torch.Tensor, list]:
        def make(epoch: int) -> SceneBatches:
            samples = some(64, skip=8 * epoch)
            return SceneBatches(samples, scene_tokenizer(), augmentation=Augmentation(), objectives=objectives)  # type: ignore[arg-type]

        five = objectives is not None
        model = make_model(task_matched=five, task_mask_lm=five, task_obj_predict=five, hidden_dropout_prob=0.1)
        forwards = 0

        def stop(module: torch.nn.Module, *_: object) -> None:
            nonlocal forwards
            forwards += module.training
            if forwards == stops_at:
                raise KeyboardInterrupt

        model.register_forward_pre_hook(stop)
        task = make_task(DrawnBatches(make, COUNT, SIZE, seed=0))
        result = train(model, task, make_settings(folder, epochs=3, save_state_every=3, resume=resume))
        return weights(model), result.history

    expected, course = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", stops_at=8)  # in the second epoch, two steps behind a saved state
    found, again = run(tmp_path / "stopped", resume=True)
    assert torch.equal(found, expected)
    assert again == course


def test_a_run_with_another_seed_of_the_batches_does_not_go_on(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, epochs=1)
    train(make_model(), make_task(drawn(count=1)), settings)
    with pytest.raises(ValueError, match="seed of the batches"):
        train(make_model(), make_task(drawn(count=1, seed=1)), replace(settings, resume=True))


def test_answers_do_not_depend_on_batches() -> None:
    model, samples = make_model(hidden_dropout_prob=0.5).eval(), some(40)
    batches = SceneBatches(samples, scene_tokenizer())
    with torch.no_grad():  # half of the answers become "true"
        scores = model(**batches.batch(np.arange(40), np.random.default_rng(0))).question_answering_score
        model.answer_head.logit_fc[-1].bias[1] -= (scores[:, 1] - scores[:, 0]).quantile(0.5)
    answers = answer_scenes(model.train(), batches, batch_size=7)
    assert model.training
    with torch.no_grad():
        for row in range(40):
            batch = batches.batch([row], np.random.default_rng(0))
            scores = model.eval()(**batch).question_answering_score[0]
            assert answers[row] == int(scores[1] > scores[0])
    assert answers.sum() == 20
    assert answers.dtype == np.int8
    assert answer_scenes(model, batches, batch_size=40).tolist() == answers.tolist()
    assert not model.training


def test_losses_are_divided_by_counts() -> None:
    task = make_task(drawn())
    assert task.counts is loss_counts
    assert task.identity == {"batches": 4, "samples in a batch": 16, "seed of the batches": 0}


def test_what_is_refused(tmp_path: Path) -> None:
    for count, size in ((0, 16), (4, 0)):
        with pytest.raises(ValueError, match=f"at least one sample, got {count} batches of {size}"):
            DrawnBatches(batches_of, count, size, seed=0)
    with pytest.raises(ValueError, match="An example is a whole batch: set the loop's batch_size to 1, got 2 at once"):
        train(make_model(), make_task(drawn()), make_settings(tmp_path, epochs=1, batch_size=2))
    empty = DrawnBatches(lambda epoch: SceneBatches(some(0), scene_tokenizer()), 1, 16, seed=0)
    with pytest.raises(ValueError, match="samples is empty"):
        empty.collate([(0, 0)])
    for changes in ({"augmentation": Augmentation()}, {"objectives": ORIGINAL_CODE}):
        varied = SceneBatches(some(8), scene_tokenizer(), **changes)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="validation must be what it is in every evaluation: make it without"):
            make_task(drawn(), varied)
