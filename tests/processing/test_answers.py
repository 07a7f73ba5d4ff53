import json
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.processing.answers import (
    answer_ids,
    build_answer_table,
    build_answer_vocabulary,
    clean_answer,
    read_answer_list,
)
from lxmert.processing.questions import Question, QuestionTable
from lxmert.processing.vqa_answers import normalize_vqa_answer
from tests.conftest import shared_folder


@pytest.fixture(scope="module")
def released() -> Path:
    return shared_folder("data/answers")


@pytest.mark.parametrize(
    ("answer", "cleaned"),
    [
        ("", ""),
        (".", ""),
        ("Yes.", "yes"),
        ("yes ..", "yes ."),  # one full stop only
        ("No .", "no"),
        ("a man", "man"),
        ("The woman.", "woman"),
        ("an umbrella", "umbrella"),
        ("a an the end", "end"),
        ("the a team", "a team"),
        ("another", "another"),
        ("the", "the"),
        ("ONE", "1"),
        ("the ten", "10"),
        ("eleven", "eleven"),
        ("a grey", "gray"),
        ("grey cat", "grey cat"),
    ],
)
def test_answers_are_cleaned_as_by_the_original(answer: str, cleaned: str) -> None:
    assert clean_answer(answer) == cleaned


@given(st.lists(st.sampled_from(["A", "an", "the", "one", "grey", "cat"]), min_size=1, max_size=5))
def test_case_and_a_full_stop_change_nothing(words: list[str]) -> None:
    answer = " ".join(words)
    assert clean_answer(answer.upper()) == clean_answer(answer + ".") == clean_answer(answer.lower())


def test_the_table_counts_sentences_across_data_sets() -> None:
    records = datasets.Dataset.from_dict(
        {
            "answers": [["yes", "no"], ["The cat"], [], ["no"], ["cat"], ["cat"], ["a dog"], ["", "."]],
            "scores": [[1.0, 0.3], [1.0], [], [1.0], [0.3], [0.3], [1.0], [1.0, 0.3]],
            "source": ["vqa", "vqa", "coco", "gqa", "gqa", "gqa", "gqa", "gqa"],
        }
    )
    assert build_answer_table(records) == ["cat", "no", "dog", "yes"]
    assert build_answer_table(records, minimum_count=2) == ["cat", "no"]
    assert build_answer_table(records.select([0, 1])) == ["cat", "no", "yes"]
    with pytest.raises(ValueError, match="records hold 4 different answers, none in 4 sentences or more"):
        build_answer_table(records, minimum_count=4)
    with pytest.raises(ValueError, match="minimum_count must be at least 1, got 0"):
        build_answer_table(records, minimum_count=0)


def questions_with(*answers: list[str]) -> list[Question]:
    return [
        Question(("1",), "what is it?", dict.fromkeys(texts, 1.0), question_id=str(row))
        for row, texts in enumerate(answers)
    ]


def test_the_vocabulary_counts_the_answer_that_stands_for_a_question(tmp_path: Path) -> None:
    questions = questions_with(["no", "yes"], ["yes"], [], ["Zebra"], ["zebra"], ["no"], [""], ["a dog", "no"])
    table = QuestionTable.write(questions, tmp_path)
    for source in (questions, iter(questions), table):
        assert build_answer_vocabulary(source) == ["no", "Zebra", "a dog", "yes", "zebra"], "spelt as they are"
    for source in (questions, table):
        assert build_answer_vocabulary(source, minimum_count=2) == ["no"]
        with pytest.raises(ValueError, match="questions hold 5 different answers, none in 3 questions or more"):
            build_answer_vocabulary(source, minimum_count=3)
        with pytest.raises(ValueError, match="minimum_count must be at least 1, got 0"):
            build_answer_vocabulary(source, minimum_count=0)
    assert build_answer_vocabulary(table.select([1, 3, 2])) == ["Zebra", "yes"]
    with pytest.raises(ValueError, match=r"0 different answers, .* give questions with answers"):
        build_answer_vocabulary(questions_with([], []))


@given(st.lists(st.lists(st.sampled_from(["yes", "no", "", "2"]), max_size=2, unique=True), min_size=1, max_size=9))
def test_a_table_and_a_list_give_one_vocabulary(answers: list[list[str]]) -> None:
    questions = questions_with(*answers, ["red"])
    assert build_answer_vocabulary(QuestionTable.write(questions)) == build_answer_vocabulary(questions)


def test_the_released_heads_find_their_rows_among_the_pretraining_answers(released: Path) -> None:
    rows = answer_ids(read_answer_list(released / "lxmert_all_ans.json"))
    vqa = read_answer_list(released / "vqa_label2ans.json")
    gqa = read_answer_list(released / "gqa_label2ans.json")
    assert sum(answer in rows for answer in vqa) == 3124
    assert sum(answer in rows for answer in gqa) == 1736


def test_vqa_answers_are_normalised_as_the_released_list(released: Path) -> None:
    vqa = read_answer_list(released / "vqa_label2ans.json")
    assert [answer for answer in vqa if normalize_vqa_answer(answer) != answer] == []


def test_the_released_lists(released: Path) -> None:
    everything = read_answer_list(released / "lxmert_all_ans.json")
    assert len(everything) == 9500
    assert everything[:3] == ['"stop"', "0", "000"]
    vqa = read_answer_list(released / "lxmert_all_ans.json", sources=("vqa",))
    assert len(vqa) == 3124
    assert vqa[0] == "0"
    assert len(read_answer_list(released / "lxmert_all_ans.json", ["vqa", "gqa", "visual7w"])) == 9500
    assert len(read_answer_list(released / "vqa_label2ans.json")) == 3129
    gqa = read_answer_list(released / "gqa_label2ans.json")
    assert (len(gqa), gqa[:2]) == (1842, ["cat food", "elephant"])
    with pytest.raises(ValueError, match="does not say which data set an answer is from"):
        read_answer_list(released / "gqa_label2ans.json", sources=["gqa"])
    with pytest.raises(ValueError, match=r"sources must be some of \['gqa', 'visual7w', 'vqa'\], .* got \['vqq'\]"):
        read_answer_list(released / "lxmert_all_ans.json", sources=["vqq"])
    with pytest.raises(ValueError, match="got 'vqa'"):
        read_answer_list(released / "lxmert_all_ans.json", sources="vqa")


def test_answers_find_their_rows_however_a_list_spells_them() -> None:
    ids = answer_ids(["Yes", "grey", "The cat.", "gray", "no", "NO"])
    assert ids == {"Yes": 0, "yes": 0, "grey": 1, "gray": 3, "The cat.": 2, "cat": 2, "no": 4, "NO": 5}
    assert answer_ids(["A dog", "the dog"])["dog"] == 0, "of two rows that are spelt otherwise the first"
    assert answer_ids([]) == {}


def test_the_released_lists_are_clean(released: Path) -> None:
    for path in released.glob("*.json"):
        answers = read_answer_list(path)
        assert answer_ids(answers) == {answer: i for i, answer in enumerate(answers)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["yes", "no", "yes"], "has the answer 'yes' more than once"),
        (["yes", 3], "must be a JSON list of answers"),
        ([], "must be a JSON list of answers"),
        ({"yes": 0}, "must be a JSON list of answers"),
        ([{"ans": "yes"}], "must be a JSON list of answers"),
        ([{"ans": "yes", "dsets": [["vqa"]]}], "must be a JSON list of answers"),
        (["yes", " "], r"answers\.json has ' ', which is no answer: it is blank"),
        ([{"ans": "\ud800", "dsets": ["vqa"]}], r"answers\.json has '\\ud800', which is no answer"),
    ],
)
def test_other_lists_are_refused(content: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_answer_list(tmp_path / "answers.json")


def test_an_empty_answer_is_one_as_in_the_original_list(tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text('\ufeff["", "yes"]', encoding="utf-8")
    assert read_answer_list(tmp_path / "answers.json") == ["", "yes"]
