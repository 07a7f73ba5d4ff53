"""Questions beside the answers that a model gave them: checked, read in batches, averaged."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from tqdm.auto import tqdm

from lxmert.processing.questions import Question, QuestionTable

BATCH_ROWS = 10_000
BAR_DELAY = 2  # seconds
EMPTY: dict[str, Any] = {"image_ids": (), "text": ""}
Field = Literal["text", "scores", "annotators", "kinds", "entailed"]


class Means:
    """Means under several names: of all questions, and of those of a kind, `accuracy/answer_type/yes/no`."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, ...], float] = {}
        self.counts: Counter[tuple[str, ...]] = Counter()

    def add(self, score: float, *name: str) -> None:
        """Count one score under a name, whose parts a slash will separate."""
        self.sums[name] = self.sums.get(name, 0.0) + score
        self.counts[name] += 1

    def figures(self) -> dict[str, float]:
        """Means by name: those of one part as they came, then the others in order, numbers by their size."""
        whole = [name for name in self.sums if len(name) == 1]
        parts = sorted((name for name in self.sums if len(name) > 1), key=_in_order)
        return {"/".join(name): self.sums[name] / self.counts[name] for name in whole + parts}


def _in_order(name: tuple[str, ...]) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in name)


def question_ids(questions: Sequence[Question]) -> list[str]:
    """The ids of questions, in order.

    Raises:
        ValueError: no question, or an id that comes twice.
    """
    if isinstance(questions, QuestionTable):
        ids: list[str] = questions.column("question_id")
    else:
        ids = [question.question_id for question in questions]
    if not ids:
        raise ValueError("questions holds no question.")
    if len(set(ids)) < len(ids):
        repeated = [question_id for question_id, count in Counter(ids).items() if count > 1]
        raise ValueError(f"questions has {first_few(repeated)} more than once: an id must belong to one question.")
    return ids


def check_answers(asked: Collection[str], answers: Mapping[str, str], known: Collection[str] | None = None) -> None:
    """Refuse answers that do not fit the questions.

    Args:
        asked: ids of the questions that need an answer.
        answers: texts by question id.
        known: ids that may have one, by default those that need one.

    Raises:
        ValueError: answers to questions that are not known, or questions without an answer.
        TypeError: an answer that is no text.
    """
    known = set(asked if known is None else known)
    unknown = [question_id for question_id in answers if question_id not in known]
    if unknown:
        raise ValueError(f"answers has {first_few(unknown)} that no question has: are they of another split?")
    missing = [question_id for question_id in asked if question_id not in answers]
    if missing:
        raise ValueError(f"answers lacks {first_few(missing)} of {len(asked)} questions: every question needs one.")
    for question_id, answer in answers.items():
        if not isinstance(answer, str):
            raise TypeError(f"answers must be texts, got {answer!r} for question {question_id!r}.")


def read_fields(
    questions: Sequence[Question], fields: Collection[Field], progress: bool = True
) -> Iterator[tuple[str, Question]]:
    """Each question's id and the question, of a table with no other fields than these, which takes half the time.

    Args:
        questions: in memory or in a table.
        fields: what is read of a table, besides ids.
        progress: shows a bar with time left where this takes a while.
    """
    rows = _table_rows(questions, fields) if isinstance(questions, QuestionTable) else iter(questions)
    settings: dict[str, Any] = {"unit": " questions", "unit_scale": True, "disable": not progress, "delay": BAR_DELAY}
    for question in tqdm(rows, desc="scoring answers", total=len(questions), **settings):
        yield question.question_id, question


def _table_rows(questions: QuestionTable, fields: Collection[Field]) -> Iterator[Question]:
    columns = ["question_id", *fields] + (["answers"] if "scores" in fields else [])
    parsed: dict[str, Mapping[str, str]] = {}  # many questions are of the same kinds
    for batch in questions.dataset.select_columns(columns).with_format("arrow").iter(batch_size=BATCH_ROWS):
        values: dict[str, Any] = {name: _to_lists(batch[name]) for name in columns}
        if "scores" in fields:
            pairs = zip(values.pop("answers"), values["scores"], strict=True)
            values["scores"] = [dict(zip(answers, scores, strict=True)) for answers, scores in pairs]
        if "kinds" in fields:
            parsed |= {text: json.loads(text) for text in set(values["kinds"]) - parsed.keys()}
            values["kinds"] = map(parsed.__getitem__, values["kinds"])
        names = list(values)
        for row in zip(*values.values(), strict=True):
            yield Question(**EMPTY | dict(zip(names, row, strict=True)))


def _to_lists(column: pa.ChunkedArray) -> list:
    """A column's values; lists as tuples, several times faster than pyarrow's own conversion."""
    if not pa.types.is_list(column.type):
        return column.to_pylist()
    values = iter(pc.list_flatten(column).to_pylist())
    return [tuple(islice(values, length)) for length in pc.list_value_length(column).to_pylist()]


def check_known(withheld: Sequence[str]) -> None:
    """Refuse questions whose right answers are not known.

    Raises:
        ValueError: there is one.
    """
    if withheld:
        raise ValueError(
            f"questions has {first_few(withheld)} without a right answer: where they are withheld, write a submission "
            "file instead (lxmert.evaluation.write_submission)."
        )


def first_few(ids: Sequence[str]) -> str:
    """How many ids there are, and the first three of them.

    Example:
        >>> first_few(["7"]), first_few(["a", "b", "c", "d"])
        ("1 id ('7')", "4 ids ('a', 'b', 'c', ...)")
    """
    names = ", ".join(map(repr, ids[:3]))
    return f"{len(ids)} id{'s' if len(ids) > 1 else ''} ({names}{', ...' if len(ids) > 3 else ''})"
