import json
from pathlib import Path

import pytest

from lxmert.training.gqa import read_gqa

SEMANTIC = [
    {"operation": "select", "dependencies": [], "argument": "bed (3849064)"},
    {"operation": "relate", "dependencies": [0], "argument": "plate,beside,s (-)"},
    {"operation": "exist", "dependencies": [1], "argument": "?"},
]


def question(**changes: object) -> dict:
    entry = {
        "semantic": SEMANTIC,
        "entailed": ["001", "002"],
        "equivalent": ["001"],
        "question": "Is there a plate beside the bed?",
        "imageId": "2374558",
        "isBalanced": True,
        "groups": {"global": None, "local": "13-bed_plate"},
        "answer": "no",
        "semanticStr": "",
        "annotations": {},
        "types": {"detailed": "existRelS", "semantic": "rel", "structural": "verify"},
        "fullAnswer": "No, there is a lamp beside the bed.",
    }
    return {name: value for name, value in (entry | changes).items() if value != "absent"}


def write(path: Path, questions: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(questions))
    return path


@pytest.mark.parametrize("folder", [".", "questions1.2"])
def test_questions_with_their_kinds(folder: str, tmp_path: Path) -> None:
    named = {"operation": "query", "argument": "name"}
    write(
        tmp_path / folder / "val_balanced_questions.json",
        {
            "001": question(),
            "1": question(groups={"global": "animal", "local": "x"}, semantic=[*SEMANTIC[:2], named], answer="dog"),
        },
    )
    first, second = read_gqa(tmp_path, "validation", progress=False)
    assert (first.question_id, first.image_ids, first.text) == ("001", ("2374558",), "Is there a plate beside the bed?")
    assert first.scores == {"no": 1.0}
    assert first.entailed == ("002",)
    assert first.kinds == {
        "structural": "verify",
        "semantic": "rel",
        "detailed": "existRelS",
        "local_group": "13-bed_plate",
        "balanced": "true",
        "steps": "2",  # exist is not counted
    }
    assert (second.question_id, second.answer, second.kinds["global_group"]) == ("1", "dog", "animal")
    assert second.kinds["steps"] == "2"
    assert second.entailed == ("001", "002")


@pytest.mark.parametrize("folder", [".", "questions1.2", "train_all_questions", "questions1.2/train_all_questions"])
def test_all_training_questions_lie_in_ten_files(folder: str, tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / folder / f"train_all_questions_{number}.json", {f"{number}": question(isBalanced=False)})
    table = read_gqa(tmp_path, "train_all", progress=False)
    assert table.column("question_id") == [str(number) for number in range(10)]
    assert table[0].kinds["balanced"] == "false"
    write(tmp_path / folder / "train_all_questions_7.json", {"3": question()})
    with pytest.raises(
        ValueError, match=r"questions_7\.json, question 3: the id '3' came before, in .*questions_3\.json"
    ):
        read_gqa(tmp_path, "train_all", progress=False)
    (tmp_path / folder / "train_all_questions_7.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks train_all_questions_7\.json: .*1\.4 GB zipped.*stanford\.edu"):
        read_gqa(tmp_path, "train_all", progress=False)


def test_answers_of_tests_are_withheld(tmp_path: Path) -> None:
    short = {"question": "Is it red?", "imageId": "n161313", "isBalanced": True}
    for name in ("test_balanced", "challenge_all", "submission_all"):
        write(tmp_path / f"{name}_questions.json", {"1": short})
    for split in ("test", "challenge_all", "submission_all"):
        (only,) = read_gqa(tmp_path, split, progress=False)  # type: ignore[arg-type]
        assert (only.image_id, only.answer, only.kinds) == ("n161313", None, {"balanced": "true"})
    write(tmp_path / "testdev_balanced_questions.json", {"1": short})
    with pytest.raises(ValueError, match=r"testdev_balanced_questions\.json, question 1, answer: is missing"):
        read_gqa(tmp_path, "testdev", progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": " "}, "question 001, question: must be a text that is not empty"),
        ({"answer": ""}, "question 001, answer: must be a text that is not empty"),
        ({"imageId": 2374558}, "question 001, imageId: must be a text"),
        ({"types": None}, "question 001, types: must be an object, got None"),
        ({"types": "absent"}, "question 001, types: is missing"),
        ({"groups": {"local": 3}}, "question 001, groups, local: must be a text"),
        ({"isBalanced": "yes"}, "question 001, isBalanced: must be true or false, got 'yes'"),
        ({"semantic": [{"operation": "select"}]}, "question 001, semantic: must be operations .*lacks 'argument'"),
        ({"entailed": [2]}, "question 001, entailed: must be a list of texts"),
        ({"entailed": ["002", "\ud800"]}, "question 001, entailed: is no valid Unicode text"),
    ],
)
def test_bad_questions_are_named_and_leave_nothing(changes: dict, message: str, tmp_path: Path) -> None:
    write(tmp_path / "train_balanced_questions.json", {"000": question(), "001": question(**changes)})
    with pytest.raises(ValueError, match=rf"train_balanced_questions\.json, {message}"):
        read_gqa(tmp_path, "train", tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").iterdir())


def test_other_splits_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split must be one of train, validation, .*submission_all, got 'val'"):
        read_gqa(tmp_path, "val")  # type: ignore[arg-type]
    file = tmp_path / "train_balanced_questions.json"
    file.write_text(json.dumps([{"img_id": "1", "sent": "x", "label": {"yes": 1.0}, "question_id": "1"}]))
    with pytest.raises(ValueError, match=r"must begin with \{, got '\['; it looks like the LXMERT authors' VQA or GQA"):
        read_gqa(tmp_path, "train")
    file.write_text('{"1": ' + json.dumps(question()) + ', "1": ' + json.dumps(question()) + "}")
    with pytest.raises(ValueError, match=r"question 1: the id '1' came before"):
        read_gqa(tmp_path, "train", progress=False)
    file.write_text('{"1": ' + json.dumps(question()) + ', "2": {"question"')
    with pytest.raises(ValueError, match=r"train_balanced_questions\.json, entry '2': broken JSON"):
        read_gqa(tmp_path, "train", progress=False)


def test_steps_by_hand(tmp_path: Path) -> None:
    def steps(*operations: str) -> list[dict]:
        pairs = [operation.split(": ") for operation in operations]
        return [{"operation": operation, "argument": argument, "dependencies": []} for operation, argument in pairs]

    cases = {
        ("select: cat (1)", "choose name: dog|cat"): 1,
        ("select: cat (1)", "choose color: red|blue"): 2,
        ("select: cat (1)", "filter color: red", "query: name"): 2,
        ("select: cat (1)", "query: color"): 2,
        ("select: cat (1)", "exist: ?", "select: dog (2)", "exist: ?", "or: "): 3,
    }
    questions = {str(row): question(semantic=steps(*operations)) for row, operations in enumerate(cases)}
    write(tmp_path / "val_balanced_questions.json", questions)
    found = [int(each.kinds["steps"]) for each in read_gqa(tmp_path, "validation", progress=False)]
    assert found == list(cases.values())


def test_ids_are_texts(tmp_path: Path) -> None:
    file = write(tmp_path / "val_balanced_questions.json", {"": question()})
    with pytest.raises(ValueError, match=r"questions\.json, question , its id: must be a text that is not empty"):
        read_gqa(tmp_path, "validation", progress=False)
    write(file, {"\ud800": question()})
    with pytest.raises(ValueError, match=r"question '\\ud800', its id: is no valid Unicode text") as caught:
        read_gqa(tmp_path, "validation", progress=False)
    assert str(caught.value).encode(), "can be printed"


def test_files_of_vqa_say_what_they_are(tmp_path: Path) -> None:
    for fields, likeness in (
        ({"questions": [{"image_id": 1, "question": "x", "question_id": 1}]}, "VQA's questions"),
        ({"annotations": [{"multiple_choice_answer": "x", "question_id": 1}]}, "VQA's annotations"),
    ):
        for before in ({}, {"info": {"year": 2017}}):
            write(tmp_path / "val_balanced_questions.json", before | fields)
            with pytest.raises(ValueError, match=rf"must be records by id, got '\w+'; it looks like {likeness}"):
                read_gqa(tmp_path, "validation", progress=False)
