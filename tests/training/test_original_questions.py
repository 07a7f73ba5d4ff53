import json
from pathlib import Path

import pytest

from lxmert.training.original_questions import Task, read_original_questions

VQA = {
    "answer_type": "other",
    "img_id": "COCO_train2014_000000458752",
    "label": {"mesh": 0.3, "net": 1},
    "question_id": 458752000,
    "question_type": "what is this",
    "sent": "What is this photo taken looking through?",
}
GQA = {"img_id": "2375429", "label": {"pipe": 1.0}, "question_id": "02930152", "sent": "What is on the white wall?"}
NLVR2 = {
    "identifier": "train-10171-0-1",
    "img0": "train-10171-0-img0",
    "img1": "train-10171-0-img1",
    "label": 0,
    "sent": "An image shows one leather pencil case.",
    "uid": "nlvr2_train_0",
}
ENTRIES: dict[Task, dict] = {"vqa": VQA, "gqa": GQA, "nlvr2": NLVR2}


def write(path: Path, *entries: object) -> Path:
    path.write_text(json.dumps(entries, indent=4, sort_keys=True))
    return path


def test_vqa(tmp_path: Path) -> None:
    train = write(tmp_path / "train.json", VQA, VQA | {"question_id": 1, "label": {}})
    test = {name: VQA[name] for name in ("img_id", "sent")} | {"question_id": 2}
    table = read_original_questions([train, write(tmp_path / "test.json", test)], "vqa", progress=False)
    first, outside, withheld = table
    assert first.image_ids == ("COCO_train2014_000000458752",)
    assert (first.text, first.question_id, first.annotators) == (VQA["sent"], "458752000", ())
    assert list(first.scores) == ["net", "mesh"]
    assert first.scores == pytest.approx({"net": 1.0, "mesh": 0.3})
    assert first.kinds == {"question_type": "what is this", "answer_type": "other"}
    assert (outside.question_id, outside.scores) == ("1", {})
    assert (withheld.question_id, withheld.scores, withheld.kinds) == ("2", {}, {})


def test_gqa(tmp_path: Path) -> None:
    path = write(tmp_path / "valid.json", GQA, {name: GQA[name] for name in ("img_id", "sent")} | {"question_id": "0"})
    first, withheld = read_original_questions(str(path), "gqa", progress=False)
    assert (first.question_id, first.image_ids, first.scores) == ("02930152", ("2375429",), {"pipe": 1.0})
    assert (withheld.question_id, withheld.answer) == ("0", None)


def test_nlvr2(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", NLVR2, NLVR2 | {"identifier": "train-10171-2-1", "label": 1})
    first, second = read_original_questions(path, "nlvr2", progress=False)
    assert first.image_ids == ("train-10171-0-img0", "train-10171-0-img1")
    assert (first.answer, second.answer) == ("false", "true")
    assert first.question_id == "train-10171-0-1"
    assert first.kinds == second.kinds == {"sentence": "train-10171-1"}


@pytest.mark.parametrize("task", ["vqa", "gqa", "nlvr2"])
@pytest.mark.parametrize("other", ["vqa", "gqa", "nlvr2"])
def test_files_of_another_task_are_refused(task: Task, other: Task, tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", ENTRIES[other])
    if task == other:
        assert len(read_original_questions(path, task, progress=False)) == 1
        return
    messages = {
        ("vqa", "gqa"): "question_id: must be a whole number; texts are the ids of GQA",
        ("vqa", "nlvr2"): "question_id: is missing, .*it looks like the LXMERT authors' NLVR2",
        ("gqa", "vqa"): "question_type: is no field of GQA; it looks like VQA",
        ("gqa", "nlvr2"): "question_id: is missing, .*it looks like the LXMERT authors' NLVR2",
        ("nlvr2", "vqa"): "identifier: is missing, .*it looks like the LXMERT authors' VQA",
        ("nlvr2", "gqa"): "identifier: is missing, .*it looks like the LXMERT authors' VQA or GQA",
    }
    with pytest.raises(ValueError, match=rf"train\.json, entry 1, {messages[task, other]}"):
        read_original_questions(path, task, progress=False)


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("vqa", {"sent": ""}, "sent: must be a text that is not empty"),
        ("vqa", {"label": ["net"]}, "label: must be an object"),
        ("vqa", {"label": {"net": 0}}, r"label, 'net': must be a score in \(0, 1\], got 0"),
        ("vqa", {"label": {"net": 1.1}}, r"label, 'net': must be a score in \(0, 1\], got 1\.1"),
        ("vqa", {"label": {"net": True}}, r"label, 'net': must be a score in \(0, 1\], got True"),
        ("vqa", {"img_id": 458752}, "img_id: must be a text"),
        ("vqa", {"answer_type": 3}, "answer_type: must be a text"),
        ("gqa", {"label": {}}, r"label: must hold an answer, got \{\}"),
        ("gqa", {"label": {" ": 1.0}}, "label: must hold an answer"),
        ("nlvr2", {"label": 2}, r"label: must be 1 \(true\) or 0 \(false\), got 2"),
        ("nlvr2", {"label": "True"}, "label: must be a whole number from 0, got 'True'"),
        ("nlvr2", {"identifier": "x"}, "identifier: must be split, set, pair and sentence"),
    ],
)
def test_bad_entries_are_named_and_leave_nothing(task: Task, changes: dict, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", ENTRIES[task] | changes)
    with pytest.raises(ValueError, match=rf"train\.json, entry 1, {message}"):
        read_original_questions(path, task, tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").iterdir())


def test_files_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", VQA)
    with pytest.raises(ValueError, match=r"train\.json, entry 1: the id '458752000' came before, in .*Name every file"):
        read_original_questions([path, path], "vqa", progress=False)
    with pytest.raises(FileNotFoundError, match=r"minival\.json: no file there; .*about 250 MB.*nlp1\.cs\.unc\.edu"):
        read_original_questions([path, tmp_path / "minival.json"], "vqa")
    with pytest.raises(ValueError, match="files is empty"):
        read_original_questions([], "vqa")
    with pytest.raises(ValueError, match="task must be one of vqa, gqa, nlvr2, got 'nlvr'"):
        read_original_questions(path, "nlvr")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder: name the files in it, such as .*train.json"):
        read_original_questions([path, tmp_path], "vqa")
    path.write_text('{"info": {}, "questions": [{"image_id": 1, "question": "x"}]}')
    with pytest.raises(ValueError, match=r"train\.json must begin with \[, got '\{'; it looks like VQA's questions"):
        read_original_questions(path, "vqa", progress=False)
