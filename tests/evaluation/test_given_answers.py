"""What every metric refuses, and how questions of a table are read."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.evaluation import answer_figures, gqa_figures, nlvr_figures, vqa_figures
from lxmert.evaluation.given_answers import Field, Means, read_fields
from lxmert.processing import Question, QuestionTable

Figures = Callable[[Sequence[Question], Mapping[str, str]], dict[str, float]]
FIGURES: list[Figures] = [answer_figures, vqa_figures, gqa_figures, nlvr_figures]


def yes_or_no(*ids: str, scores: Mapping[str, float] | None = None) -> list[Question]:
    right = {"true": 1.0} if scores is None else scores
    return [Question(("1",), "is it?", right, question_id) for question_id in ids]


@pytest.mark.parametrize("figures", FIGURES)
@pytest.mark.parametrize("in_table", [False, True])
def test_what_does_not_fit_is_refused(figures: Figures, in_table: bool) -> None:
    def refuses(message: str, questions: list[Question], answers: dict, error: type[Exception] = ValueError) -> None:
        with pytest.raises(error, match=message):
            figures(QuestionTable.write(questions) if in_table else questions, answers)

    answers = dict.fromkeys("abcde", "true")
    assert figures(yes_or_no(*"abcde"), answers)["accuracy"] == 1
    refuses(r"answers has 4 ids \('b', 'c', 'd', ...\) that no question has", yes_or_no("a"), answers)
    refuses(r"answers lacks 1 id \('f'\) of 6 questions", yes_or_no(*"fabcde"), answers)
    refuses(r"questions has 2 ids \('a', 'c'\) more than once", yes_or_no(*"aabcccde"), answers)
    refuses(r"2 ids \('d', 'e'\) without a right answer.*submission", yes_or_no(*"abc") + unknown("d", "e"), answers)
    refuses("answers must be texts, got 3 for question 'e'", yes_or_no(*"abcde"), answers | {"e": 3}, TypeError)


def unknown(*ids: str) -> list[Question]:
    return yes_or_no(*ids, scores={})


@pytest.mark.parametrize("figures", FIGURES)
def test_no_question_is_refused(figures: Figures) -> None:
    with pytest.raises(ValueError, match="questions holds no question"):
        figures([], {})


texts = st.text(alphabet="ab é/", max_size=3)
questions_strategy = st.lists(
    st.builds(
        Question,
        image_ids=st.just(("1",)),
        text=texts,
        scores=st.dictionaries(texts, st.sampled_from([0.25, 0.5, 1.0]), max_size=3),
        question_id=st.just("q"),
        annotators=st.lists(texts, max_size=3).map(tuple),
        kinds=st.dictionaries(texts, texts, max_size=2),
        entailed=st.lists(texts, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


@given(questions_strategy, st.sets(st.sampled_from(["text", "scores", "annotators", "kinds", "entailed"])))
def test_a_table_gives_the_fields_that_are_asked_for(questions: list[Question], fields: set[Field]) -> None:
    read = [question for _, question in read_fields(QuestionTable.write(questions), fields, progress=False)]
    empty = Question((), "")
    for question, original in zip(read, questions, strict=True):
        assert question.question_id == "q"
        for name in ("text", "scores", "annotators", "kinds", "entailed"):
            assert getattr(question, name) == getattr(original if name in fields else empty, name)
        assert list(question.scores) == (list(original.scores) if "scores" in fields else []), "in order"


def test_a_part_of_a_table_is_read_in_its_order() -> None:
    questions = [Question(("1",), "", {"yes": 1.0}, str(row), kinds={"row": str(row)}) for row in range(25_000)]
    part = QuestionTable.write(questions).select(range(24_999, 9, -1))
    read = list(read_fields(part, ["kinds"], progress=False))
    assert [question_id for question_id, _ in read] == [str(row) for row in range(24_999, 9, -1)]
    assert all(question.kinds == {"row": question_id} for question_id, question in read)


def test_means_come_in_order() -> None:
    means = Means()
    for score, *name in [(1, "b"), (0, "b", "k", "10"), (1, "b", "k", "9"), (1, "a"), (0, "b"), (1, "b", "k", "x/y")]:
        means.add(score, *name)
    assert list(means.figures().items()) == [("b", 0.5), ("a", 1), ("b/k/9", 1), ("b/k/10", 0), ("b/k/x/y", 1)]
