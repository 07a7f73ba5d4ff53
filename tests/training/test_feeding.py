"""Regions shared by the sentences of a batch, and regions out of a table: the same batches and the same weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from lxmert import LxmertForPreTraining, LxmertProcessor, Regions
from lxmert.processing import Question, QuestionTable, RegionStore, train_wordpiece_tokenizer
from lxmert.processing.region_table import RegionTable
from lxmert.training import (
    ORIGINAL_CODE,
    AnswerCollator,
    PretrainingCollator,
    PretrainingExamples,
    Task,
    TrainingSettings,
    pretraining_task,
    question_answering_task,
    train,
)
from lxmert.training.feeding import Feeding, fill, number_images, question_images
from lxmert.training.task import Batch
from tests.training.conftest import ColourTask
from tests.training.test_pretraining import make_model, make_settings
from tests.training.test_pretraining_collator import WORDS, make_regions
from tests.training.test_pretraining_examples import make_records

OBJECTIVES = replace(ORIGINAL_CODE, region_rate=0.4, region_replaced=0.3, region_blanked=0.5)


def make_task(folder: Path) -> Task:
    """40 sentences of one to seven words about 8 images."""
    records = make_records(count=40, images=8)
    records = records.map(lambda row, i: {"sentence": " ".join(WORDS[: 1 + i % 7])}, with_indices=True)
    regions = [make_regions(number) for number in range(8)]
    store = RegionStore.create(folder / "regions", regions, features_dtype="float32")
    examples = PretrainingExamples(records, {"yes": 0, "no": 1}, seed=5)
    processor = LxmertProcessor(train_wordpiece_tokenizer(WORDS))
    return pretraining_task("tiny", examples, examples, processor, store, OBJECTIVES)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path)


def tensors_of(batch: Batch) -> dict[str, Any]:
    """All of a batch by name, the labels of regions as names of their own."""
    labels = batch.get("obj_labels", {})
    nested = {f"{name} {i}": pair[i] for name, pair in labels.items() for i in (0, 1)}
    return {name: value for name, value in batch.items() if name != "obj_labels"} | nested


def assert_same(found: Batch, expected: Batch) -> None:
    one, other = tensors_of(found), tensors_of(expected)
    assert one.keys() == other.keys()
    for name, value in other.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(one[name], value), name
            assert one[name].dtype == value.dtype, name
        else:
            assert one[name] == value, name


def with_repeated_images(batch: Batch) -> Batch:
    """The plain batch that one with shared images stands for."""
    batch = dict(batch)
    rows = batch.pop("image_indices")
    for name in ("visual_feats", "visual_pos", "visual_attention_mask"):
        batch[name] = batch[name][rows]
    if "obj_labels" in batch:
        batch["obj_labels"] = {name: (one[rows], two[rows]) for name, (one, two) in batch["obj_labels"].items()}
    return batch | {"region_count": int(batch["visual_attention_mask"].sum())}


@pytest.mark.parametrize("shared", [False, True])
def test_rows_of_a_pretraining_batch_become_the_batch(task: Task, shared: bool) -> None:
    assert task.images is not None
    regions, ids = task.images.regions, [f"image {number}" for number in range(8)]
    table = RegionTable.load(regions, ids, features_dtype="float32", progress=False)
    kinds = torch.zeros(3)
    for epoch in range(10):
        examples = [task.training.draw(epoch, index) for index in range(40)]  # type: ignore[union-attr]
        rows = task.images.collator(table.places, shared)(examples)
        assert not rows.keys() & {"visual_feats", "obj_labels"}
        assert_same(fill(rows, table), task.images.collator(regions, shared)(examples))
        masked, shown, target = rows["masked_regions"] > 0, rows["shown_rows"], rows["target_rows"]
        each = [shown == 0, shown == target, (shown != target) & (shown != 0)]
        kinds += torch.stack([(kind & masked).sum() for kind in each])
    assert (kinds / kinds.sum()).tolist() == pytest.approx([0.5, 0.2, 0.3], abs=0.12), "zeroed, kept, replaced"


@pytest.mark.parametrize("withhold", [None, "image", "question"])
@pytest.mark.parametrize("shared", [False, True])
def test_rows_of_questions_become_the_batch(colour_task: ColourTask, withhold: Any, shared: bool) -> None:
    table = RegionTable.load(colour_task.store, list(colour_task.store), progress=False)
    plain, rows = (
        AnswerCollator(colour_task.processor, source, colour_task.label2id, withhold, share_images=shared)
        for source in (colour_task.store, table.places)
    )
    assert_same(fill(rows(colour_task.examples[:9]), table), plain(colour_task.examples[:9]))


def test_rows_of_pairs_of_images_become_the_batch(colour_task: ColourTask) -> None:
    table = RegionTable.load(colour_task.store, list(colour_task.store), progress=False)
    pairs = [
        Question(("image 0", "image 5"), "is it red?", {"yes": 1.0}),
        Question(("image 5", "image 2"), "what color is it?", {"no": 1.0}),
    ]
    plain, rows = (
        AnswerCollator(colour_task.processor, source, colour_task.label2id)(pairs)
        for source in (colour_task.store, table.places)
    )
    assert rows["target_rows"].dim() == 3
    assert_same(fill(rows, table), plain)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def answering(colours: ColourTask) -> Task:
    """Five questions about each of 24 images."""
    examples = [*colours.examples, *colours.examples, *colours.examples[::2]]
    return question_answering_task(
        "colours", examples, colours.examples, colours.processor, colours.store, colours.label2id
    )


Run = tuple[torch.Tensor, list[dict[str, float]]]


@pytest.fixture(params=["pre-training", "question answering"])
def run(request: pytest.FixtureRequest, task: Task, colour_task: ColourTask, tmp_path: Path) -> Callable[..., Run]:
    """Trains a small model without dropout and gives its weights and history."""
    pretraining = request.param == "pre-training"
    known = task if pretraining else answering(colour_task)

    def trained(name: str, changed: Callable[[Task], Task] = lambda task: task, **settings: object) -> Run:
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = make_model(task, **dropout) if pretraining else colour_task.model()
        result = train(model, changed(known), make_settings(tmp_path / name, **({"batch_size": 6} | settings)))
        return weights(model), result.history

    return trained


@pytest.mark.parametrize("together", [1, 3])
def test_resident_regions_train_the_same_weights(run: Callable[..., Run], together: int) -> None:
    """Bit for bit: the batches are the same, those of the validation, too."""
    plain, history = run("plain", sentences_per_image=together)
    resident, same = run("resident", sentences_per_image=together, resident_regions="float32")
    assert same == history
    assert torch.equal(resident, plain)


def test_features_in_half_precision_are_rounded(run: Callable[..., Run]) -> None:
    plain, history = run("plain")
    half, close = run("half", resident_regions="float16")
    assert close[-1]["loss"] == pytest.approx(history[-1]["loss"], rel=1e-2)
    assert (half - plain).abs().mean() < 1e-3


def test_shared_images_train_the_weights_of_repeated_ones(run: Callable[..., Run]) -> None:
    """The same batches, each image encoded once or once for each sentence; micro-batches of different counts."""
    settings = {"sentences_per_image": 4, "gradient_accumulation_steps": 2, "learning_rate": 1e-3}
    images: list[tuple[int, int]] = []

    def repeating(task: Task) -> Task:
        assert task.images is not None
        make = task.images.collator

        def collator(regions: Any, share_images: bool) -> Any:
            collate = make(regions, share_images)

            def repeated(examples: list[Any]) -> Batch:
                batch = collate(examples)
                if share_images:
                    images.append((len(batch["visual_feats"]), len(batch["input_ids"])))
                return with_repeated_images(batch) if share_images else batch

            return repeated

        return replace(task, images=replace(task.images, collator=collator))

    shared, history = run("shared", **settings)
    repeated, expected = run("repeated", repeating, **settings)
    assert sum(image for image, _ in images) < 0.6 * sum(sentence for _, sentence in images)
    assert [entry.keys() for entry in history] == [entry.keys() for entry in expected]
    for entry, other in zip(history, expected, strict=True):
        assert entry == pytest.approx(other, rel=1e-4)
    # compared by their mean: Adam turns the rounding of a gradient that is zero into a step
    assert (shared - repeated).abs().mean() < 1e-5
    alone, _ = run("alone", **(settings | {"sentences_per_image": 1}))
    assert (shared - alone).abs().mean() > 1e-4, "another order must be noticed"


def test_a_stopped_run_goes_on_to_the_same_end(task: Task, tmp_path: Path) -> None:
    settings = {"sentences_per_image": 3, "resident_regions": "float32", "save_state_every": 3, "batch_size": 8}
    whole = make_model(task)
    train(whole, task, make_settings(tmp_path / "whole", **settings))
    stopped, seen = make_model(task), []

    def stop(module: torch.nn.Module, *_: Any) -> None:
        seen.append(module.training)
        if sum(seen) == 9:  # in the second of two epochs of 5 steps
            raise KeyboardInterrupt

    stopped.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, task, make_settings(tmp_path / "stopped", **settings))
    settings["resume"] = True
    for name, value in (("sentences_per_image", 2), ("resident_regions", None)):
        with pytest.raises(ValueError, match=f"it has {name} .*, now {value}"):
            train(make_model(task), task, make_settings(tmp_path / "stopped", **(settings | {name: value})))
    resumed = make_model(task)
    train(resumed, task, make_settings(tmp_path / "stopped", **settings))
    assert torch.equal(weights(resumed), weights(whole))


def bytes_of(batch: Batch) -> int:
    return sum(value.nbytes for value in tensors_of(batch).values() if isinstance(value, torch.Tensor))


def test_bytes_that_are_sent(tmp_path: Path) -> None:
    """At the paper's size a pair needs 20 wordpieces of four kinds, 36 rows twice and a mask of regions."""
    generator = np.random.default_rng(0)
    regions = [
        Regions(generator.random((36, 2048)), [[0, 0, 9, 9]] * 36, (10, 10), image_id=f"image {number}")
        for number in range(2)
    ]
    store = RegionStore.create(tmp_path / "store", regions)
    table = RegionTable.load(store, list(store), progress=False)
    columns = {"image_id": ["image 0", "image 1"], "sentence": [" ".join(WORDS * 5)] * 2}
    empty = {"answers": [[], []], "scores": [[], []]}
    examples = PretrainingExamples(datasets.Dataset.from_dict(columns | empty), {})
    processor = LxmertProcessor(train_wordpiece_tokenizer(WORDS))
    plain, rows = (
        PretrainingCollator(processor, source, ORIGINAL_CODE)([examples[0], examples[1]])
        for source in (store, table.places)
    )
    sent = 20 * 4 * 8 + 2 * 8  # wordpieces, and two labels of the pair
    labels = 36 * (2 * (8 + 4) + 4)  # classes and confidences of two kinds, the mask
    assert bytes_of(plain) == 2 * (sent + 2 * 36 * 2048 * 4 + 36 * (4 * 4 + 8) + labels)
    assert bytes_of(rows) == 2 * (sent + 36 * (8 + 8 + 4))
    assert bytes_of(plain) > 400 * bytes_of(rows)
    assert_same(fill(rows, table), plain)


def test_images_are_numbered_as_they_come(task: Task, tmp_path: Path) -> None:
    questions = [Question((image,), "what?", {}, str(i)) for i, image in enumerate("bacab")]
    assert number_images(question_images(questions)).tolist() == [0, 1, 2, 1, 0]
    table = QuestionTable.write(questions, tmp_path)
    assert number_images(question_images(table)).tolist() == [0, 1, 2, 1, 0]
    assert number_images(question_images(table.select([3, 4, 1]))).tolist() == [0, 1, 0]
    assert isinstance(task.training, PretrainingExamples)
    assert number_images(task.training.images()).tolist() == [i % 8 for i in range(40)]
    chosen = PretrainingExamples(task.training.records.select([9, 8, 17]), {})
    assert chosen.images().to_pylist() == ["image 1", "image 0", "image 1"]


def test_settings_that_do_not_fit_are_refused(task: Task, colour_task: ColourTask, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for changes in ({"sentences_per_image": 2}, {"resident_regions": "float16"}):
        with pytest.raises(ValueError, match="Task tiny does not tell where its images come from"):
            Feeding(replace(task, images=None), TrainingSettings(folder, **changes))
    pairs = [Question(("image 0", "image 1"), "is it red?", {"yes": 1.0}, "a")] * 2
    paired = question_answering_task(
        "pairs", pairs, pairs, colour_task.processor, colour_task.store, colour_task.label2id
    )
    with pytest.raises(ValueError, match="some of these are about pairs"):
        train(colour_task.model(), paired, make_settings(folder, sentences_per_image=2))
    with pytest.raises(ValueError, match="Images are shared by questions about one image each"):
        AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id, share_images=True)(pairs)


def test_regions_beyond_the_memory_stop_the_run(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lxmert.processing.region_table.free_memory", lambda _: 100)
    model: LxmertForPreTraining = make_model(task)
    with pytest.raises(ValueError, match=r"31 regions of 8 images take .* in float16, but cpu has 0.00 GB free"):
        train(model, task, make_settings(tmp_path / "run", resident_regions="float16"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_need_the_places_only(task: Task, workers: int) -> None:
    settings = TrainingSettings("unused", resident_regions="float32", sentences_per_image=2)
    feeding = Feeding(task, settings)
    feeding.load(torch.device("cpu"), progress=False)
    examples = [task.validation[i] for i in range(40)]
    loader = torch.utils.data.DataLoader(
        examples,  # type: ignore[arg-type]
        8,
        collate_fn=feeding.collate(training=True),
        num_workers=workers,
    )
    batches = list(feeding.filled(loader))
    assert len(feeding.filled(loader)) == len(batches) == 5
    assert task.images is not None
    plain = task.images.collator(task.images.regions, True)
    for number, batch in enumerate(batches):
        assert_same(batch, plain(examples[8 * number : 8 * number + 8]))
