"""Data out of files: text records, region files and stores, answer tables, what is bad."""

import json
from pathlib import Path

import numpy as np
import pytest

from lxmert.processing import RegionStore
from lxmert.training import PretrainingCollator, PretrainingExamples
from lxmert.training.masking import ORIGINAL_CODE
from lxmert.training.pretraining_data import easy_vqa_data, file_data, nlvr_data
from tests.conftest import shared_folder
from tests.training.test_nlvr import line
from tests.training.test_nlvr import write as write_nlvr
from tests.training.test_pretraining_collator import make_regions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    RegionStore.create(folder / "regions", [make_regions(number) for number in range(4)])
    captions = [{"image_id": f"image {i}", "sentence": "it is green", "source": "captions"} for i in range(4)]
    questions = [{"image_id": f"image {i}", "sentence": "is it red?", "answer": "Yes."} for i in range(3)]
    write_lines(folder / "captions.jsonl", captions)
    write_lines(folder / "questions.jsonl", [*questions, questions[0] | {"answer": "a rose"}])
    write_lines(folder / "held_out.jsonl", [questions[0] | {"image_id": "image 3"}, captions[2]])
    return folder


def write_lines(file: Path, rows: list[dict]) -> None:
    file.write_text("\n".join(json.dumps(row) for row in rows))


def load(folder: Path, **changes: object) -> object:
    settings = {"training": ["captions.jsonl", "questions.jsonl"], "validation": ["held_out.jsonl"]}
    settings |= {"regions": ["regions"], "tokenizer": "train", "object_labels": 3, "attribute_labels": 2}
    return file_data(folder.parent / "work", folder, **(settings | changes))


def test_several_files_become_one_table_of_answers(folder: Path) -> None:
    data = load(folder)
    assert (len(data.training), len(data.validation)) == (8, 2)
    assert data.answers == ["yes", "rose"], "cleaned, most frequent first"
    assert (data.feature_dim, data.object_labels, data.attribute_labels) == (2, 3, 2)
    assert data.report.rows == {"captions": 5, "questions": 4, "held_out": 1}
    assert load(folder, minimum_answer_count=2).answers == ["yes"], "rare answers are left out, no error"


def test_bad_rows_stop_or_are_counted(folder: Path) -> None:
    rows = [json.loads(text) for text in (folder / "questions.jsonl").read_text().splitlines()]
    (folder / "answers.json").write_text(json.dumps(["yes"]))
    with pytest.raises(ValueError, match=r"(?s)questions.jsonl, row 4.*rose"):
        load(folder, answers="answers.json")
    write_lines(folder / "questions.jsonl", [*rows, rows[0] | {"image_id": "image 9"}, rows[0] | {"sentence": " "}])
    with pytest.raises(ValueError, match=r"(?s)questions.jsonl, row 5.*image 9.*questions.jsonl, row 6"):
        load(folder)
    data = load(folder, answers="answers.json", bad_rows="skip")
    assert len(data.training) == 8
    assert data.report.left_out.total() == 2
    assert data.report.answers_left_out == 1
    assert data.answers == ["yes"]


def test_rare_answers_are_counted_and_shared_images_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = load(folder, minimum_answer_count=2)
    assert data.report.answers_left_out == 1
    assert "are also learned from, such as 'image 2'" in caplog.text


def test_captions_alone(folder: Path) -> None:
    assert load(folder, training=["captions.jsonl"], validation=["captions.jsonl"]).answers == []


def test_a_name_in_place_of_a_list_is_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"training must be a list of files, .*, got 'captions.jsonl'"):
        load(folder, training="captions.jsonl")
    with pytest.raises(TypeError, match="minimum_answer_count must be a whole number, got '3'"):
        load(folder, minimum_answer_count="3")


def test_labels_beyond_the_models_classes_stop_before_training(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s)image .*object_ids is 2 .*below object_labels 2"):
        load(folder, object_labels=2)


def test_nlvr_scenes_are_stored_once(tmp_path: Path) -> None:
    write_nlvr(tmp_path / "nlvr", "train", [line(i, directory=i % 3) for i in range(6)])
    write_nlvr(tmp_path / "nlvr", "dev", [line(9, 9)])
    data = nlvr_data(tmp_path, tmp_path / "nlvr", validation_directories=1)
    assert (len(data.training), len(data.validation)) == (4, 2)
    assert data.answers == ["false", "true"]
    assert len(data.regions["dev/9-0"]) == 5
    other = tmp_path / "other"
    RegionStore.create(other / "regions", [make_regions(1)])
    with pytest.raises(FileExistsError, match="holds regions of other images"):
        nlvr_data(other, tmp_path / "nlvr", validation_directories=1)
    again = nlvr_data(tmp_path, tmp_path / "nlvr", validation_directories=1)
    assert np.array_equal(again.regions["dev/9-0"].features, data.regions["dev/9-0"].features)


@pytest.mark.slow
def test_easy_vqa_has_labels_from_its_pixels(tmp_path: Path) -> None:
    data = easy_vqa_data(tmp_path, progress=False)
    assert len(data.training) + len(data.validation) == 38575
    right = total = 0
    for record in data.validation.select(range(600)):
        if record["sentence"] in ("what shape is present?", "what color is the shape?"):
            regions = data.regions[record["image_id"]]
            extractor = data.processor.region_extractor
            names = (
                extractor.object_names[regions.object_ids[0]],
                extractor.attribute_names[regions.attribute_ids[0]],
            )
            right += record["answers"][0] in names
            total += 1
    assert total > 20
    assert right / total > 0.9


def test_the_originals_real_region_file(tmp_path: Path) -> None:
    source = shared_folder("data/bottom_up")
    ids = ["COCO_train2014_000000132417", "COCO_train2014_000000573195"]
    rows = [{"image_id": image_id, "sentence": "a picture", "answer": "yes"} for image_id in ids]
    write_lines(tmp_path / "train.jsonl", rows)
    data = file_data(
        tmp_path / "work",
        tmp_path,
        ["train.jsonl"],
        ["train.jsonl"],
        [str(source / "train2014_obj36.tsv")],
        tokenizer="train",
    )
    examples = PretrainingExamples(data.training, {"yes": 0}, unmatched_rate=0.0)
    batch = PretrainingCollator(data.processor, data.regions, ORIGINAL_CODE)([examples[0], examples[1]])
    assert batch["visual_feats"].shape == (2, 36, 2048)
    objects, confidences = batch["obj_labels"]["obj"]
    assert objects[0, 0] == 72
    assert 0 < confidences.min() < confidences.max() <= 1
