"""What a model answered to a data set, counted: by answer, by confusion, by kind of question, and the worst ones."""

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tqdm.auto import tqdm

from lxmert.processing import Question

WORST = 8
MOST_VALUES = 100  # of a kind; more are names, such as NLVR's sentences
BAR_DELAY = 2  # seconds


@dataclass
class Tally:
    """Counts over some questions whose answers are known.

    Args:
        questions: how many.
        right: how many got the answer that stands for all, or another one of score 1.
        score: mean score of the answers given, in [0, 1]; the share that is right where answers are right or wrong.
        probability: mean probability of the answers given, None where it is not known.
    """

    questions: int = 0
    right: int = 0
    score: float = 0.0
    probability: float | None = None

    def add(self, right: bool, score: float, probability: float | None) -> None:
        """Count one question; the means are running ones."""
        self.questions += 1
        self.right += right
        self.score += (score - self.score) / self.questions
        if probability is not None:
            before = self.probability or 0.0
            self.probability = before + (probability - before) / self.questions


@dataclass
class AnswerTally(Tally):
    """Counts over the questions to which one answer is right.

    Args:
        answer: it.
        given: how often the model gave this answer, to whatever question.
        instead: the answer that was most often given instead, None if there was none.
        instead_count: how often.
    """

    answer: str = ""
    given: int = 0
    instead: str | None = None
    instead_count: int = 0


@dataclass(frozen=True)
class WrongAnswer:
    """One answer that is not right.

    Args:
        question_id: of the question.
        image_ids: of its image, or of both of a pair.
        question: the text.
        answer: what the model said.
        probability: of it, None where it is not known.
        truth: the answer that stands for all.
        score: of what the model said.
    """

    question_id: str
    image_ids: tuple[str, ...]
    question: str
    answer: str
    probability: float | None
    truth: str
    score: float


@dataclass(frozen=True)
class EvaluationReport:
    """What a model answered to a data set.

    Args:
        title: what was judged on what.
        figures: by name, as they were given.
        questions: number of all questions.
        images: number of the images they are about.
        overall: of the questions whose answers are known.
        answers: one for each answer that is right or was given, that of the most questions first.
        confusions: (right answer, answer given, number of questions), the most frequent first.
        kinds: by kind and value of the kind.
        worst: the wrong answers that the model was surest of, the worst first.
        soft: whether some answers have scores between 0 and 1.
    """

    title: str
    figures: dict[str, float]
    questions: int
    images: int
    overall: Tally
    answers: list[AnswerTally]
    confusions: list[tuple[str, str, int]]
    kinds: dict[str, dict[str, Tally]]
    worst: list[WrongAnswer]
    soft: bool

    @classmethod
    def of(
        cls,
        title: str,
        questions: Sequence[Question],
        answers: Mapping[str, str],
        probabilities: Mapping[str, float] | None = None,
        figures: Mapping[str, float] | None = None,
        worst: int = WORST,
        progress: bool = False,
    ) -> "EvaluationReport":
        """Count what was answered.

        Args:
            title: what was judged on what.
            questions: with ids that differ.
            answers: by question id.
            probabilities: of these answers, by question id.
            figures: by name, kept as they are.
            worst: number of wrong answers to keep.
            progress: show a bar if it takes more than seconds.

        Raises:
            ValueError: no question, an id that comes twice, a question without an answer, an answer to another
                question, or a probability that is absent or outside [0, 1].
        """
        count = _Count()
        found = heapq.nlargest(worst, count.all(_judge(questions, answers, probabilities, progress)))
        return cls(
            title=title,
            figures=dict(figures or {}),
            questions=count.questions,
            images=len(count.images),
            overall=count.overall,
            answers=count.answers(),
            confusions=[(*pair, times) for pair, times in sorted(count.confusions.items(), key=_most_first)],
            kinds=count.kinds(),
            worst=[_wrong_answer(row.judged) for row in found],
            soft=count.soft,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; a figure that is not finite is None."""
        values = asdict(self)
        values["figures"] = {name: value if math.isfinite(value) else None for name, value in self.figures.items()}
        values["answers"] = [{"answer": row.pop("answer"), **row} for row in values["answers"]]
        values["confusions"] = [
            {"truth": truth, "answer": answer, "questions": times} for truth, answer, times in self.confusions
        ]
        return values


def worst_questions(
    questions: Sequence[Question],
    answers: Mapping[str, str],
    probabilities: Mapping[str, float] | None = None,
    count: int = WORST,
    progress: bool = False,
) -> list[int]:
    """Rows of the questions with the worst answers: wrong ones by falling probability times what they lack in score.

    Args:
        questions: with ids that differ.
        answers: by question id.
        probabilities: of these answers, by question id; without them every answer counts as sure.
        count: how many; fewer if fewer are wrong.
        progress: show a bar if it takes more than seconds.

    Raises:
        ValueError: see `EvaluationReport.of`.

    Example:
        >>> questions = [Question(("1",), f"is it {colour}?", {"no": 1.0}, colour) for colour in ("red", "blue")]
        >>> worst_questions(questions, {"red": "yes", "blue": "yes"}, {"red": 0.6, "blue": 0.9})
        [1, 0]
    """
    wrong = (_Badness(judged) for judged in _judge(questions, answers, probabilities, progress) if judged.is_wrong)
    return [item.judged.row for item in heapq.nlargest(count, wrong)]


@dataclass(frozen=True)
class _Judged:
    """A question beside its answer."""

    row: int
    question: Question
    answer: str
    probability: float | None

    @property
    def score(self) -> float:
        return self.question.scores.get(self.answer, 0.0)

    @property
    def is_right(self) -> bool:
        return self.answer == self.question.answer or self.score >= 1

    @property
    def is_wrong(self) -> bool:
        return self.question.answer is not None and not self.is_right


class _Badness:
    """Orders wrong answers: surer ones are worse, then earlier ones."""

    def __init__(self, judged: _Judged):
        sure = 1.0 if judged.probability is None else judged.probability
        self.judged, self._key = judged, (sure * (1 - judged.score), -judged.row)

    def __lt__(self, other: "_Badness") -> bool:
        return self._key < other._key


@dataclass
class _Count:
    """Counts while questions go by."""

    questions: int = 0
    soft: bool = False
    overall: Tally = field(default_factory=Tally)
    images: set[str] = field(default_factory=set)
    given: Counter[str] = field(default_factory=Counter)
    by_answer: dict[str, AnswerTally] = field(default_factory=dict)
    by_kind: dict[str, dict[str, Tally]] = field(default_factory=dict)
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)

    def all(self, judged: Iterator[_Judged]) -> Iterator[_Badness]:
        """Count, and pass on what is wrong."""
        for item in judged:
            self.questions += 1
            self.images.update(item.question.image_ids)
            self.given[item.answer] += 1
            if item.question.answer is not None:
                self._add(item, item.question.answer)
            if item.is_wrong:
                yield _Badness(item)

    def _add(self, item: _Judged, truth: str) -> None:
        scores = item.question.scores
        self.soft = self.soft or len(scores) > 1 or scores[truth] < 1
        counted = (item.is_right, item.score, item.probability)
        self.overall.add(*counted)
        self.by_answer.setdefault(truth, AnswerTally(answer=truth)).add(*counted)
        for kind, value in item.question.kinds.items():
            values = self.by_kind.setdefault(kind, {})
            if len(values) <= MOST_VALUES:
                values.setdefault(value, Tally()).add(*counted)
        if not item.is_right:
            self.confusions[truth, item.answer] += 1

    def answers(self) -> list[AnswerTally]:
        """By answer; those never right, too."""
        for answer, times in self.given.items():
            self.by_answer.setdefault(answer, AnswerTally(answer=answer)).given = times
        for (truth, answer), times in sorted(self.confusions.items(), key=_most_first):
            tally = self.by_answer[truth]
            if tally.instead is None:
                tally.instead, tally.instead_count = answer, times
        return sorted(self.by_answer.values(), key=lambda tally: (-tally.questions, -tally.given, tally.answer))

    def kinds(self) -> dict[str, dict[str, Tally]]:
        """Kinds of two values and more, the values in order, numbers by their size."""
        return {
            kind: dict(sorted(values.items(), key=lambda item: _in_order(item[0])))
            for kind, values in self.by_kind.items()
            if 2 <= len(values) <= MOST_VALUES
        }


def _judge(
    questions: Sequence[Question],
    answers: Mapping[str, str],
    probabilities: Mapping[str, float] | None,
    progress: bool,
) -> Iterator[_Judged]:
    """Questions with their answers.

    Raises:
        ValueError: see `EvaluationReport.of`.
    """
    if not len(questions):
        raise ValueError("questions is empty: there is nothing to report.")
    seen: set[str] = set()
    bar = tqdm(questions, "Judging answers", unit=" questions", disable=not progress, delay=BAR_DELAY)
    for row, question in enumerate(bar):
        name = question.question_id
        if name in seen:
            raise ValueError(f"The question id {name!r} comes twice: every question needs its own.")
        seen.add(name)
        if name not in answers:
            raise ValueError(f"answers has none to question {name!r} ({question.text!r:.80}): give one to each.")
        probability = None
        if probabilities is not None:
            probability = probabilities.get(name)
            if probability is None or not 0 <= probability <= 1 + 1e-6:
                raise ValueError(f"probabilities must have one in [0, 1] for question {name!r}, got {probability}.")
        yield _Judged(row, question, answers[name], probability)
    if len(seen) < len(answers):
        others = [name for name in answers if name not in seen]
        raise ValueError(f"answers has {len(others):,} to questions that were not asked, such as {others[0]!r}.")


def _wrong_answer(judged: _Judged) -> WrongAnswer:
    question = judged.question
    return WrongAnswer(
        question.question_id,
        question.image_ids,
        question.text,
        judged.answer,
        judged.probability,
        question.answer or "",
        judged.score,
    )


def _most_first(item: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -item[1], item[0]


def _in_order(value: str) -> tuple[int, int, str]:
    return (0, int(value), "") if value.isdecimal() else (1, 0, value)
