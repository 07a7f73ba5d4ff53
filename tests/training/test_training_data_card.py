import logging
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from lxmert.processing import Question
from lxmert.training.training_data_card import TrainingData, TrainingDataCard, training_data_of, warn_if_trained_on

TRAIN = [Question(("1",), "red?", {"yes": 1.0}, "a"), Question(("2",), "round?", {"no": 1.0}, "b")]
TEST = [Question(("3",), "red?", {"no": 1.0}, "a")]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    data = (TrainingData("pre-training", "captions", 7, "0" * 16), TrainingData.of("vqa", "train", TRAIN))
    TrainingDataCard("A model", data, "image").save_pretrained(str(tmp_path))
    return tmp_path


def test_the_card_says_what_was_learned_from(checkpoint: Path) -> None:
    entries = training_data_of(checkpoint)
    assert [(entry.task, entry.split, entry.questions) for entry in entries] == [
        ("pre-training", "captions", 7),
        ("vqa", "train", 2),
    ]
    card = ModelCard.load(checkpoint / "README.md")
    assert card.data.tags == ["lxmert", "pre-training", "vqa"]
    assert card.data.pipeline_tag == "visual-question-answering"
    assert "| vqa | train | 2 |" in card.text
    assert "the image withheld" in card.text


def test_judging_by_what_was_learned_warns(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert warn_if_trained_on(checkpoint, "vqa", "validation", TEST) is None
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        said = warn_if_trained_on(checkpoint, "vqa", "train", TEST)
    assert said is not None
    assert "has learned from vqa train (2 questions)" in said
    assert "Take another split" in caplog.text
    under_another_name = warn_if_trained_on(checkpoint, "vqa", "copy.json", list(reversed(TRAIN)))
    assert under_another_name is not None
    assert "has learned from vqa train" in under_another_name


@pytest.mark.parametrize("content", [None, "# No metadata\n", "---\ntraining_data: 3\n---\n", "---\n[broken\n---\n"])
def test_a_checkpoint_without_such_a_card_is_no_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "README.md").write_text(content)
    assert training_data_of(tmp_path) == ()
    assert warn_if_trained_on(tmp_path, "vqa", "train", TRAIN) is None


def test_a_name_on_the_hub_that_cannot_be_reached_is_no_error() -> None:
    assert training_data_of("nobody/nothing") == ()
