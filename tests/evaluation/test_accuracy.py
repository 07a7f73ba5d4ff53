import pytest

from lxmert.evaluation import AnswerAccuracy, answer_accuracy, majority_per_question_accuracy


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
