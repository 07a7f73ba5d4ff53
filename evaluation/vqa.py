"""The accuracy of VQA (Antol et al. 2015): how well an answer agrees with ten annotators."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate

from lxmert.evaluation.given_answers import Means, check_answers, check_known, question_ids, read_fields
from lxmert.processing.questions import Question
from lxmert.processing.vqa_answers import annotator_agreement, normalize_vqa_answer, remove_vqa_punctuation

KINDS = ("answer_type", "question_type")


def vqa_accuracy(answer: str, annotators: Sequence[str]) -> float:
    """The official accuracy of one answer, in [0, 1].

    min(1, matches / 3) among the other annotators, averaged over leaving out each once, so 0.3, 0.6, 0.9 and 1 for
    one, two, three and more of ten. The answer is normalised in full; annotators' answers lose their punctuation
    only, and stay as published where all are equal, as in the official code. So where all ten write "t-shirt", no
    answer scores.

    Args:
        answer: a model's.
        annotators: their answers as published.

    Raises:
        ValueError: no annotator.
        TypeError: one text in place of the annotators' answers.

    Example:
        >>> annotators = ["cat"] * 2 + ["kitten"] + ["dog."] * 7
        >>> vqa_accuracy("A cat", annotators), vqa_accuracy("kitten", annotators), vqa_accuracy("dog", annotators)
        (0.6, 0.3, 1.0)
    """
    if isinstance(annotators, str):
        raise TypeError(f"annotators must be a sequence of answers, got the text {annotators!r}: put it into a list.")
    if len(set(annotators)) > 1:
        annotators = [remove_vqa_punctuation(given) for given in annotators]
    return annotator_agreement(annotators.count(normalize_vqa_answer(answer)), len(annotators))


def vqa_figures(questions: Sequence[Question], answers: Mapping[str, str], progress: bool = True) -> dict[str, float]:
    """The official accuracy over all questions, by type of answer and by type of question (`vqaEval.py`).

    Nothing is rounded; the official code rounds per cent to two places.

    Args:
        questions: with annotators' answers. Where a question has none but scores, as in the files that LXMERT's
            authors re-distribute, the score of the answer counts, as in their evaluator: the answer is not normalised.
        answers: texts by question id, one for every question.
        progress: shows a bar where this takes a while.

    Returns:
        In [0, 1]: "accuracy", and such as "accuracy/answer_type/yes/no", "accuracy/question_type/how many".

    Raises:
        ValueError: ids do not fit together, or right answers are withheld.
        TypeError: an answer that is no text.

    Example:
        >>> questions = [
        ...     Question(("1",), "cat?", {}, "a", ("yes",) * 8 + ("no",) * 2, {"answer_type": "yes/no"}),
        ...     Question(("1",), "which?", {}, "b", ("tabby",) * 3 + ("grey",) * 7, {"answer_type": "other"}),
        ... ]
        >>> vqa_figures(questions, {"a": "no", "b": "tabby"})  # 0.6 and 0.9
        {'accuracy': 0.75, 'accuracy/answer_type/other': 0.9, 'accuracy/answer_type/yes/no': 0.6}
    """
    check_answers(question_ids(questions), answers)
    means, withheld = Means(), []
    for question_id, question in read_fields(questions, ["annotators", "scores", "kinds"], progress):
        if question.annotators:
            score = vqa_accuracy(answers[question_id], question.annotators)
        else:
            score = question.scores.get(answers[question_id], 0.0)
            if not question.scores:
                withheld.append(question_id)
        means.add(score, "accuracy")
        for kind in KINDS:
            if kind in question.kinds:
                means.add(score, "accuracy", kind, question.kinds[kind])
    check_known(withheld)
    return means.figures()


class VqaAccuracy(evaluate.Metric):
    """`vqa_figures` as an `evaluate` metric; works without network.

    References are the lists of annotators' answers. `VqaAccuracy("types")` also takes the columns `answer_types` and
    `question_types`, and breaks the accuracy down.

    Example:
        >>> VqaAccuracy().compute(predictions=["2", "red"], references=[["two", "2", "2."] + ["3"] * 7, ["red"] * 10])
        {'accuracy': 0.8}
    """

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in ("default", "types"):
            raise ValueError(f"config_name must be 'default' or 'types', got {self.config_name!r}.")
        features = {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("string"))}
        if self.config_name == "types":
            features |= {f"{kind}s": datasets.Value("string") for kind in KINDS}
        return evaluate.MetricInfo(
            description="Agreement of answers with several annotators, as VQA measures it.",
            citation="",
            inputs_description="predictions: answers; references: the annotators' answers to each question",
            features=datasets.Features(features),
        )

    def _compute(self, predictions: Any, references: Any, **types: Any) -> dict[str, float]:
        questions = [
            Question((), "", {}, str(row), tuple(annotators), {kind: types[f"{kind}s"][row] for kind in KINDS if types})
            for row, annotators in enumerate(references)
        ]
        answers = {str(row): answer for row, answer in enumerate(predictions)}
        return vqa_figures(questions, answers, progress=False)
