"""Tasks as records, readers of data sets, masking, collators, pre-training recipes, and one training loop."""

from lxmert.training.collator import AnswerCollator
from lxmert.training.easy_vqa import EasyVqa, read_easy_vqa
from lxmert.training.evaluate import evaluate_answers
from lxmert.training.loop import TrainingResult, train
from lxmert.training.masking import ORIGINAL_CODE, PAPER, PretrainingObjectives
from lxmert.training.nlvr import Nlvr, read_nlvr
from lxmert.training.pretraining import measure_pretraining, pretraining_task
from lxmert.training.pretraining_collator import PretrainingCollator
from lxmert.training.pretraining_examples import PretrainingExample, PretrainingExamples
from lxmert.training.pretraining_report import PretrainingStart, pretraining_table
from lxmert.training.question_answering import question_answering_task
from lxmert.training.recipe import PretrainingRecipe, read_recipe
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Task
from lxmert.training.trivial_predictors import trivial_predictors

__all__ = [
    "ORIGINAL_CODE",
    "PAPER",
    "AnswerCollator",
    "EasyVqa",
    "Nlvr",
    "PretrainingCollator",
    "PretrainingExample",
    "PretrainingExamples",
    "PretrainingObjectives",
    "PretrainingRecipe",
    "PretrainingStart",
    "Task",
    "TrainingResult",
    "TrainingSettings",
    "evaluate_answers",
    "measure_pretraining",
    "pretraining_table",
    "pretraining_task",
    "question_answering_task",
    "read_easy_vqa",
    "read_nlvr",
    "read_recipe",
    "train",
    "trivial_predictors",
]
