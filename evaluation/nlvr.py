"""The figures of NLVR (Suhr et al. 2017) and NLVR2 (Suhr et al. 2019): accuracy and consistency."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate

from lxmert.evaluation.given_answers import Means, check_answers, check_known, first_few, question_ids, read_fields
from lxmert.processing.questions import Question

ANSWERS = ("false", "true")


def nlvr_figures(questions: Sequence[Question], answers: Mapping[str, str], progress: bool = True) -> dict[str, float]:
    """Accuracy, and consistency where questions say which examples share a sentence (`kinds["sentence"]`).

    Consistency is the share of sentences all of whose examples are right. An example of NLVR2 is known by
    split-set-pair-sentence, and shares its sentence with those that differ in the pair only; one of NLVR by
    set-position, and shares it with its set (the data sets' `metrics.py`, `metrics_structured_rep.py`).

    Args:
        questions: with the answer "false" or "true".
        answers: "false" or "true" by question id, one for every question.
        progress: shows a bar where this takes a while.

    Returns:
        In [0, 1]: "accuracy", and "consistency".

    Raises:
        ValueError: ids do not fit together, right answers are withheld, only some questions have a sentence's id, or an
            answer, right or given, is neither.
        TypeError: an answer that is no text.

    Example:
        >>> questions = [
        ...     Question(("1", "2"), "Both are red.", {"true": 1.0}, "a", kinds={"sentence": "1"}),
        ...     Question(("3", "4"), "Both are red.", {"false": 1.0}, "b", kinds={"sentence": "1"}),
        ...     Question(("3", "4"), "One is red.", {"true": 1.0}, "c", kinds={"sentence": "2"}),
        ... ]
        >>> figures = nlvr_figures(questions, {"a": "true", "b": "true", "c": "true"})
        >>> round(figures["accuracy"], 2), figures["consistency"]
        (0.67, 0.5)
    """
    check_answers(question_ids(questions), answers)
    for name, answer in answers.items():
        if answer not in ANSWERS:
            raise ValueError(f"answers must be 'true' or 'false', got {answer!r} for question {name!r}.")
    means, withheld, without = Means(), [], []
    sentences: dict[str, bool] = {}
    for name, question in read_fields(questions, ["scores", "kinds"], progress):
        if question.answer is None:
            withheld.append(name)
        elif question.answer not in ANSWERS:
            raise ValueError(
                f"questions must have the right answer 'true' or 'false', got {question.answer!r} for question "
                f"{name!r}."
            )
        right = answers[name] == question.answer
        means.add(right, "accuracy")
        if "sentence" in question.kinds:
            sentence = question.kinds["sentence"]
            sentences[sentence] = sentences.get(sentence, True) and right
        else:
            without.append(name)
    check_known(withheld)
    if not sentences:
        return means.figures()
    if without:
        raise ValueError(f"questions has {first_few(without)} without kinds['sentence'], which others have.")
    return means.figures() | {"consistency": sum(sentences.values()) / len(sentences)}


class NlvrAccuracy(evaluate.Metric):
    """`nlvr_figures` as an `evaluate` metric; works without network.

    Predictions and references are "true" and "false"; `sentences` are ids that examples of one sentence share.

    Example:
        >>> truth, sentences = ["true", "false", "true"], ["1", "1", "2"]
        >>> NlvrAccuracy().compute(predictions=["true", "false", "false"], references=truth, sentences=sentences)
        {'accuracy': 0.6666666666666666, 'consistency': 0.5}
    """

    def _info(self) -> evaluate.MetricInfo:
        names = ("predictions", "references", "sentences")
        return evaluate.MetricInfo(
            description="Share of examples that are right, and of sentences all of whose examples are.",
            citation="",
            inputs_description="predictions and references: true or false; sentences: ids that examples share",
            features=datasets.Features({name: datasets.Value("string") for name in names}),
        )

    def _compute(self, predictions: Any, references: Any, sentences: Any) -> dict[str, float]:
        questions = [
            Question((), "", {answer: 1.0}, str(row), kinds={"sentence": sentence})
            for row, (answer, sentence) in enumerate(zip(references, sentences, strict=True))
        ]
        return nlvr_figures(questions, {str(row): answer for row, answer in enumerate(predictions)}, progress=False)
