"""The tasks that a model can be fine-tuned on and judged by, each a record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxmert.evaluation.accuracy import answer_figures
from lxmert.evaluation.gqa import gqa_figures
from lxmert.evaluation.nlvr import nlvr_figures
from lxmert.evaluation.vqa import vqa_figures
from lxmert.modeling_lxmert import LxmertForQuestionAnswering, LxmertForVisualReasoning, LxmertPreTrainedModel
from lxmert.training.collator import Targets
from lxmert.training.question_answering import Figures
from lxmert.training.settings import TrainingSettings
from lxmert.training.task_readers import (
    Reader,
    easy_vqa_questions,
    gqa_questions,
    nlvr2_questions,
    nlvr_questions,
    own_questions,
    vqa_questions,
)

TRUTHS = ("false", "true")


@dataclass(frozen=True)
class FineTuningTask:
    """Reader, head, targets, figures and defaults of one task; what tasks share exists once, in what takes records.

    Args:
        name: as typed on a command line and in a recipe.
        title: in words.
        read: the questions of one split.
        head: the model's class.
        figures: of questions and the answers given to them, shares in [0, 1].
        training_splits: to learn from, by default.
        validation_splits: that choose the checkpoint, by default; none holds some images of the training split out.
        test_split: that a finished model is judged by, by default; None for the validation split.
        targets: of the loss: "scores" of all answers, as the original has them for VQA and GQA, or "classes".
        answers: fixed ones; None builds a vocabulary out of the training questions.
        minimum_answer_count: rarer answers stay out of a vocabulary that is built.
        submission: form of the official file of answers.
        training: fields of `TrainingSettings` that differ from its defaults, the paper's for VQA.
        max_length: largest number of wordpieces, [CLS] and [SEP] counted.
    """

    name: str
    title: str
    read: Reader
    head: type[LxmertPreTrainedModel]
    figures: Figures
    training_splits: tuple[str, ...] = ("train",)
    validation_splits: tuple[str, ...] = ("validation",)
    test_split: str | None = None
    targets: Targets = "classes"
    answers: tuple[str, ...] | None = None
    minimum_answer_count: int = 1
    submission: str = "answers"
    training: Mapping[str, Any] = field(default_factory=dict)
    max_length: int = 20

    def settings(self, output_dir: str | Path, **overrides: Any) -> TrainingSettings:
        """The settings of the loop, for one output folder."""
        return TrainingSettings(output_dir, **(dict(self.training) | overrides))


def _records(*tasks: FineTuningTask) -> dict[str, FineTuningTask]:
    return {task.name: task for task in tasks}


TASKS: dict[str, FineTuningTask] = _records(
    FineTuningTask(
        "vqa",
        "VQA v2 (Goyal et al. 2017)",
        vqa_questions,
        LxmertForQuestionAnswering,
        vqa_figures,
        targets="scores",
        minimum_answer_count=9,
        submission="vqa",
    ),
    FineTuningTask(
        "gqa",
        "GQA (Hudson & Manning 2019)",
        gqa_questions,
        LxmertForQuestionAnswering,
        gqa_figures,
        test_split="testdev",
        targets="scores",
        submission="gqa",
        training={"learning_rate": 1e-5},
    ),
    FineTuningTask(
        "nlvr2",
        "NLVR2 (Suhr et al. 2019): a sentence about two photographs, true or false",
        nlvr2_questions,
        LxmertForVisualReasoning,
        nlvr_figures,
        validation_splits=("dev",),
        answers=TRUTHS,
        submission="nlvr2",
    ),
    FineTuningTask(
        "nlvr",
        "NLVR v1 (Suhr et al. 2017): a sentence about three boxes of shapes, true or false",
        nlvr_questions,
        LxmertForQuestionAnswering,
        nlvr_figures,
        test_split="dev",
        answers=TRUTHS,
        submission="nlvr",
        max_length=64,
    ),
    FineTuningTask(
        "easy_vqa",
        "easy-VQA: drawings of one shape each",
        easy_vqa_questions,
        LxmertForQuestionAnswering,
        answer_figures,
        test_split="test",
    ),
    FineTuningTask(
        "my_dataset",
        "your own pictures, questions and answers",
        own_questions,
        LxmertForQuestionAnswering,
        answer_figures,
        training_splits=(),
        validation_splits=(),
        max_length=64,
    ),
)
