from pathlib import Path

import pytest

from lxmert.processing import Question, QuestionTable

QUESTIONS = [
    Question(("left", "right"), "Both are red.", {"true": 1.0}, "dev-0", kinds={"sentence": "dev-0"}),
    Question(("17",), "is it red?", {"yes": 1.0, "no": 0.5}, "1", ("yes", "no"), {"answer_type": "yes/no"}, ("2", "3")),
    Question(("17",), "what is it?", question_id="2"),
]


def test_questions_come_back_as_they_were(tmp_path: Path) -> None:
    table = QuestionTable.write(iter(QUESTIONS), tmp_path)
    assert list(table) == QUESTIONS
    assert [table[i] for i in range(3)] == QUESTIONS
    assert table[-1].answer is None
    assert list(table[1:]) == QUESTIONS[1:]
    assert table[1:].column("question_id") == ["1", "2"]
    assert table.column("image_ids") == [["left", "right"], ["17"], ["17"]]
    assert list(table.select([2, 0])) == [QUESTIONS[2], QUESTIONS[0]]


def test_a_table_of_the_same_key_is_opened_again(tmp_path: Path) -> None:
    first = QuestionTable.write(QUESTIONS, tmp_path, key=["digest"])

    def never():
        raise AssertionError("read again")
        yield

    assert list(QuestionTable.write(never(), tmp_path, key=["digest"])) == list(first)
    assert len(list(tmp_path.iterdir())) == 1
    QuestionTable.write(QUESTIONS[:1], tmp_path, key=["other"])
    assert len(list(tmp_path.iterdir())) == 2


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken():
        yield QUESTIONS[0]
        raise ValueError("row 2")

    with pytest.raises(ValueError, match="row 2"):
        QuestionTable.write(broken(), tmp_path, key=["digest"])
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="no question"):
        QuestionTable.write([], tmp_path)
