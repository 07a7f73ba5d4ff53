"""Tasks as records, readers of question data sets, collators, and one training loop."""

from lxmert.training.collator import AnswerCollator, QuestionExample
from lxmert.training.easy_vqa import EasyVqa, read_easy_vqa
from lxmert.training.evaluate import evaluate_answers
from lxmert.training.loop import TrainingResult, train
from lxmert.training.question_answering import question_answering_task
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Task

__all__ = [
    "AnswerCollator",
    "EasyVqa",
    "QuestionExample",
    "Task",
    "TrainingResult",
    "TrainingSettings",
    "evaluate_answers",
    "question_answering_task",
    "read_easy_vqa",
    "train",
]
