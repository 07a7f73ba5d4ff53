import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from lxmert import LxmertConfig, LxmertForPreTraining, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.processing import Question, RegionStore
from lxmert.training import (
    TASKS,
    FineTuningRecipe,
    Task,
    TrainingSettings,
    answer_all,
    read_finetuning_recipe,
    train,
    training_data_of,
)
from lxmert.training.finetuning_data import FineTuningData
from tests.conftest import ROOT
from tests.training.conftest import COLOURS, ColourTask
from tests.training.test_pretraining_collator import make_regions

RECIPES = sorted((ROOT / "examples" / "recipes").glob("finetune_*.yaml"))
SIZES = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
SIZES |= {"l_layers": 1, "r_layers": 1, "x_layers": 1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_opens_with_its_command_and_builds_its_model(path: Path, colour_task: ColourTask) -> None:
    recipe = read_finetuning_recipe(path)
    assert path.stem == f"finetune_{recipe.task}"
    text = path.read_text()
    command = text[: text.index("\n\n")]
    assert f"examples/4_finetune.py --task {recipe.task}" in command
    settings = recipe.settings("somewhere", resume=True)
    assert settings.resume
    data = FineTuningData(
        training={"train": [Question(("image 0",), "what?", {"red": 1.0}, "a")]},
        validation=[],
        test=None,
        regions=colour_task.store,
        processor=colour_task.processor,
        answers=list(recipe.kind.answers or ("red", "blue")),
        sets=[],
    )
    if "checkpoint" in recipe.start:  # no network here: the same task from random weights of the paper's size
        assert recipe.start["checkpoint"] == "unc-nlp/lxmert-base-uncased"
        paper = TASKS[recipe.task].settings("somewhere")
        assert (settings.learning_rate, settings.batch_size, settings.epochs) == (paper.learning_rate, 32, 4)
        recipe = replace(recipe, start={})
    with torch.device("meta"):
        model, said = recipe.model_for(data)
    assert type(model) is recipe.kind.head
    assert said == "Starting from random weights."
    assert model.config.visual_feat_dim == 12
    assert list(model.config.id2label.values()) == data.answers


def test_every_task_has_a_recipe() -> None:
    assert {read_finetuning_recipe(path).task for path in RECIPES} == TASKS.keys()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of pictures and beside it a table of questions."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    with (tmp_path / "questions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "question", "answer"])
        for i in range(24):
            colour = COLOURS[i % 3]
            picture = Image.new("RGB", (20, 20), "white")
            picture.paste(colour, (i % 8, i % 5, i % 8 + 8, i % 5 + 8))
            picture.save(folder / f"{i}.png")
            table.writerow([f"{i}.png", "what color is it?", colour])
    return folder


def own(**changes: Any) -> FineTuningRecipe:
    values: dict[str, Any] = {
        "data": {"training": "questions.csv", "images": "pictures"},
        "regions": {"extractor": "components"},
        "model": {**SIZES, "initializer_range": 0.1},
        "training": {"epochs": 20, "batch_size": 8, "learning_rate": 3e-3, "progress": False, "seed": 1},
    }
    return FineTuningRecipe("own", "my_dataset", **values | changes)


def test_from_a_table_to_a_checkpoint(pictures: Path, tmp_path: Path) -> None:
    recipe, folder = own(), pictures.parent
    data = recipe.load_data(tmp_path / "run", folder, progress=False)
    (learned,) = data.training.values()
    assert sorted(data.answers) == sorted(COLOURS)
    assert len(learned) + len(data.validation) == 24
    assert not {q.image_id for q in learned} & {q.image_id for q in data.validation}
    assert any("Held out" in note for note in data.notes)
    assert data.pictures(["3"]) == {"3": pictures / "3.png"} or str(data.pictures(["3"])["3"]).endswith("3.png")
    model, _ = recipe.model_for(data, folder)
    task = recipe.task_for(data, folder)
    blind = replace(recipe, withhold="image").task_for(data, folder)
    assert task.collate([learned[0]])["visual_feats"].any()
    assert not blind.collate([learned[0]])["visual_feats"].any(), "an ablation learns without the image too"
    assert "the image withheld" in card_of(blind, tmp_path)
    result = train(model, task, recipe.settings(tmp_path / "run"))
    assert result.best_figure == 1.0
    (entry,) = training_data_of(result.best)
    assert (entry.task, entry.split, entry.questions) == ("my_dataset", "questions.csv", len(learned))
    last = LxmertForQuestionAnswering.from_pretrained(result.last)
    processor = LxmertProcessor.from_pretrained(result.last)
    asked, regions = recipe.load_split("questions.csv", tmp_path / "judged", folder, processor.region_extractor)
    assert recipe.kind.judge(last, processor, asked.questions, regions).figures["accuracy"] == 1.0
    assert answer_all(last, processor, asked.questions, regions).answers["2"] == "red", (
        "ids are rows as a spreadsheet counts them"
    )


def card_of(task: Task, folder: Path) -> str:
    task.saved_with_model[-1].save_pretrained(str(folder))
    return (folder / "README.md").read_text()


def test_a_checkpoint_brings_its_rows_extractor_and_card(pictures: Path, tmp_path: Path) -> None:
    folder = pictures.parent
    first = own(training={"epochs": 1, "progress": False}, max_length=16, model=SIZES | {"max_position_embeddings": 16})
    data = first.load_data(tmp_path / "first", folder, progress=False)
    model, _ = first.model_for(data, folder)
    best = train(model, first.task_for(data, folder), first.settings(tmp_path / "first")).best
    other = folder / "other.csv"
    other.write_text(
        "image,question,answer\n" + "".join(f"{i}.png,is it red?,{['no', 'Red'][i % 2]}\n" for i in range(8))
    )
    second = own(
        data={"training": "other.csv", "images": "pictures"}, regions={}, model={}, start={"checkpoint": str(best)}
    )
    again = second.load_data(tmp_path / "second", folder, progress=False)
    assert again.processor.region_extractor is not None, "the checkpoint's"
    assert again.processor.tokenizer.model_max_length == 16, "the checkpoint's positions, fewer than the task's 64"
    assert again.processor.tokenizer.get_vocab() == data.processor.tokenizer.get_vocab()
    moved, said = second.model_for(again, folder)
    assert "1 of 2 answers carried over, 1 new, 2 dropped" in said
    old = LxmertForQuestionAnswering.from_pretrained(best)
    assert torch.equal(
        moved.answer_head.logit_fc[-1].weight[again.answers.index("Red")],
        old.answer_head.logit_fc[-1].weight[old.config.label2id["red"]],
    )
    card = second.task_for(again, folder).saved_with_model[-1]
    assert [entry.split for entry in card.data] == ["questions.csv", "other.csv"]  # type: ignore[attr-defined]


def test_a_checkpoint_without_labels_gets_them_from_a_file(colour_task: ColourTask, tmp_path: Path) -> None:
    config = LxmertConfig(**SIZES, vocab_size=len(colour_task.processor.tokenizer), visual_feat_dim=12, num_qa_labels=3)
    pretrained = LxmertForPreTraining(config)
    pretrained.save_pretrained(tmp_path / "pretrained")
    colour_task.processor.save_pretrained(tmp_path / "pretrained")
    (tmp_path / "all.json").write_text(json.dumps(["blue", "yes", "red"]))
    questions = [Question((f"image {i}",), "what?", {["red", "black"][i % 2]: 1.0}, str(i)) for i in range(4)]
    data = FineTuningData(
        {"train": questions}, questions, None, colour_task.store, colour_task.processor, ["black", "red"], []
    )
    start = {"checkpoint": "pretrained", "answers": "all.json"}
    model, said = own(start=start, model={}).model_for(data, tmp_path)
    assert "1 of 2 answers carried over" in said
    rows = model.answer_head.logit_fc[-1].weight
    assert torch.equal(rows[1], pretrained.answer_head.logit_fc[-1].weight[2])
    (tmp_path / "all.json").write_text(json.dumps(["blue", "yes"]))
    with pytest.raises(ValueError, match="name the 3 rows of the head in their order, got 2"):
        own(start=start, model={}).model_for(data, tmp_path)


def test_features_of_another_width_are_refused(colour_task: ColourTask, tmp_path: Path) -> None:
    model = LxmertForQuestionAnswering(LxmertConfig(**SIZES, vocab_size=50, visual_feat_dim=8, num_qa_labels=2))
    model.save_pretrained(tmp_path)
    data = FineTuningData(
        {"train": colour_task.examples}, [], None, colour_task.store, colour_task.processor, ["red"], []
    )
    with pytest.raises(ValueError, match="features of width 8, these regions have 12: take the extractor"):
        own(start={"checkpoint": str(tmp_path)}, model={}).model_for(data)


def test_scores_are_learned_where_the_task_says_so(tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "regions", [make_regions(i) for i in range(4)])
    rows = [
        {"img_id": f"image {i}", "sent": "red?", "label": {"yes": 1.0, "no": 0.3}, "question_id": i}
        | {"answer_type": "yes/no", "question_type": "is"}
        for i in range(4)
    ]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    (tmp_path / "valid.json").write_text(json.dumps([row | {"question_id": 9} for row in rows[:1]]))
    recipe = FineTuningRecipe(
        "vqa",
        "vqa",
        data={"training": "train.json", "validation": ["valid.json"]},
        regions={"files": "regions"},
        model=SIZES,
        answers={"minimum_count": 1},
        training={"progress": False},
    )
    data = recipe.load_data(tmp_path / "work", tmp_path, progress=False)
    assert data.answers == ["yes"], "what stands for all"
    task = recipe.task_for(data)
    batch = task.collate([task.training[0], task.training[1]])  # type: ignore[index]
    assert batch["labels"].tolist() == [[1.0], [1.0]]
    model, _ = recipe.model_for(data)
    assert train(model, task, TrainingSettings(tmp_path / "run", epochs=1, progress=False)).best_figure == 1.0


def write(folder: Path, **content: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"task": "easy_vqa"} | content))
    return path


def test_changes_go_before_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        regions={"extractor": "grid"},
        model={**SIZES, "hidden_dropout_prob": 0.5},
        training={"epochs": 5, "batch_size": 7},
    )
    recipe = read_finetuning_recipe(
        path,
        withhold=None,
        regions={"files": ["a"], "extractor": None},
        training={"epochs": 2, "seed": None},
        start={"checkpoint": "x", "answers": None},
        answers={"file": None},
    )
    assert (recipe.name, recipe.withhold, recipe.answers) == ("mine", None, {})
    assert recipe.regions == {"files": ["a"]}, "as a whole"
    assert recipe.training == {"epochs": 2, "batch_size": 7}
    dropout = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.0}
    assert recipe.model == dropout, "a checkpoint brings its sizes"
    assert read_finetuning_recipe(path, start={"checkpoint": "x"}).regions == {}, "a checkpoint brings its extractor"
    unchanged = read_finetuning_recipe(path, regions={"files": None})
    assert (unchanged.regions, unchanged.training["epochs"]) == ({"extractor": "grid"}, 5)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"task": "vqa2"}, ValueError, "mine.yaml: task must be one of vqa, gqa, .* got 'vqa2'"),
        ({"tasks": "vqa"}, TypeError, r"recipe got unknown keyword `tasks` \(did you mean `task`"),
        ({"data": {"validation_image": 3}}, TypeError, r"data got unknown keyword `validation_image` \(did you mean"),
        ({"regions": {"extractors": "grid"}}, TypeError, r"regions got unknown keyword `extractors`"),
        ({"regions": {"extractor": "grid", "files": ["a"]}}, ValueError, "files or an extractor, got both"),
        ({"model": {"hiden_size": 3}}, TypeError, r"model got unknown keyword `hiden_size` \(did you mean `hidden_s"),
        ({"model": {"hidden_size": 3}, "start": {"checkpoint": "x"}}, TypeError, "model got unknown keyword `hidden_s"),
        ({"training": {"epoch": 3}}, TypeError, r"training got unknown keyword `epoch` \(did you mean `epochs`"),
        ({"start": {"bert": "x", "original": "y"}}, ValueError, "got bert and original"),
        ({"start": {"answers": "x"}}, ValueError, "give one of them"),
        ({"start": {"bert": 5}}, TypeError, "start.bert must be a path or name, got 5"),
        ({"task": "nlvr", "answers": {"file": "x"}}, ValueError, "has the answers false, true: leave answers out"),
        ({"answers": {"file": "x", "minimum_count": 2}}, ValueError, "a file or a minimum_count .*, got both"),
        ({"withhold": "images"}, ValueError, "withhold must be"),
        ({"max_length": 40, "model": {"max_position_embeddings": 32}}, ValueError, r"\(40\) exceeds .* \(32\)"),
        ({"max_length": 2}, ValueError, "max_length must be a whole number of at least 3, got 2"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        read_finetuning_recipe(write(tmp_path, **content))


def test_what_to_learn_from_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"my_dataset: say what to learn from .*--train FILE"):
        FineTuningRecipe("own", "my_dataset").load_data(tmp_path)
    with pytest.raises(ValueError, match=r"Task vqa reads files: name the folder .*--data FOLDER"):
        FineTuningRecipe("vqa", "vqa").load_data(tmp_path)
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(ValueError, match="must hold a mapping of fields, got list"):
        read_finetuning_recipe(tmp_path / "list.yaml")
