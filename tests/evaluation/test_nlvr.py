import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.evaluation import NlvrAccuracy, nlvr_figures
from lxmert.processing import Question, QuestionTable
from tests.conftest import shared_folder


def examples(*rows: tuple[str, str]) -> list[Question]:
    return [
        Question(("1", "2"), "?", {right: 1.0}, str(row), kinds={"sentence": sentence})
        for row, (sentence, right) in enumerate(rows)
    ]


def given_answers(*answers: str) -> dict[str, str]:
    return {str(row): answer for row, answer in enumerate(answers)}


def test_figures_by_hand() -> None:
    asked = examples(("s", "true"), ("t", "false"), ("s", "false"), ("u", "true"), ("t", "false"))
    answers = given_answers("true", "false", "true", "true", "false")
    for source in (asked, QuestionTable.write(asked)):
        assert nlvr_figures(source, answers) == {"accuracy": 0.8, "consistency": pytest.approx(2 / 3)}
    metric = NlvrAccuracy(keep_in_memory=True)
    for row, question in enumerate(asked):
        metric.add(prediction=answers[str(row)], reference=question.answer, sentences=question.kinds["sentence"])
    assert metric.compute() == {"accuracy": 0.8, "consistency": pytest.approx(2 / 3)}


def test_consistency_needs_sentences() -> None:
    plain = [Question(("1",), "?", {"true": 1.0}, name) for name in "ab"]
    assert nlvr_figures(plain, {"a": "true", "b": "false"}) == {"accuracy": 0.5}
    with pytest.raises(ValueError, match=r"questions has 2 ids \('a', 'b'\) without kinds\['sentence'\]"):
        nlvr_figures([*plain, *examples(("s", "true"))], {"a": "true", "b": "false", "0": "true"})


@pytest.mark.parametrize("answer", ["True", "yes", "", "1"])
def test_other_answers_are_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=f"answers must be 'true' or 'false', got '{answer}' for question '1'"):
        nlvr_figures(examples(("s", "true"), ("s", "true")), given_answers("true", answer))


def test_other_right_answers_are_refused() -> None:
    for answer in ("True", "yes", ""):
        problem = f"the right answer 'true' or 'false', got '{answer}' for question '1'"
        with pytest.raises(ValueError, match=problem):
            nlvr_figures(examples(("s", "true"), ("s", answer)), given_answers("true", "true"))
        with pytest.raises(ValueError, match=problem):
            NlvrAccuracy().compute(predictions=["true"] * 2, references=["true", answer], sentences=["s", "s"])


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6))
def test_consistency_of_sentences_of_one_size_is_at_most_the_accuracy(sentences: list[list[bool]]) -> None:
    asked = examples(*((str(number), "true") for number, rights in enumerate(sentences) for _ in rights))
    figures = nlvr_figures(asked, given_answers(*(str(right).lower() for rights in sentences for right in rights)))
    assert figures["consistency"] == pytest.approx(sum(map(all, sentences)) / len(sentences))
    assert figures["consistency"] <= figures["accuracy"] + 1e-12
    assert (figures["consistency"] == 1) == (figures["accuracy"] == 1)


def test_the_development_set_of_nlvr2() -> None:
    lines = (shared_folder("data/nlvr2") / "dev.json").read_text().splitlines()
    asked, all_true = [], {}
    for example in map(json.loads, lines):
        split, image_set, _, sentence = example["identifier"].split("-")
        kinds = {"sentence": f"{split}-{image_set}--{sentence}"}
        asked.append(Question(("l", "r"), "?", {example["label"].lower(): 1.0}, example["identifier"], kinds=kinds))
        all_true[example["identifier"]] = "true"
    figures = nlvr_figures(asked, all_true)
    assert figures["accuracy"] == pytest.approx(0.5086, abs=1e-4), "a little more than half are true"
    right = {question.question_id: question.answer for question in asked}
    assert nlvr_figures(asked, right) == {"accuracy": 1, "consistency": 1}
    one_wrong = right | {"dev-850-0-0": "true"}
    sentences = len({question.kinds["sentence"] for question in asked})
    assert nlvr_figures(asked, one_wrong)["consistency"] == pytest.approx(1 - 1 / sentences)
