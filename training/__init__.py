"""Tasks as records, readers of data sets, masking, collators, recipes, and one training loop."""

from lxmert.processing.processes import process_state
from lxmert.training.captions import read_captions
from lxmert.training.collator import AnswerCollator
from lxmert.training.command_line import sections, show_plain_errors
from lxmert.training.easy_vqa import EasyVqa, read_easy_vqa
from lxmert.training.evaluate import Predictions, answer_all, evaluate_answers, predict_answers
from lxmert.training.finetuning_data import FineTuningData, RegionChoice
from lxmert.training.finetuning_recipe import FineTuningRecipe, read_finetuning_recipe
from lxmert.training.gqa import read_gqa
from lxmert.training.hold_out import HeldOut, hold_out
from lxmert.training.loop import TrainingResult, train
from lxmert.training.masking import ORIGINAL_CODE, PAPER, PretrainingObjectives
from lxmert.training.nlvr import Nlvr, nlvr_images, read_nlvr
from lxmert.training.nlvr2 import read_nlvr2
from lxmert.training.original_questions import read_original_questions
from lxmert.training.own_questions import OwnData, read_own_questions
from lxmert.training.pretraining import measure_pretraining, pretraining_task
from lxmert.training.pretraining_collator import PretrainingCollator
from lxmert.training.pretraining_examples import PretrainingExample, PretrainingExamples
from lxmert.training.pretraining_report import PretrainingStart, pretraining_table
from lxmert.training.question_answering import question_answering_task
from lxmert.training.recipe import PretrainingRecipe, read_recipe
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Task
from lxmert.training.tasks import TASKS, FineTuningTask
from lxmert.training.training_data_card import TrainingData, TrainingDataCard, training_data_of, warn_if_trained_on
from lxmert.training.trivial_predictors import trivial_predictors
from lxmert.training.vqa import read_vqa

__all__ = [
    "ORIGINAL_CODE",
    "PAPER",
    "TASKS",
    "AnswerCollator",
    "EasyVqa",
    "FineTuningData",
    "FineTuningRecipe",
    "FineTuningTask",
    "HeldOut",
    "Nlvr",
    "OwnData",
    "Predictions",
    "PretrainingCollator",
    "PretrainingExample",
    "PretrainingExamples",
    "PretrainingObjectives",
    "PretrainingRecipe",
    "PretrainingStart",
    "RegionChoice",
    "Task",
    "TrainingData",
    "TrainingDataCard",
    "TrainingResult",
    "TrainingSettings",
    "answer_all",
    "evaluate_answers",
    "hold_out",
    "measure_pretraining",
    "nlvr_images",
    "predict_answers",
    "pretraining_table",
    "pretraining_task",
    "process_state",
    "question_answering_task",
    "read_captions",
    "read_easy_vqa",
    "read_finetuning_recipe",
    "read_gqa",
    "read_nlvr",
    "read_nlvr2",
    "read_original_questions",
    "read_own_questions",
    "read_recipe",
    "read_vqa",
    "sections",
    "show_plain_errors",
    "train",
    "training_data_of",
    "trivial_predictors",
    "warn_if_trained_on",
]
