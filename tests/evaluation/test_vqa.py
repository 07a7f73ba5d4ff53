import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.evaluation import VqaAccuracy, vqa_accuracy, vqa_figures
from lxmert.processing import Question, QuestionTable, normalize_vqa_answer, soft_scores
from lxmert.processing.vqa_answers import remove_vqa_punctuation

ANSWERS = ["yes", "Yes.", "no", "two", "2", "the dog", "dog", "t-shirt", "t shirt", "a"]


@pytest.mark.parametrize(
    ("answer", "annotators", "accuracy"),
    [
        ("yes", ["yes"] * 10, 1),
        ("Yes!", ["yes"] * 4 + ["no"] * 6, 1),
        ("yes", ["yes"] * 3 + ["no"] * 7, 0.9),
        ("yes", ["yes"] * 2 + ["no"] * 8, 0.6),
        ("yes", ["yes"] + ["no"] * 9, 0.3),
        ("maybe", ["yes"] + ["no"] * 9, 0),
        ("yes", ["yes."] * 2 + ["no"] * 8, 0.6),  # annotators lose punctuation
        ("yes", ["Yes"] * 2 + ["no"] * 8, 0),  # but keep their case
        ("2", ["two"] * 2 + ["no"] * 8, 0),  # and their words
        ("t-shirt", ["t-shirt"] * 9 + ["shirt"], 1),
        ("t-shirt", ["t-shirt"] * 10, 0),  # all equal: they stay as they are
        ("the", ["a"] * 9 + [""], 0.3),
        ("?", ["?"] + ["a"] * 9, 0),  # alone it becomes a space
        ("yes", ["yes"], 1),
        ("yes", ["yes"] * 2, 1 / 3),
        ("yes", ["yes"] * 4, 1),
    ],
)
def test_accuracy_by_hand(answer: str, annotators: list[str], accuracy: float) -> None:
    assert vqa_accuracy(answer, annotators) == pytest.approx(accuracy)


@given(st.sampled_from(ANSWERS), st.lists(st.sampled_from(ANSWERS), min_size=2, max_size=12))
def test_accuracy_is_the_average_over_leaving_one_out(answer: str, annotators: list[str]) -> None:
    compared = annotators if len(set(annotators)) == 1 else [remove_vqa_punctuation(given) for given in annotators]
    shares = []
    for left_out in range(len(compared)):
        others = compared[:left_out] + compared[left_out + 1 :]
        shares.append(min(1, sum(other == normalize_vqa_answer(answer) for other in others) / 3))
    assert vqa_accuracy(answer, annotators) == pytest.approx(sum(shares) / len(shares))


@given(st.lists(st.sampled_from(["yes", "no", "dog", "2", "don't know"]), min_size=1, max_size=12))
def test_soft_scores_of_clean_answers_are_their_accuracy(annotators: list[str]) -> None:
    for answer, score in soft_scores(annotators).items():
        assert vqa_accuracy(answer, annotators) == score


def test_no_annotator_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0 of 0"):
        vqa_accuracy("yes", [])
    with pytest.raises(TypeError, match="annotators must be a sequence of answers, got the text 'aaa'"):
        vqa_accuracy("a", "aaa")


def questions() -> list[Question]:
    ask = {"image_ids": ("1",), "text": "?"}
    return [
        Question(**ask, question_id="1", annotators=("yes",) * 8 + ("no",) * 2, kinds=kinds("yes/no", "is the")),
        Question(**ask, question_id="2", annotators=("2",) * 9 + ("3",), kinds=kinds("number", "how many")),
        Question(**ask, question_id="3", annotators=("red",) * 10, kinds=kinds("other", "what")),
        Question(**ask, question_id="4", annotators=("no",) * 10, kinds=kinds("yes/no", "what")),
    ]


def kinds(answer_type: str, question_type: str) -> dict[str, str]:
    return {"answer_type": answer_type, "question_type": question_type, "another": "kind"}


FIGURES = {
    "accuracy": (0.6 + 1 + 0 + 1) / 4,
    "accuracy/answer_type/number": 1,
    "accuracy/answer_type/other": 0,
    "accuracy/answer_type/yes/no": 0.8,
    "accuracy/question_type/how many": 1,
    "accuracy/question_type/is the": 0.6,
    "accuracy/question_type/what": 0.5,
}


@pytest.mark.parametrize("in_table", [False, True])
def test_figures_by_hand(in_table: bool) -> None:
    asked = QuestionTable.write(questions()) if in_table else questions()
    figures = vqa_figures(asked, {"4": "No", "1": "no.", "2": "two", "3": "blue"})
    assert figures == pytest.approx(FIGURES)
    assert list(figures) == list(FIGURES)


def test_without_annotators_the_score_of_the_answer_counts() -> None:
    asked = [Question(("1",), "?", {"net": 1.0, "t shirt": 0.25}, name) for name in "abc"]
    answers = {"a": "net", "b": "t shirt", "c": "t-shirt"}
    assert vqa_figures(asked, answers) == {"accuracy": pytest.approx((1 + 0.25 + 0) / 3)}
    assert vqa_figures(QuestionTable.write(asked), answers) == {"accuracy": pytest.approx((1 + 0.25 + 0) / 3)}


def test_the_metric_in_batches_and_by_type() -> None:
    predictions, references = ["no.", "two", "blue", "No"], [question.annotators for question in questions()]
    metric = VqaAccuracy(keep_in_memory=True)
    metric.add_batch(predictions=predictions[:1], references=references[:1])
    metric.add_batch(predictions=predictions[1:], references=references[1:])
    assert metric.compute() == {"accuracy": pytest.approx(0.65)}
    types = {
        name: [question.kinds[name[:-1]] for question in questions()] for name in ("answer_types", "question_types")
    }
    assert VqaAccuracy("types").compute(predictions=predictions, references=references, **types) == pytest.approx(
        FIGURES
    )
    with pytest.raises(ValueError, match=r"inputs are missing: \['answer_types', 'question_types'\]"):
        VqaAccuracy("types").compute(predictions=predictions, references=references)
    with pytest.raises(ValueError, match="config_name must be 'default' or 'types', got 'kinds'"):
        VqaAccuracy("kinds")
