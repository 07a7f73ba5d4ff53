"""The tasks that a model can be fine-tuned on and judged by, each a record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxmert.evaluation import (
    SubmissionKind,
    answer_figures,
    gqa_figures,
    nlvr_figures,
    retrieval_figures,
    vqa_figures,
)
from lxmert.evaluation.given_answers import check_answers, question_ids
from lxmert.modeling_lxmert import (
    LxmertForImageAndTextRetrieval,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertPreTrainedModel,
)
from lxmert.processing import LxmertProcessor, Question, QuestionTable, RegionSource
from lxmert.training.collator import Targets, Withheld
from lxmert.training.evaluate import Predictions, answer_all
from lxmert.training.question_answering import Figures
from lxmert.training.retrieval import MATCHED, NOT_MATCHED, score_captions
from lxmert.training.settings import TrainingSettings
from lxmert.training.task_readers import (
    Reader,
    caption_questions,
    easy_vqa_questions,
    gqa_questions,
    nlvr2_questions,
    nlvr_questions,
    own_questions,
    vqa_questions,
)

TRUTHS = ("false", "true")


@dataclass(frozen=True)
class Judgement:
    """What a model is worth on some questions.

    Args:
        figures: shares in [0, 1] by name; none where the right answers are withheld.
        predictions: the answers; None for retrieval, which gives none.
    """

    figures: dict[str, float]
    predictions: Predictions | None = None

    def __str__(self) -> str:
        """The figures of all questions, one on a line; those of kinds of questions stand in the report."""
        shown = {name: value for name, value in self.figures.items() if name.count("/") < 2}
        if not shown:
            return "Right answers are withheld: there are no figures."
        return "\n".join(f"{name:<40}{value:>10.4f}" for name, value in shown.items())


@dataclass(frozen=True)
class FineTuningTask:
    """Reader, head, targets, figures and defaults of one task; what tasks share exists once, in what takes records.

    Args:
        name: as typed on a command line and in a recipe.
        title: in words.
        read: the questions of one split.
        head: the model's class.
        figures: of questions and the answers given to them, shares in [0, 1]; None for retrieval, whose figures are
            of captions and the images that they find.
        training_splits: to learn from, by default.
        validation_splits: that choose the checkpoint, by default; none holds some images of the training split out.
        test_split: that a finished model is judged by, by default; None for the validation split.
        targets: of the loss: "scores" of all answers, as the original has them for VQA and GQA, or "classes".
        answers: fixed ones; None builds a vocabulary out of the training questions.
        minimum_answer_count: rarer answers stay out of a vocabulary that is built.
        submission: form of the file of answers, the official one where there is one.
        training: fields of `TrainingSettings` that differ from its defaults, the paper's for VQA.
        max_length: largest number of wordpieces, [CLS] and [SEP] counted.
    """

    name: str
    title: str
    read: Reader
    head: type[LxmertPreTrainedModel]
    figures: Figures | None
    training_splits: tuple[str, ...] = ("train",)
    validation_splits: tuple[str, ...] = ("validation",)
    test_split: str | None = None
    targets: Targets = "classes"
    answers: tuple[str, ...] | None = None
    minimum_answer_count: int = 1
    submission: SubmissionKind = "answers"
    training: Mapping[str, Any] = field(default_factory=dict)
    max_length: int = 20

    def settings(self, output_dir: str | Path, **overrides: Any) -> TrainingSettings:
        """The settings of the loop, for one output folder."""
        return TrainingSettings(output_dir, **(dict(self.training) | overrides))

    def judge(
        self,
        model: LxmertPreTrainedModel,
        processor: LxmertProcessor,
        questions: Sequence[Question],
        regions: RegionSource,
        withhold: Withheld | None = None,
        batch_size: int = 256,
        workers: int = 0,
        **files: Any,
    ) -> Judgement:
        """Answer questions with a finished model, and say how well; arguments as in `answer_all`.

        Args:
            files: what else the figures are made of, such as GQA's `choices`.

        Returns:
            The same in every process.
        """
        if self.figures is None:
            retriever: Any = model
            scores, images = score_captions(retriever, processor, questions, regions, withhold, batch_size)
            return Judgement(retrieval_figures(scores.numpy(), images))
        return self.judge_answers(
            questions, answer_all(model, processor, questions, regions, withhold, batch_size, workers), **files
        )

    def judge_answers(
        self, questions: Sequence[Question], given: Predictions | Mapping[str, str], **files: Any
    ) -> Judgement:
        """Say how well questions were answered, by a model or in a file of answers by question id.

        Raises:
            ValueError: answers to other questions, questions without an answer, or a task without answers.
        """
        if self.figures is None:
            raise ValueError(
                f"Task {self.name} has no answers: it judges how well a model matches captions and images."
            )
        predictions = given if isinstance(given, Predictions) else Predictions(dict(given), {})
        if are_answered(questions):
            return Judgement(self.figures(questions, predictions.answers, **files), predictions)
        check_answers(question_ids(questions), predictions.answers)
        return Judgement({}, predictions)

    @property
    def default_split(self) -> str:
        """The split that a finished model is judged by.

        Raises:
            ValueError: a task that has no splits of its own.
        """
        if self.test_split is None and not self.validation_splits:
            raise ValueError(f"Task {self.name} has no splits of its own: name a file of questions (--split FILE).")
        return self.test_split or self.validation_splits[0]

    @property
    def answers_file(self) -> str:
        """Name of the file of answers."""
        return {"answers": "answers.jsonl", "nlvr": "answers.csv", "nlvr2": "answers.csv"}.get(
            self.submission, "answers.json"
        )


def are_answered(questions: Sequence[Question]) -> bool:
    """Whether any right answer is known; in test splits they are withheld."""
    if isinstance(questions, QuestionTable):
        return any(questions.column("answers"))
    return any(question.scores for question in questions)


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
    FineTuningTask(
        "retrieval",
        "captions and the images that they belong to (COCO, Flickr30k)",
        caption_questions,
        LxmertForImageAndTextRetrieval,
        None,
        test_split="test",
        answers=(NOT_MATCHED, MATCHED),
        max_length=32,
    ),
)
