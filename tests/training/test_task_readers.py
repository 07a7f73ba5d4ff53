import json
from pathlib import Path

import datasets
import pytest
from PIL import Image

from lxmert.training.task_readers import (
    caption_questions,
    easy_vqa_questions,
    nlvr_questions,
    own_questions,
    vqa_questions,
)
from tests.conftest import shared_folder


def test_a_part_of_a_saved_data_set(tmp_path: Path) -> None:
    parts = {
        name: datasets.Dataset.from_dict(
            {
                "image": [Image.new("RGB", (4, 4), colour) for colour in colours],
                "question": ["which?"] * len(colours),
                "answer": colours,
            }
        ).cast_column("image", datasets.Image())
        for name, colours in (("train", ["red", "blue"]), ("test", ["black"]))
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    for folder, name in ((tmp_path, "saved:test"), (None, f"{tmp_path}/saved:test")):
        found = own_questions(folder, name, tmp_path)
        assert [question.answer for question in found.questions] == ["black"]
        (image_id,) = found.questions[0].image_ids
        assert found.pictures([image_id]).keys() == {image_id}
        assert "questions: 1, images: 1" in found.notes[0]
    assert len(own_questions(tmp_path, "saved:train", tmp_path).questions) == 2


def test_columns_as_typed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,asked,label\n1.png,red?,yes\n")
    names = ["image=file", "question=asked", "answer=label"]
    found = own_questions(tmp_path, "a.csv", tmp_path, columns=names)
    assert found.images is None, "no folder of pictures was named"
    (question,) = found.questions
    assert (question.image_id, question.text, question.answer) == ("1", "red?", "yes")
    with pytest.raises(ValueError, match="columns must be name=column, such as image=file_name, got 'file'"):
        own_questions(tmp_path, "a.csv", tmp_path, columns=["file"])


def test_a_file_of_the_original_authors_by_its_ending(tmp_path: Path) -> None:
    row = {"img_id": "COCO_val2014_000000000001", "sent": "red?", "label": {"yes": 1}, "question_id": 7}
    (tmp_path / "minival.json").write_text(json.dumps([row | {"answer_type": "yes/no", "question_type": "is"}]))
    folder = tmp_path / "pictures" / "val2014"
    folder.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "COCO_val2014_000000000001.png")
    Image.new("RGB", (4, 4)).save(folder / "other.png")
    found = vqa_questions(tmp_path, "minival.json", tmp_path / "work", tmp_path / "pictures")
    assert [(q.image_id, q.answer, q.question_id) for q in found.questions] == [
        ("COCO_val2014_000000000001", "yes", "7")
    ]
    assert found.images is not None
    assert found.images() == {"COCO_val2014_000000000001": str(folder / "COCO_val2014_000000000001.png")}, "those asked"
    (folder / "COCO_val2014_000000000001.png").unlink()
    with pytest.raises(ValueError, match=r"holds none of the 1 pictures .* such as 'COCO_val2014_000000000001'"):
        found.images()


def test_easy_vqa_by_splits() -> None:
    sizes = {split: len(easy_vqa_questions(None, split, Path()).questions) for split in ("train", "validation", "test")}
    assert sizes["train"] + sizes["validation"] == 38575
    assert sizes["test"] == 9673
    few = easy_vqa_questions(None, "test", Path(), questions=20)
    assert len(few.questions) == 20
    assert few.images is not None
    assert few.images().keys() == {question.image_id for question in few.questions}
    with pytest.raises(ValueError, match="easy_vqa has the splits train, validation, test, got 'dev'"):
        easy_vqa_questions(None, "dev", Path())
    with pytest.raises(ValueError, match="comes with its package"):
        easy_vqa_questions(Path("x"), "test", Path())


def test_nlvr_by_splits(tmp_path: Path) -> None:
    folder = shared_folder("data/nlvr")
    found = nlvr_questions(folder, "dev", tmp_path)
    assert len(found.questions) == 989
    assert found.regions is not None
    assert {regions.image_id for regions in found.regions()} == {question.image_id for question in found.questions}
    name = found.questions[3].image_id
    assert Image.open(found.pictures([name])[name]).size == (400, 100)
    with pytest.raises(ValueError, match="leave the folder of pictures out"):
        nlvr_questions(folder, "dev", tmp_path, tmp_path)


def test_no_folder_is_said() -> None:
    with pytest.raises(ValueError, match=r"Task retrieval reads files: name the folder .*--data FOLDER"):
        caption_questions(None, "test", Path())
