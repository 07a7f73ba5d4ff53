"""Metrics as plain functions and as `evaluate.Metric`, and the files that official evaluations take."""

from lxmert.evaluation.accuracy import (
    AnswerAccuracy,
    answer_accuracy,
    answer_figures,
    majority_per_question_accuracy,
)
from lxmert.evaluation.gqa import GqaAccuracy, gqa_figures
from lxmert.evaluation.nlvr import NlvrAccuracy, nlvr_figures
from lxmert.evaluation.retrieval import RetrievalRecall, retrieval_figures
from lxmert.evaluation.submissions import SubmissionKind, read_submission, write_submission
from lxmert.evaluation.vqa import VqaAccuracy, vqa_accuracy, vqa_figures

__all__ = [
    "AnswerAccuracy",
    "GqaAccuracy",
    "NlvrAccuracy",
    "RetrievalRecall",
    "SubmissionKind",
    "VqaAccuracy",
    "answer_accuracy",
    "answer_figures",
    "gqa_figures",
    "majority_per_question_accuracy",
    "nlvr_figures",
    "read_submission",
    "retrieval_figures",
    "vqa_accuracy",
    "vqa_figures",
    "write_submission",
]
