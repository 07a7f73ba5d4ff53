"""Metrics: plain functions, and the same as `evaluate.Metric`."""

from lxmert.evaluation.accuracy import AnswerAccuracy, answer_accuracy, majority_per_question_accuracy

__all__ = ["AnswerAccuracy", "answer_accuracy", "majority_per_question_accuracy"]
