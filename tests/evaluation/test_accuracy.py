import pytest

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
