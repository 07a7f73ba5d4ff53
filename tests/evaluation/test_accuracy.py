import numpy as np
import pytest
import torch

from lxmert.evaluation import AnswerAccuracy, answer_accuracy, answer_figures, majority_per_question_accuracy
from lxmert.processing import Question, QuestionTable


def test_accuracy_by_hand() -> None:
    assert answer_accuracy(["red", "no", "yes"], ["red", "yes", "yes"]) == pytest.approx(2 / 3)
    assert AnswerAccuracy().compute(predictions=[0, 1, 2, 2], references=[0, 1, 1, 2]) == {"accuracy": 0.75}


def test_the_metric_counts_batches_together() -> None:
    metric = AnswerAccuracy(keep_in_memory=True)
    metric.add_batch(predictions=[0, 1], references=[0, 0])
    metric.add_batch(predictions=[5], references=[5])
    assert metric.compute() == {"accuracy": pytest.approx(2 / 3)}


@pytest.mark.parametrize("value", [1.7, -0.5, float("nan"), float("inf")])
def test_the_metric_cuts_nothing_off(value: float) -> None:
    with pytest.raises(ValueError, match=f"predictions must be class ids, whole numbers, got {value}"):
        AnswerAccuracy().compute(predictions=[1, value], references=[1, 1])
    with pytest.raises(ValueError, match=f"references must be class ids, whole numbers, got {value}"):
        AnswerAccuracy().compute(predictions=[1, 1], references=[value, 1])


def test_the_accuracy_is_a_float_whatever_it_counts() -> None:
    for kind in (np.array, list, torch.tensor):
        assert type(answer_accuracy(kind([1, 2]), kind([1, 3]))) is float
        assert AnswerAccuracy().compute(predictions=kind([1, 2]), references=kind([1, 3])) == {"accuracy": 0.5}


def test_majority_by_hand() -> None:
    training = [("red?", "no")] * 2 + [("red?", "yes"), ("shape?", "circle"), ("shape?", "circle")] + [("x", "no")]
    testing = [("red?", "no"), ("shape?", "circle"), ("shape?", "square"), ("never seen", "no")]
    assert majority_per_question_accuracy(training, testing) == 0.75


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(ValueError, match="equal counts above 0, got 1 and 2"):
        answer_accuracy(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="got 0 and 0"):
        answer_accuracy([], [])
    with pytest.raises(ValueError, match="training holds no"):
        majority_per_question_accuracy([], [("a", "b")])


def test_scores_are_averaged_over_all_and_by_kind() -> None:
    questions = [
        Question(("1",), "what is it?", {"circle": 1.0, "ring": 0.5}, "a", kinds={"shape": "circle", "size": "10"}),
        Question(("2",), "what is it?", {"square": 1.0}, "b", kinds={"shape": "square", "size": "9"}),
        Question(("3",), "is it red?", {"yes": 1.0}, "c", kinds={"size": "9"}),
    ]
    answers = {"a": "ring", "b": "square", "c": "Yes"}
    expected = {
        "accuracy": 0.5,
        "accuracy/shape/circle": 0.5,
        "accuracy/shape/square": 1.0,
        "accuracy/size/9": 0.5,
        "accuracy/size/10": 0.5,
    }
    for source in (questions, QuestionTable.write(questions)):
        figures = answer_figures(source, answers)
        assert figures == expected
        assert list(figures) == list(expected), "numbers by their size"
