"""Accuracy of answers, and the accuracy that needs no image."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import datasets
import evaluate

from lxmert.evaluation.given_answers import Means, check_answers, check_known, question_ids, read_fields
from lxmert.processing.questions import Question


def answer_accuracy(predictions: Sequence[Hashable], references: Sequence[Hashable]) -> float:
    """Share of predictions that equal their reference, in [0, 1].

    Raises:
        ValueError: different counts, or none.

    Example:
        >>> answer_accuracy(["red", "no"], ["red", "yes"])
        0.5
    """
    if len(predictions) != len(references) or not len(references):
        raise ValueError(f"Accuracy needs equal counts above 0, got {len(predictions)} and {len(references)}.")
    return float(sum(p == r for p, r in zip(predictions, references, strict=True)) / len(references))


def answer_figures(
    questions: Sequence[Question], answers: Mapping[str, str], progress: bool = True
) -> dict[str, float]:
    """The mean score of answers to questions of any data set, over all and by every kind that questions have.

    An answer's score is the one that the question gives it, 0 where it gives none: accuracy, where every question has
    one right answer of score 1. The original's evaluators do the same.

    Args:
        questions: with answers.
        answers: texts by question id, one for every question.
        progress: shows a bar where this takes a while.

    Returns:
        In [0, 1]: "accuracy", and such as "accuracy/shape/circle" for a kind "shape".

    Raises:
        ValueError: ids do not fit together, or right answers are withheld.
        TypeError: an answer that is no text.

    Example:
        >>> questions = [
        ...     Question(("1",), "what is it?", {"circle": 1.0, "ring": 0.3}, question_id="a"),
        ...     Question(("1",), "is it red?", {"yes": 1.0}, question_id="b"),
        ... ]
        >>> answer_figures(questions, {"a": "ring", "b": "yes"})  # (0.3 + 1) / 2
        {'accuracy': 0.65}
    """
    check_answers(question_ids(questions), answers)
    means, withheld = Means(), []
    for question_id, question in read_fields(questions, ["scores", "kinds"], progress):
        if not question.scores:
            withheld.append(question_id)
        score = question.scores.get(answers[question_id], 0.0)
        means.add(score, "accuracy")
        for kind, value in question.kinds.items():
            means.add(score, "accuracy", kind, value)
    check_known(withheld)
    return means.figures()


def majority_per_question_accuracy(training: Sequence[tuple[str, str]], testing: Sequence[tuple[str, str]]) -> float:
    """Accuracy of answering each question text with its most frequent training answer, without any image.

    A question text that training has not seen gets the most frequent answer of all.

    Args:
        training: (question, answer) pairs.
        testing: (question, answer) pairs.

    Raises:
        ValueError: no pair in one of them.

    Example:
        >>> majority_per_question_accuracy([("red?", "no"), ("red?", "no"), ("red?", "yes")], [("red?", "yes")])
        0.0
    """
    if not training:
        raise ValueError("training holds no (question, answer) pair.")
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for question, answer in training:
        by_question[question][answer] += 1
    overall = Counter(answer for _, answer in training)
    guesses = [by_question.get(question, overall).most_common(1)[0][0] for question, _ in testing]
    return answer_accuracy(guesses, [answer for _, answer in testing])


class AnswerAccuracy(evaluate.Metric):
    """`answer_accuracy` for class ids as an `evaluate` metric; works without network.

    `compute` raises a ValueError where predictions or references are no whole numbers.

    Example:
        >>> AnswerAccuracy().compute(predictions=[3, 1], references=[3, 2])
        {'accuracy': 0.5}
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Share of answers that are right.",
            citation="",
            inputs_description="predictions and references: class ids of equal count",
            features=datasets.Features({name: datasets.Value("float64") for name in ("predictions", "references")}),
        )  # as integers, fractions would be cut off before anything could refuse them

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        for name, values in (("predictions", predictions), ("references", references)):
            for value in values:
                if not float(value).is_integer():
                    raise ValueError(f"{name} must be class ids, whole numbers, got {value}: take the largest logit's.")
        return {"accuracy": answer_accuracy(predictions, references)}
