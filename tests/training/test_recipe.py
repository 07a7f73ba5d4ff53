import dataclasses
import re
from pathlib import Path

import datasets
import pytest
import torch
import yaml

from lxmert import LxmertConfig
from lxmert.modeling_lxmert import LxmertForPreTraining
from lxmert.processing import RecordReport
from lxmert.training import ORIGINAL_CODE, PAPER, PretrainingRecipe, read_recipe
from lxmert.training.pretraining_data import PretrainingData
from tests.conftest import ROOT

RECIPES = sorted(
    path
    for path in (ROOT / "examples" / "recipes").glob("*.yaml")
    if path.stem != "fsdp2" and not path.stem.startswith("finetune")
)


def make_data(processor: object, answers: int, width: int) -> PretrainingData:
    empty = datasets.Dataset.from_dict({"image_id": []})
    names = [f"answer {i}" for i in range(answers)]
    return PretrainingData(empty, empty, {}, processor, names, 1600, 400, width, RecordReport())  # type: ignore[arg-type]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds_its_model_and_opens_with_its_command(path: Path, processor: object) -> None:
    recipe = read_recipe(path)
    with torch.device("meta"):
        model = LxmertForPreTraining(recipe.config(make_data(processor, 9500, 2048)))
    layers = (model.config.l_layers, model.config.r_layers, model.config.x_layers)
    assert layers == ((9, 5, 5) if path.stem == "paper" else (1, 1, 2))
    text = path.read_text()
    command = text[: text.index("\n\n")] if "\n\n" in text else text
    assert f"--recipe examples/recipes/{path.name}" in command
    settings = recipe.settings("somewhere", resume=True)
    assert settings.resume
    assert settings.max_gradient_norm == 1.0


def test_the_papers_recipe_is_the_papers() -> None:
    recipe = read_recipe(ROOT / "examples" / "recipes" / "paper.yaml")
    assert recipe.objectives == ORIGINAL_CODE
    assert (recipe.max_length, recipe.answers_from_epoch) == (20, 10)
    settings = recipe.settings("somewhere")
    assert (settings.epochs, settings.learning_rate, settings.warmup_share) == (20, 1e-4, 0.05)
    assert (settings.adam_epsilon, settings.bias_correction, settings.weight_decay) == (1e-6, False, 0.01)


def test_the_readmes_recipe_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    recipe = PretrainingRecipe("readme", **yaml.safe_load(block))
    assert recipe.settings("somewhere").learning_rate == 1e-4


def write(folder: Path, **content: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"data": {"easy_vqa": {}}} | content))
    return path


def test_recipes_choose_how_batches_are_fed(tmp_path: Path) -> None:
    fed = {"sentences_per_image": 4, "resident_regions": "float16"}
    settings = read_recipe(write(tmp_path, training=fed)).settings("somewhere")
    assert (settings.sentences_per_image, settings.resident_regions) == (4, "float16")
    with pytest.raises(ValueError, match=r"mine.yaml: sentences_per_image must be at least 1, got 0"):
        read_recipe(write(tmp_path, training={"sentences_per_image": 0}))


def test_objectives_by_name_or_by_rates(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, objectives="paper"))
    assert recipe.objectives == PAPER
    assert recipe.name == "mine"
    config = recipe.config(make_data(_Processor(), 3, 8))
    assert (config.visual_label_regions, config.visual_feat_distance) == ("masked", "l2")
    assert (config.num_qa_labels, config.visual_feat_dim, config.vocab_size) == (3, 8, 30)
    recipe = read_recipe(write(tmp_path, objectives={"word_rate": 0.3}))
    assert recipe.objectives == PretrainingRecipe("x", {"easy_vqa": {}}, objectives={"word_rate": 0.3}).objectives
    assert recipe.objectives.word_rate == 0.3  # type: ignore[union-attr]


class _Processor:
    """Thirty wordpieces."""

    tokenizer = range(30)


def test_overrides_replace_the_files_training(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, training={"epochs": 5, "batch_size": 7}), epochs=2)
    settings = recipe.settings("somewhere")
    assert (settings.epochs, settings.batch_size) == (2, 7)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"data": {"easyvqa": {}}}, ValueError, "data must be one of easy_vqa, nlvr, files, got easyvqa"),
        ({"objective": "paper"}, TypeError, r"mine.yaml: recipe got unknown keyword `objective` \(did you mean `obj"),
        ({"objectives": "papers"}, ValueError, "objectives must be one of original code, paper, or rates"),
        ({"model": {"hiden_size": 3}}, TypeError, r"model got unknown keyword `hiden_size` \(did you mean `hidden_s"),
        ({"model": {"vocab_size": 3}}, TypeError, "model got unknown keyword `vocab_size`"),
        ({"training": {"epoch": 3}}, TypeError, r"training got unknown keyword `epoch` \(did you mean `epochs`"),
        ({"training": {"learning_rate": "1e-4"}}, TypeError, "learning_rate"),
        ({"start": {"berd": "x"}}, TypeError, r"start got unknown keyword `berd` \(did you mean `bert`"),
        ({"start": {"bert": "x", "original": "y"}}, ValueError, "got both"),
        ({"data": {"files": {"trainings": []}}}, TypeError, r"data.files got unknown keyword `trainings`"),
        ({"data": {"files": {"training": ["a.jsonl"]}}}, TypeError, "data.files lacks regions, validation"),
        ({"data": None}, ValueError, "data must be one of easy_vqa, nlvr, files, got none"),
        ({"start": {"bert": 5}}, TypeError, "start.bert must be a path or name, got 5"),
        ({"start": {"answers": "x"}}, ValueError, "start.original, which is not given"),
        ({"max_length": "20"}, ValueError, "max_length must be a whole number of at least 3, got '20'"),
        ({"max_length": 600}, ValueError, r"max_length \(600\) exceeds the model's max_position_embeddings \(512\)"),
        ({"answers_from_epoch": "2"}, ValueError, "answers_from_epoch must be a whole number of at least 0"),
        ({"answers_from_epoch": 4}, ValueError, r"answers_from_epoch \(4\) lies behind the last of 4 epochs"),
        ({"objectives": {"word_rate": True}}, TypeError, "word_rate must be a number, got True"),
        ({"objectives": {"label_regions": "some"}}, ValueError, "label_regions must be one of .*'masked'.*got 'some'"),
        (
            {"model": {f"task_{name}": False for name in ("mask_lm", "matched", "obj_predict", "qa")}},
            ValueError,
            "there is nothing to learn",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        read_recipe(write(tmp_path, **content))


def test_data_without_a_folder_says_what_to_do(tmp_path: Path) -> None:
    recipe = PretrainingRecipe("mine", {"nlvr": {}})
    with pytest.raises(ValueError, match="--data FOLDER"):
        recipe.load_data(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"train.json is not there"):
        recipe.load_data(tmp_path, tmp_path)


def test_empty_sections_are_defaults(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, training=None, model=None, start=None)).settings("somewhere").epochs == 4


def test_the_command_lines_folder_wins(tmp_path: Path) -> None:
    recipe = PretrainingRecipe("mine", {"nlvr": {"folder": str(tmp_path / "one")}})
    with pytest.raises(FileNotFoundError, match="two/train/train.json"):
        recipe.load_data(tmp_path, tmp_path / "two")
    with pytest.raises(ValueError, match="reads no files of yours"):
        PretrainingRecipe("mine", {"easy_vqa": {}}).load_data(tmp_path, tmp_path)


SIZES = {
    "hidden_size": 8,
    "num_attention_heads": 1,
    "intermediate_size": 8,
    "l_layers": 1,
    "r_layers": 1,
    "x_layers": 1,
}


def test_captions_alone_need_no_answers() -> None:
    data = make_data(_Processor(), 0, 4)
    with pytest.raises(ValueError, match="switch image question answering off"):
        PretrainingRecipe("mine", {"easy_vqa": {}}, SIZES).config(data)
    config = PretrainingRecipe("mine", {"easy_vqa": {}}, SIZES | {"task_qa": False}).config(data)
    assert not hasattr(LxmertForPreTraining(config), "answer_head")


def test_without_matching_all_pairs_match() -> None:
    columns = {"image_id": ["a", "b"], "sentence": ["x", "y"], "answers": [["yes"], ["no"]], "scores": [[1.0], [1.0]]}
    data = make_data(_Tokens(), 2, 4)
    data = dataclasses.replace(data, training=datasets.Dataset.from_dict(columns))
    data = dataclasses.replace(data, validation=data.training)
    for model, rate in (({}, 0.5), ({"task_matched": False}, 0.0)):
        task = PretrainingRecipe("mine", {"easy_vqa": {}}, SIZES | model).task(data)
        assert task.training.unmatched_rate == task.validation.unmatched_rate == rate


class _Tokens:
    """A tokenizer of two wordpieces."""

    class tokenizer:  # noqa: N801
        """Stands in for an attribute."""

        @staticmethod
        def get_vocab() -> dict[str, int]:
            return {"x": 0, "y": 1}


def test_the_originals_answer_head_moves_by_text(tmp_path: Path) -> None:
    source = LxmertForPreTraining(
        LxmertConfig(**SIZES, vocab_size=30, visual_feat_dim=4, id2label={0: "no", 1: "yes", 2: "red"})
    )
    state = {name.replace("lxmert.", "bert.", 1): value for name, value in source.state_dict().items()}
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "old.pth")
    (tmp_path / "old.json").write_text('["no", "yes", "red"]')
    start = {"original": "old.pth", "answers": "old.json"}
    data = dataclasses.replace(make_data(_Processor(), 0, 4), answers=["red", "blue", "no"])
    model, said = PretrainingRecipe("mine", {"easy_vqa": {}}, SIZES, start=start).model_for(data, tmp_path)
    assert "2 of 3 answers carried over, 1 new, 1 dropped" in said
    assert torch.equal(model.get_qa_logit_layer().weight[[0, 2]], source.get_qa_logit_layer().weight[[2, 0]])
    assert torch.equal(model.lxmert.pooler.dense.weight, source.lxmert.pooler.dense.weight)
    missing = PretrainingRecipe("mine", {"easy_vqa": {}}, SIZES, start={"original": "nowhere.pth"})
    with pytest.raises(FileNotFoundError, match="nowhere.pth is not there, nor"):
        missing.model_for(data, tmp_path)
