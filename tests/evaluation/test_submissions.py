import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.evaluation import SubmissionKind, read_submission, write_submission
from lxmert.processing import Question

ANSWERS: dict[SubmissionKind, dict[str, str]] = {
    "vqa": {"458752000": "net", "0": "", "7": "don't know"},
    "gqa": {"07333408": "pipe", "201307251": "café"},
    "nlvr2": {"dev-850-0-0": "false", "test1-0-1-0": "true"},
    "nlvr": {"1304-0": "true", "dev-1304-0-3.png": "false"},
    "answers": {"any id, at all": "red\nor blue", "7": "yes"},
}
FILES = {
    "vqa": '[\n{"question_id": 458752000, "answer": "net"},\n{"question_id": 0, "answer": ""},\n'
    '{"question_id": 7, "answer": "don\'t know"}\n]\n',
    "gqa": '[\n{"questionId": "07333408", "prediction": "pipe"},\n'
    '{"questionId": "201307251", "prediction": "café"}\n]\n',
    "nlvr2": "dev-850-0-0,False\ntest1-0-1-0,True\n",
    "nlvr": "1304-0,true\ndev-1304-0-3.png,false\n",
    "answers": '{"question_id": "any id, at all", "answer": "red\\nor blue"}\n{"question_id": "7", "answer": "yes"}\n',
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_files_are_written_and_read(kind: SubmissionKind, tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers"
    questions = [Question(("1",), "?", question_id=name) for name in reversed(ANSWERS[kind])]
    write_submission(path, kind, ANSWERS[kind], questions)
    assert path.read_text(encoding="utf-8") == FILES[kind]
    assert list(read_submission(path, kind).items()) == list(ANSWERS[kind].items())
    assert [entry.name for entry in path.parent.iterdir()] == ["answers"], "nothing else is left"


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, answers: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("texts") / "file"
    kinds: list[SubmissionKind] = ["gqa", "answers"]
    for kind in kinds:
        write_submission(path, kind, answers)
        assert read_submission(path, kind) == answers


def test_probabilities_stand_beside_answers(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    write_submission(path, "answers", {"a": "red", "b": "no"}, probabilities={"b": 1, "a": 0.25, "c": 7})
    assert [json.loads(line)["probability"] for line in path.read_text().splitlines()] == [0.25, 1.0]
    assert read_submission(path, "answers") == {"a": "red", "b": "no"}


@pytest.mark.parametrize(
    ("kind", "answers", "probabilities", "message"),
    [
        (
            "vqa",
            {"7": "a", "dev-850-0-0": "true"},
            None,
            "'dev-850-0-0': question_id must look like 458752000 for 'vqa'",
        ),
        ("vqa", {"07": "a"}, None, "question_id must look like 458752000"),
        ("vqa", {"-7": "a"}, None, "question_id must look like 458752000"),
        ("vqa", {"\N{ARABIC-INDIC DIGIT SEVEN}": "a"}, None, "question_id must look like 458752000"),
        ("gqa", {"": "a"}, None, "questionId must look like 201307251"),
        ("nlvr2", {"1304-0": "true"}, None, "identifier must look like dev-850-0-0 for 'nlvr2', got '1304-0'"),
        ("nlvr2", {"dev-850-0-0": "True"}, None, "label must be 'true' or 'false' for 'nlvr2', got 'True'"),
        ("nlvr2", {"dev-850-0-0": "yes"}, None, "label must be 'true' or 'false'"),
        ("nlvr", {"dev-850-0-0": "true"}, None, "identifier must look like 1304-0 or dev-1304-0-3.png for 'nlvr'"),
        ("nlvr3", {"a": "true"}, None, "kind must be one of vqa, gqa, nlvr2, nlvr, answers, got 'nlvr3'"),
        ("answers", {}, None, "answers holds none"),
        ("vqa", {"7": "a"}, {"7": 0.5}, "probabilities have no place in files of kind 'vqa'"),
        ("answers", {"7": "a", "8": "b"}, {"7": 0.5}, r"probabilities lacks 1 id \('8'\)"),
        ("answers", {"7": "a"}, {"7": 1.5}, r"must lie in \[0, 1\], got 1.5 for question '7'"),
        ("answers", {"7": "a"}, {"7": -0.5}, r"must lie in \[0, 1\], got -0.5"),
        ("answers", {"7": "a"}, {"7": float("nan")}, r"must lie in \[0, 1\], got nan"),
    ],
)
def test_what_a_file_cannot_have_is_not_written(
    kind: SubmissionKind, answers: dict[str, str], probabilities: dict | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.raises(ValueError, match=message):
        write_submission(tmp_path / "file", kind, answers, probabilities=probabilities)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "before")]


def test_answers_must_fit_the_questions(tmp_path: Path) -> None:
    questions = [Question(("1",), "?", question_id=name) for name in "78"]
    with pytest.raises(ValueError, match=r"answers has 1 id \('9'\) that no question has"):
        write_submission(tmp_path / "file", "vqa", {"7": "a", "8": "a", "9": "a"}, questions)
    with pytest.raises(ValueError, match=r"answers lacks 1 id \('8'\) of 2 questions"):
        write_submission(tmp_path / "file", "vqa", {"7": "a"}, questions)
    with pytest.raises(TypeError, match="answers must be texts, got 3 for question '7'"):
        write_submission(tmp_path / "file", "vqa", {"7": 3})
    assert not list(tmp_path.iterdir())


def test_a_text_that_no_file_can_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"answers, question 'b': answer is no valid Unicode text: '\\ud800'"):
        write_submission(tmp_path / "file", "answers", {"a": "red", "b": "\ud800"})
    with pytest.raises(ValueError, match="questionId is no valid Unicode text"):
        write_submission(tmp_path / "file", "gqa", {"\ud800": "red"})
    assert not list(tmp_path.iterdir())


def test_paths_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder: name a file in it"):
        write_submission(tmp_path, "gqa", {"a": "red"})
    with pytest.raises(ValueError, match="file/new/answers cannot be written: .*/file is a file, not a folder"):
        write_submission(tmp_path / "file" / "new" / "answers", "gqa", {"a": "red"})
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder: name a file in it"):
        read_submission(tmp_path, "nlvr2")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "before")]


def test_a_line_ends_where_lines_end_only(tmp_path: Path) -> None:
    text = '{"question_id": "a", "answer": "one\u2028two\x85"}\r\n{"question_id": "b", "answer": "no"}\n'
    (tmp_path / "file").write_text(text, encoding="utf-8", newline="")
    assert read_submission(tmp_path / "file", "answers") == {"a": "one\u2028two\x85", "b": "no"}


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("vqa", FILES["gqa"], "file, record 1: lacks 'question_id', has 'questionId', 'prediction': is this a file of"),
        (
            "vqa",
            '[{"question_id": 1, "answer": "a"}, {"question_id": "2", "answer": "a"}]',
            "record 2: question_id must be ",
        ),
        ("vqa", '[{"question_id": true, "answer": "a"}]', "record 1: question_id must be a whole number .* got true"),
        ("vqa", '[{"question_id": 1.0, "answer": "a"}]', "record 1: question_id must be a whole number .* got 1.0"),
        ("vqa", '[{"question_id": -1, "answer": "a"}]', "record 1: question_id must look like 458752000"),
        ("vqa", '[{"question_id": 1, "answer": 2}]', "record 1: answer must be a text, got 2"),
        ("vqa", '[{"question_id": 1}]', "record 1: lacks 'answer', has 'question_id'"),
        ("vqa", "[{}]", "record 1: lacks 'question_id', has no field"),
        ("vqa", "[1]", "record 1: must be an object, got 1"),
        (
            "vqa",
            '[{"question_id": 1, "answer": "a"}, {"question_id": 1, "answer": "b"}]',
            "record 2: question_id '1' comes",
        ),
        ("vqa", '{"questions": []}', "file must hold one JSON list of answers"),
        ("vqa", "[]", "file holds no answer"),
        ("vqa", FILES["vqa"][:-3], r"file: broken JSON \(.*\): is it whole"),
        ("vqa", FILES["nlvr2"], "file: broken JSON"),
        ("gqa", FILES["vqa"], "record 1: lacks 'questionId'"),
        ("gqa", '[{"questionId": 7, "prediction": "a"}]', "record 1: questionId must be a text for 'gqa', got 7"),
        ("nlvr2", "dev-850-0-0,False\n\ndev-850-0-0,True\n", "line 3: identifier 'dev-850-0-0' comes a second time"),
        ("nlvr2", FILES["nlvr"], "line 1: identifier must look like dev-850-0-0 for 'nlvr2', got '1304-0'"),
        ("nlvr2", "dev-850-0-0\n", "line 1: must be identifier,label for 'nlvr2', got \"dev-850-0-0\""),
        ("nlvr2", "dev-850-0-0,True,0.9\n", "line 1: must be identifier,label"),
        ("nlvr2", "dev-850-0-0,yes\n", "line 1: label must be 'true' or 'false' for 'nlvr2', got 'yes'"),
        ("nlvr", FILES["nlvr2"], "line 1: identifier must look like 1304-0 or"),
        ("nlvr", FILES["vqa"], "line 1: must be identifier,label for 'nlvr', got"),
        ("nlvr", "", "file holds no answer"),
        ("answers", FILES["answers"] + "{", r"line 3: broken JSON \(.*\); write one object a line"),
        ("answers", '"yes"\n', 'line 1: must be an object, got "yes"'),
        ("gqa", '[{"questionId": "a", "prediction": "\\ud800"}]', "record 1: prediction is no valid Unicode text"),
        ("gqa", '[{"questionId": "\\ud800", "prediction": "a"}]', "record 1: questionId is no valid Unicode text"),
        ("vqa", '[{"question_id": "\\ud800", "answer": "a"}]', r'must be a whole number .*, got "\\ud800"'),
        ("vqa", '[{"question_id": ' + "9" * 5000 + "}]", r"file: broken JSON \(a whole number of too many digits\)"),
        ("answers", '\n{"question_id": ' + "9" * 5000, r"line 2: broken JSON \(a whole number of too many digits\)"),
        ("vqua", FILES["vqa"], "kind must be one of .*, got 'vqua'"),
    ],
)
def test_other_files_are_refused(kind: SubmissionKind, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_submission(tmp_path / "file", kind)


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_is_no_text_is_refused(kind: SubmissionKind, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\xfe\x00[")
    with pytest.raises(ValueError, match=r"file, line 1: no UTF-8 \(UTF-16\)"):
        read_submission(tmp_path / "file", kind)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_submission(tmp_path / "absent", kind)


def test_files_of_others_are_read_as_the_official_scripts_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("\ufeffdev-850-0-0, TRUE\r\n\r\n dev-850-1-0,false", encoding="utf-8")
    assert read_submission(file, "nlvr2") == {"dev-850-0-0": "true", "dev-850-1-0": "false"}
    file.write_text('[{"answer": "net", "answer_id": 3, "question_id": 458752000}]')
    assert read_submission(str(file), "vqa") == {"458752000": "net"}
