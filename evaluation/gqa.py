"""The figures of GQA (Hudson & Manning 2019, section 4.4): accuracy, consistency, validity, plausibility, distribution.

They follow the official `eval.py` (in eval.zip on gqadataset.org), but lie in [0, 1] where that prints per cent.
Grounding, which needs scene graphs, is not among them.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import evaluate

from lxmert.evaluation.given_answers import Means, check_answers, check_known, first_few, question_ids, read_fields
from lxmert.processing.questions import Question
from lxmert.processing.whole_json import read_json

KINDS = ("structural", "semantic", "steps")
OPEN = "query"  # the structural type of open questions; those of all others are binary, "choose" included
COMMON = "Common"  # in the detailed type of questions for what two things share
COMMON_ANSWERS = frozenset(("color", "material", "shape"))
DISTRIBUTION_SCALE = 100  # the official figure is chi-square over this
Choices = Mapping[str, Mapping[str, Collection[str]]]


def gqa_figures(
    questions: Sequence[Question],
    answers: Mapping[str, str],
    choices: Choices | str | Path | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """The official figures, each where what it needs is given.

    Only balanced questions count, unless questions do not say which are (`kinds["balanced"]`).

    - "accuracy": share of answers that equal the right one; "accuracy/structural/compare", "accuracy/semantic/rel",
      "accuracy/steps/3" by kind, "accuracy/words/7" by the number of words.
    - "open_accuracy" over questions of structural type query, "binary_accuracy" over all others.
    - "consistency": of each question that is answered rightly and entails others, the share of those that are answered
      rightly; their mean, 0 without such a question. Given where all entailed questions are there and answered:
      questions are then those of the file with all of them.
    - "validity", "plausibility": share of answers among the question's valid and plausible choices. For questions with
      "Common" in their detailed type the choices are color, material and shape, as in the official code.
    - "distribution": how far answers are distributed otherwise than the right ones, lower is better; no share. In each
      global group of questions, sum of (answered - right) ** 2 / right over its right answers and how often they
      occur; mean over groups weighted by their questions, over 100. Questions without a group do not count.

    Args:
        questions: balanced ones or all.
        answers: texts by question id: for all questions, or for the balanced ones only.
        choices: the official choices file, or what it holds: {question id: {"valid": [...], "plausible": [...]}}.
        progress: shows a bar where this takes a while.

    Raises:
        ValueError: ids do not fit together, right answers are withheld, no question is balanced, or choices lacks one
            or is something else; names the file.
        TypeError: an answer that is no text.

    Example:
        >>> query = {"structural": "query", "global_group": "color"}
        >>> questions = [
        ...     Question(("1",), "What color is it?", {"red": 1.0}, "a", kinds=query, entailed=("b", "c")),
        ...     Question(("1",), "Is it red?", {"yes": 1.0}, "b", kinds={"structural": "verify"}),
        ...     Question(("1",), "Is it blue?", {"no": 1.0}, "c", kinds={"structural": "verify"}),
        ... ]
        >>> choices = {name: {"valid": ["red", "blue"], "plausible": ["red"]} for name in "abc"}
        >>> figures = gqa_figures(questions, {"a": "red", "b": "no", "c": "no"}, choices)
        >>> [round(figures[name], 2) for name in ("accuracy", "open_accuracy", "binary_accuracy", "consistency")]
        [0.67, 1.0, 0.5, 0.5]
        >>> [round(figures[name], 2) for name in ("validity", "plausibility", "distribution", "accuracy/words/3")]
        [0.33, 0.33, 0.0, 0.5]
    """
    ids = question_ids(questions)
    check_answers([], answers, known=ids)
    allowed = None if choices is None else _checked_choices(choices)
    means, groups = Means(), _Groups()
    right: dict[str, bool] = {}
    balanced: dict[str, tuple[str, ...]] = {}  # with the questions that they entail
    withheld, without_choices = [], []
    for name, question in read_fields(questions, ["text", "scores", "kinds", "entailed"], progress):
        counts = question.kinds.get("balanced", "true") == "true"
        if counts:
            balanced[name] = tuple(entailed for entailed in question.entailed if entailed != name)
        if name not in answers:
            continue
        if question.answer is None:
            withheld.append(name)
            continue
        right[name] = answers[name] == question.answer
        if counts:
            _add_accuracy(means, question, right[name])
            groups.add(question.kinds.get("global_group"), question.answer, answers[name])
        if counts and allowed is not None:
            if name in allowed:
                _add_choices(means, question, answers[name], allowed[name])
            else:
                without_choices.append(name)
    if not balanced:
        raise ValueError("questions holds no balanced one (kinds['balanced'] is 'true'), and only those count.")
    all_are_answered = len(answers) > sum(name in answers for name in balanced)
    check_answers(ids if all_are_answered else list(balanced), answers, known=ids)
    check_known(withheld)
    if without_choices:
        raise ValueError(f"choices lacks {first_few(without_choices)}: is it the file of another split?")
    return means.figures() | _consistency(balanced, right) | groups.figures()


def _add_accuracy(means: Means, question: Question, right: bool) -> None:
    means.add(right, "accuracy")
    if "structural" in question.kinds:
        means.add(right, "open_accuracy" if question.kinds["structural"] == OPEN else "binary_accuracy")
    for kind in KINDS:
        if kind in question.kinds:
            means.add(right, "accuracy", kind, question.kinds[kind])
    if question.text:
        means.add(right, "accuracy", "words", str(len(question.text.split())))


def _add_choices(means: Means, question: Question, answer: str, choices: Mapping[str, Collection[str]]) -> None:
    common = COMMON in question.kinds.get("detailed", "")
    means.add(answer in (COMMON_ANSWERS if common else choices["valid"]), "validity")
    means.add(answer in (COMMON_ANSWERS if common else choices["plausible"]), "plausibility")


def _consistency(entailed: Mapping[str, Sequence[str]], right: Mapping[str, bool]) -> dict[str, float]:
    named = {name for names in entailed.values() for name in names}
    if not named or not named <= right.keys():
        return {}
    shares = [
        sum(map(right.__getitem__, names)) / len(names) for name, names in entailed.items() if names and right[name]
    ]
    return {"consistency": sum(shares) / len(shares) if shares else 0.0}


class _Groups:
    """Right and given answers by global group."""

    def __init__(self) -> None:
        self.right: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.given: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, group: str | None, right: str, given: str) -> None:
        if group is not None:
            self.right[group][right] += 1
            self.given[group][given] += 1

    def figures(self) -> dict[str, float]:
        if not self.right:
            return {}
        weighted = 0.0
        for group, right in self.right.items():
            distance = sum((self.given[group][answer] - count) ** 2 / count for answer, count in right.items())
            weighted += distance * right.total()
        return {"distribution": weighted / sum(map(Counter.total, self.right.values())) / DISTRIBUTION_SCALE}


def _checked_choices(choices: Choices | str | Path) -> Choices:
    source = str(choices) if isinstance(choices, str | Path) else "choices"
    found: Choices = read_json(choices) if isinstance(choices, str | Path) else choices
    if not isinstance(found, Mapping):
        raise ValueError(f"{source} is no choices file of GQA: it must be one JSON object of questions by id.")
    for name, entry in found.items():
        for field in ("valid", "plausible"):
            if not isinstance(entry, Mapping) or not _are_texts(entry.get(field)):
                raise ValueError(
                    f"{source}, question {name!r}: {field!r} must be a list of answers: is it GQA's choices?"
                )
    return found


def _are_texts(value: object) -> bool:
    if isinstance(value, str | Mapping) or not isinstance(value, Collection):
        return False
    return all(isinstance(answer, str) for answer in value)


class GqaAccuracy(evaluate.Metric):
    """The accuracies of `gqa_figures` as an `evaluate` metric; works without network.

    `GqaAccuracy("types")` also takes the columns `structural` and `semantic`, gives open and binary accuracy, and
    breaks the accuracy down. The other figures need more of the questions than columns.

    Example:
        >>> columns = {"structural": ["query", "verify"], "semantic": ["attr", "attr"]}
        >>> figures = GqaAccuracy("types").compute(predictions=["red", "no"], references=["red", "yes"], **columns)
        >>> figures["accuracy"], figures["open_accuracy"], figures["accuracy/structural/verify"]
        (0.5, 1.0, 0.0)
    """

    def _info(self) -> evaluate.MetricInfo:
        names = {"default": ("predictions", "references"), "types": ("predictions", "references", *KINDS[:2])}
        if self.config_name not in names:
            raise ValueError(f"config_name must be 'default' or 'types', got {self.config_name!r}.")
        return evaluate.MetricInfo(
            description="Share of questions of GQA that are answered rightly.",
            citation="",
            inputs_description="predictions and references: answers",
            features=datasets.Features({name: datasets.Value("string") for name in names[self.config_name]}),
        )

    def _compute(self, predictions: Any, references: Any, **types: Any) -> dict[str, float]:
        questions = [
            Question((), "", {answer: 1.0}, str(row), kinds={kind: values[row] for kind, values in types.items()})
            for row, answer in enumerate(references)
        ]
        return gqa_figures(questions, {str(row): answer for row, answer in enumerate(predictions)}, progress=False)
