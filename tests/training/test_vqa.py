import json
from pathlib import Path

import pytest

from lxmert.training.vqa import read_vqa

TEN = ["Net", "net", "net", "netting", "net", "net", "mesh", "net", "net", "netting"]


def question(number: int, **changes: object) -> dict:
    asked = {"image_id": number // 1000, "question": f"What is {number}?", "question_id": number}
    return {name: value for name, value in (asked | changes).items() if value is not None}


def annotation(number: int, answers: list[str] = TEN, **changes: object) -> dict:
    given = [{"answer": answer, "answer_confidence": "yes", "answer_id": i} for i, answer in enumerate(answers, 1)]
    annotated = {
        "question_type": "what is",
        "multiple_choice_answer": "net",
        "answers": given,
        "image_id": number // 1000,
        "answer_type": "other",
        "question_id": number,
    }
    return {name: value for name, value in (annotated | changes).items() if value is not None}


def write(folder: Path, questions: list, annotations: list | None = None, split: str = "train2014") -> Path:
    folder.mkdir(exist_ok=True)
    asked = {"info": {"year": 2017}, "task_type": "Open-Ended", "questions": questions, "data_subtype": split}
    (folder / f"v2_OpenEnded_mscoco_{split}_questions.json").write_text(json.dumps(asked))
    if annotations is not None:
        annotated = {"info": {"year": 2017}, "annotations": annotations, "license": {"url": ""}}
        (folder / f"v2_mscoco_{split}_annotations.json").write_text(json.dumps(annotated))
    return folder


def test_questions_meet_their_annotations(tmp_path: Path) -> None:
    tied = ["yes"] * 5 + ["no"] * 5
    write(
        tmp_path,
        [question(458752000), question(9001), question(9002)],
        [
            annotation(9002, ["a"] * 10, multiple_choice_answer="a"),
            annotation(458752000),
            annotation(9001, tied, multiple_choice_answer="No.", answer_type="yes/no", question_type="is it"),
        ],
    )
    found = {each.question_id: each for each in read_vqa(tmp_path, "train", progress=False)}
    assert found.keys() == {"458752000", "9001", "9002"}
    net = found["458752000"]
    assert net.image_ids == ("COCO_train2014_000000458752",)
    assert net.text == "What is 458752000?"
    assert net.scores == pytest.approx({"net": 1.0, "netting": 0.6, "mesh": 0.3})
    assert net.annotators == tuple(TEN)
    assert net.kinds == {"question_type": "what is", "answer_type": "other"}
    assert list(found["9001"].scores.items()) == [("no", 1.0), ("yes", 1.0)]  # the published one first
    assert found["9002"].scores == {}
    assert found["9002"].annotators == ("a",) * 10


@pytest.mark.parametrize(
    ("split", "file", "image"),
    [
        ("validation", "val2014", "COCO_val2014_000000000009"),
        ("test", "test2015", "COCO_test2015_000000000009"),
        ("test-dev", "test-dev2015", "COCO_test2015_000000000009"),
    ],
)
def test_splits_have_their_files_and_images(split, file: str, image: str, tmp_path: Path) -> None:
    write(tmp_path / "Questions", [question(9001)], [annotation(9001)], file)
    (only,) = read_vqa(tmp_path, split, progress=False)
    assert only.image_id == image
    assert bool(only.scores) == bool(only.annotators) == (split == "validation")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"lacks v2_OpenEnded_mscoco_train2014_questions\.json, v2_mscoco_train"
    ):
        read_vqa(tmp_path, "train")
    write(tmp_path, [question(9001)])
    with pytest.raises(FileNotFoundError, match=r"lacks v2_mscoco_train2014_annotations\.json: .*50 MB.*visualqa\.org"):
        read_vqa(tmp_path, "train")
    with pytest.raises(ValueError, match="split must be one of train, validation, test, test-dev, got 'val'"):
        read_vqa(tmp_path, "val")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("questions", "annotations", "message"),
    [
        (
            [question(1, question="")],
            [annotation(1)],
            "questions.json, entry 1, question: must be a text that is not e",
        ),
        ([question(1, question_id="1")], [annotation(1)], "questions.json, entry 1, question_id: must be a whole numb"),
        ([question(1, image_id=None)], [annotation(1)], "questions.json, entry 1, image_id: is missing"),
        ([question(1)], [annotation(1, answers=[])], "annotations.json, entry 1, answers: must hold at least one"),
        ([question(1)], [annotation(1) | {"answers": [{"answer": 1}]}], "entry 1, answers, answer: must be a text"),
        ([question(1)], [annotation(1) | {"answers": "yes"}], "entry 1, answers: must be a list of objects"),
        ([question(1)], [annotation(1, answer_type=None)], "entry 1, answer_type: is missing"),
        ([question(1)], [annotation(1, multiple_choice_answer=None)], "entry 1, multiple_choice_answer: is missing"),
        ([question(1)], [annotation(1, image_id=7)], r"entry 1, image_id: must be 0 as in \S*questions.json, entry 1"),
        ([question(1), question(2)], [annotation(2)], "questions.json, entry 1: the question 1 has no other half in"),
        (
            [question(1)],
            [annotation(n) for n in (1, 2, 3)],
            "annotations.json, entry 2: the annotation 2 has no other half in .*questions.json, nor has any of 1 more",
        ),
        ([question(1), question(1)], [annotation(1)], "questions.json, entry 2: the id 1 came before, in .*entry 1"),
        ([question(1)], [annotation(1), annotation(1)], "annotations.json, entry 2: the id 1 came before"),
        ([], [], "questions.json, .*annotations.json: no question there"),
        ([3], [annotation(1)], "questions.json, entry 1: must be an object, got 3"),
    ],
)
def test_bad_records_are_named_and_leave_nothing(
    questions: list, annotations: list, message: str, tmp_path: Path
) -> None:
    write(tmp_path / "vqa", questions, annotations)
    with pytest.raises(ValueError, match=message):
        read_vqa(tmp_path / "vqa", "train", tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").iterdir())


def test_a_file_that_breaks_off_or_is_of_another_task(tmp_path: Path) -> None:
    write(tmp_path, [question(1), question(2)], [annotation(1), annotation(2)])
    file = tmp_path / "v2_mscoco_train2014_annotations.json"
    file.write_text(file.read_text()[:-200])
    with pytest.raises(
        ValueError, match=r"annotations\.json, entry 2: broken JSON .*and whole\? If not, fetch it again"
    ):
        read_vqa(tmp_path, "train", progress=False)
    file.write_text(json.dumps({"001": {"imageId": "1", "question": "x"}}))
    with pytest.raises(ValueError, match=r"annotations\.json lacks 'annotations'; it looks like GQA as published"):
        read_vqa(tmp_path, "train", progress=False)
    file.write_text(json.dumps({"info": {}, "other": []}))
    with pytest.raises(ValueError, match=r"annotations\.json: broken JSON \(the object has no field 'annotations'"):
        read_vqa(tmp_path, "train", progress=False)
    file.write_text(json.dumps([{"img_id": "1", "sent": "x", "question_type": "y"}]))
    with pytest.raises(ValueError, match=r"must begin with \{, got '\['; it looks like the LXMERT authors' VQA"):
        read_vqa(tmp_path, "train", progress=False)


def test_the_table_is_opened_again(tmp_path: Path) -> None:
    write(tmp_path, [question(1)], [annotation(1)])
    first = list(read_vqa(tmp_path, "train", tmp_path / "cache", progress=False))
    tables = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert list(read_vqa(tmp_path, "train", tmp_path / "cache", progress=False)) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == tables
    write(tmp_path, [question(1, question="What else?")], [annotation(1)])
    assert read_vqa(tmp_path, "train", tmp_path / "cache", progress=False)[0].text == "What else?"


def test_swapped_files_say_what_they_are(tmp_path: Path) -> None:
    write(tmp_path, [question(1)], [annotation(1)])
    asked, annotated = sorted(tmp_path.iterdir())
    contents = asked.read_text(), annotated.read_text()
    asked.write_text(contents[1])
    with pytest.raises(ValueError, match=r"questions\.json lacks 'questions'; it looks like VQA's annotations"):
        read_vqa(tmp_path, "train", progress=False)
    asked.write_text(contents[0])
    annotated.write_text(contents[0])
    with pytest.raises(ValueError, match=r"annotations\.json lacks 'annotations'; it looks like VQA's questions"):
        read_vqa(tmp_path, "train", progress=False)


@pytest.mark.parametrize("kind", ["questions", "annotations"])
@pytest.mark.parametrize("first", [True, False])
def test_files_of_another_split_are_refused(kind: str, first: bool, tmp_path: Path) -> None:
    write(tmp_path, [question(1)], [annotation(1)])
    (file,) = tmp_path.glob(f"*_{kind}.json")
    content = {name: value for name, value in json.loads(file.read_text()).items() if name != "data_subtype"}
    for subtype, refused in (("train2014", False), ("val2014", True), (None, True)):
        told = {"data_subtype": subtype}
        file.write_text(json.dumps(told | content if first else content | told))
        if not refused:
            assert len(read_vqa(tmp_path, "train", progress=False)) == 1
            continue
        with pytest.raises(ValueError, match=rf"{kind}\.json, data_subtype: must be 'train2014', got {subtype!r}"):
            read_vqa(tmp_path, "train", progress=False)
    file.write_text(json.dumps(content))
    assert len(read_vqa(tmp_path, "train", progress=False)) == 1, "some files do not tell"
