"""The analysis of errors on NLVR v1: kinds by hand, figures by hand, and a run on a small data set."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import LxmertConfig, LxmertForPreTraining, Regions
from lxmert.detection import DrawnBoxesRegionExtractor
from lxmert.processing import Question, train_wordpiece_tokenizer
from lxmert.scenes import Scenes
from lxmert.scenes.words import split_words
from lxmert.training.nlvr import Nlvr
from lxmert.training.nlvr_drawing import draw_scene
from lxmert.visualization import Grounding
from tests.conftest import SMALL

TOWER = [[{"x_loc": 40, "y_loc": 80, "type": "square", "color": "Black", "size": 20}], [], []]
CIRCLES = [[{"x_loc": 1, "y_loc": 50, "type": "circle", "color": "Yellow", "size": 10}], [], []]


@pytest.fixture(scope="module")
def errors(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """benchmarks/nlvr_errors.py."""
    return load_benchmark("nlvr_errors")


def make(
    errors: ModuleType, text: str, label: str, answer: str, reading: str | None = None, scene: str = "towers"
) -> Any:
    """An example about a picture that is not at hand."""
    number = f"{len(text)}-{label}-{answer}-{reading}"
    question = Question((number,), text, {label: 1.0}, number, kinds={"sentence": text})
    regions = Regions(features=np.zeros((1, 1)), boxes=[[0, 0, 9, 9]], image_size=(100, 400))
    words = tuple(text.split())
    grounding = Grounding(None, text, regions, words, np.full((len(words), 1), 0.9), ((answer, 0.8),), label)
    kinds = [kind for kind in errors.kinds_of(text, scene == "towers", seen=False) if kind[0] != "length"]
    return errors.Example(question, grounding, tuple(kinds), reading)


@pytest.fixture
def examples(errors: ModuleType) -> list[Any]:
    """Five about two sentences; the labels of two contradict the reading."""
    first, second = "There is no tower", "There are 2 black circles"
    return [
        make(errors, first, "true", "true", "true"),
        make(errors, first, "true", "false", "true"),
        make(errors, first, "false", "false", "true"),
        make(errors, second, "true", "false", "false", scene="scattered"),
        make(errors, second, "true", "false", None, scene="scattered"),
    ]


def test_every_kind_fits_its_example(errors: ModuleType) -> None:
    for kind in errors.KINDS:
        assert re.search(kind.pattern, " ".join(split_words(kind.example))), kind.name


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("t least 2 towers have a yellow base.", {"counting", "position in a tower"}),
        ("There is a blue square touching the base", {"walls and corners"}),
        ("There is a black item on top.", {"position in a tower"}),
        ("There is a blue square on top of other items.", {"relations"}),
        ("there is a tower with a black block at the top", {"position in a tower"}),
        ("There is a black block as the top of a tower", {"position in a tower"}),
        ("There is a black block on the top.", {"position in a tower"}),
        ("ll blue items are in the same box.", {"comparison of boxes"}),
        ("There is a tower with no nothing", {"negation"}),
        ("black circles and blue ones are touching right wall", {"several phrases", "walls and corners"}),
        ("There is a blue block on a black block", {"relations"}),
        ("Nobody stands anywhere.", set()),
    ],
)
def test_kinds_by_hand(errors: ModuleType, text: str, groups: set[str]) -> None:
    kinds = errors.kinds_of(text, towers=False, seen=True)
    assert {group for group, _ in kinds} - {"length", "scene", "wording"} == groups
    assert kinds[0] == ("scene", "scattered")
    assert kinds[-1] == ("wording", "seen in training")
    assert sum(group == "length" for group, _ in kinds) == 1


def test_lengths_are_counted_in_words(errors: ModuleType) -> None:
    for words, name in ((1, "up to 7"), (7, "up to 7"), (8, "8 to 11"), (11, "8 to 11"), (12, "12 words or more")):
        kinds = dict(errors.kinds_of("word, " * words, towers=True, seen=False))
        assert kinds["length"].startswith(name)
        assert (kinds["scene"], kinds["wording"]) == ("towers", "not seen in training")


def test_figures_by_hand(errors: ModuleType, examples: list[Any]) -> None:
    rows = {(row.group, row.kind): row for row in errors.rows_of(examples)}
    everything = rows["all", "all"]
    assert (everything.sentences, everything.examples, everything.accuracy, everything.majority) == (2, 5, 0.4, 0.8)
    negated = rows["negation", "no, not, none, without"]
    assert (negated.sentences, negated.examples, negated.accuracy) == (1, 3, pytest.approx(2 / 3))
    assert negated.majority == pytest.approx(2 / 3)
    assert rows["counting", "a number"].accuracy == 0
    assert rows["scene", "scattered"].majority == 1
    assert ("wording", "seen in training") not in rows, "no example is of this kind"
    wrong = errors.always_wrong(examples)
    assert {text: len(found) for text, found in wrong.items()} == {"There are 2 black circles": 2}


def test_labels_that_contradict_readings_are_counted(errors: ModuleType, examples: list[Any]) -> None:
    counts = errors.label_noise(examples)
    assert counts == {
        "wrong": 3,
        "wrong, read": 2,
        "wrong, label contradicts reading": 1,
        "right": 2,
        "right, read": 2,
        "right, label contradicts reading": 1,
    }
    told = errors.noise_text(counts)
    assert "contradicts the label in 1 of 3 wrong answers (33.3%), of which 2 have a reading" in told
    assert "in 1 of 2 right answers (50.0%), of which 2 have a reading" in told
    none = errors.label_noise(examples[:1])
    assert "0 of 0 wrong answers, of which" in errors.noise_text(none)


def test_examples_are_of_different_sentences_and_scenes_in_turn(errors: ModuleType) -> None:
    many = [make(errors, f"tower number {i // 2}", "true", "false") for i in range(12)]
    many += [make(errors, f"item number {i}", "true", "false", scene="scattered") for i in range(2)]
    many += [make(errors, "a right one", "true", "true")]
    found = [item.sentence for item in errors.shown(many, right=False, count=6)]
    assert len(set(found)) == 6
    assert [text.split()[0] for text in found] == ["item", "tower", "item", "tower", "tower", "tower"]
    assert found == [item.sentence for item in errors.shown(many, right=False, count=6)], "the same in every run"
    assert [item.sentence for item in errors.shown(many, right=True, count=6)] == ["a right one"]


def test_the_report_has_all_parts(errors: ModuleType, examples: list[Any], tmp_path: Path) -> None:
    text = errors.report(examples, tmp_path / "new")
    assert {file.name for file in (tmp_path / "new").iterdir()} == {
        "errors.md",
        "errors.png",
        "errors.json",
        "right.png",
        "wrong.png",
    }
    assert (tmp_path / "new" / "errors.md").read_text() == text
    assert "| all | all | 2 | 5 | 40.0% | 80.0% |" in text
    assert "Accuracy 40.0%, consistency 0.0%" in text
    assert "| There are 2 black circles | true, true | false, false | false, - |" in text
    data = json.loads((tmp_path / "new" / "errors.json").read_text())
    assert data["accuracy"] == 0.4
    assert data["always wrong"] == ["There are 2 black circles"]
    assert data["examples"][3]["answer"] == "false"
    assert data["examples"][3]["kinds"][0] == "scene: scattered"
    with Image.open(tmp_path / "new" / "errors.png") as picture:
        assert (42, 127, 79) in {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}, "bars"


def tower(colour: str, blocks: int) -> list[list[dict[str, Any]]]:
    """A scene of one tower."""
    return [
        [{"x_loc": 40, "y_loc": 80 - 21 * i, "type": "square", "color": colour, "size": 20} for i in range(blocks)],
        [],
        [],
    ]


@pytest.mark.parametrize("three_are_two", ["true", "false"])
def test_new_sentences_are_read_as_those_of_training(errors: ModuleType, three_are_two: str) -> None:
    scenes = {str(blocks): tower("Black", blocks) for blocks in (1, 2, 3)}
    labels = {"1": "false", "2": "true", "3": three_are_two}
    training = [Question((name,), "There are two black blocks", {labels[name]: 1.0}, name) for name in scenes] * 9
    readings = errors.Readings(Nlvr(scenes, training, [], []), progress=False)
    yellow = [Scenes.of([tower("Yellow", blocks)]) for blocks in (1, 2, 3)]
    read = [readings.truth("There are two yellow blocks", scene) for scene in yellow]
    assert read == ["false", "true", three_are_two]
    assert readings.truth("Nobody stands anywhere", yellow[0]) is None
    assert {"there", "are", "two"} <= readings.never_heads
    assert "blocks" not in readings.never_heads


def write_small_nlvr(folder: Path) -> None:
    """Ten directories of training examples, and eight examples to judge, of which one has a wrong label."""
    sentences = [("There is a black block", TOWER), ("there is a yellow circle", CIRCLES)]
    new = ("There is exactly one black block", TOWER)
    for split, directories in (("train", [sentences] * 10), ("dev", [sentences, [new, new]])):
        lines = []
        for directory, told in enumerate(directories):
            for place, (text, fitting) in enumerate(told):
                for other, scene in enumerate((TOWER, CIRCLES)):
                    identifier = f"{directory}{place}-{other}"
                    true = scene is fitting and (split, identifier) != ("dev", "11-0")
                    line = {"sentence": text, "label": str(true).lower(), "identifier": identifier}
                    lines.append(json.dumps(line | {"directory": str(directory), "structured_rep": scene}))
                    picture = folder / split / "images" / str(directory) / f"{split}-{identifier}-0.png"
                    picture.parent.mkdir(parents=True, exist_ok=True)
                    draw_scene(scene).save(picture)
        (folder / split / f"{split}.json").write_text("\n".join(lines))


def save_checkpoint(folder: Path, **overrides: Any) -> None:
    tokenizer = train_wordpiece_tokenizer(["there is a black block", "yellow circle"], model_max_length=16)
    torch.manual_seed(0)
    tasks = {"task_mask_lm": False, "task_matched": False, "task_obj_predict": False, "task_grounding": True}
    sizes = {
        "vocab_size": len(tokenizer),
        "visual_feat_dim": DrawnBoxesRegionExtractor().feature_dim,
        "id2label": {0: "false", 1: "true"},
    }
    settings = SMALL | tasks | sizes | overrides
    del settings["num_qa_labels"]
    LxmertForPreTraining(LxmertConfig(**settings)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_a_run_on_small_data(
    errors: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_nlvr(tmp_path / "nlvr")
    save_checkpoint(tmp_path / "model")
    output = tmp_path / "output"
    command = ["nlvr_errors.py", "--data", tmp_path / "nlvr", "--checkpoint", tmp_path / "model", "--output", output]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    errors.main()
    data = json.loads((output / "errors.json").read_text())
    rows = {(row["group"], row["kind"]): row for row in data["kinds"]}
    assert rows["all", "all"]["examples"] == 8
    assert rows["scene", "towers"]["examples"] == 4
    assert rows["wording", "seen in training"]["examples"] == 4
    assert rows["counting", "exactly, only"]["examples"] == 4
    by_id = {example["id"]: example for example in data["examples"]}
    assert by_id["00-0"]["reading"] == "true"
    assert by_id["00-1"]["reading"] == "false"
    # the second sentence of the second directory has the label false of a scene with one black block
    assert (by_id["11-0"]["label"], by_id["11-0"]["reading"]) == ("false", "true")
    noise = data["label noise"]
    assert noise["wrong, label contradicts reading"] + noise["right, label contradicts reading"] == 1
    right = sum(example["label"] == example["answer"] for example in data["examples"])
    assert data["accuracy"] == right / 8
    assert "Probable label noise: the grammar's reading contradicts the label" in capsys.readouterr().out


def test_checkpoints_that_answer_otherwise_are_refused(errors: ModuleType, tmp_path: Path) -> None:
    write_small_nlvr(tmp_path / "nlvr")
    save_checkpoint(tmp_path / "colours", id2label={0: "red", 1: "blue"})
    with pytest.raises(ValueError, match=r"colours answers \['red', 'blue'\], not false and true: take a checkpoint"):
        errors.judge(tmp_path / "nlvr", tmp_path / "colours", tmp_path / "output")
    save_checkpoint(tmp_path / "answers", task_grounding=False)
    with pytest.raises(ValueError, match="without a grounding head"):
        errors.judge(tmp_path / "nlvr", tmp_path / "answers", tmp_path / "output")
