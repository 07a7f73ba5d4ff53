"""Questions about images: one record for every data set, in memory or in a memory-mapped table."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import overload

import datasets
import pyarrow as pa
from tqdm.auto import tqdm

from lxmert.processing.record_tables import BATCH_ROWS, records_folder, write_tables

FORMAT_VERSION = 1
FEATURES = datasets.Features(
    {
        "question_id": datasets.Value("string"),
        "image_ids": datasets.List(datasets.Value("string")),
        "text": datasets.Value("string"),
        "answers": datasets.List(datasets.Value("string")),
        "scores": datasets.List(datasets.Value("float32")),
        "annotators": datasets.List(datasets.Value("string")),
        "kinds": datasets.Value("string"),  # JSON
        "entailed": datasets.List(datasets.Value("string")),
    }
)


@dataclass(frozen=True)
class Question:
    """A question, or a sentence to judge, about one image or two.

    Args:
        image_ids: of its image; of the left and the right one where it is about a pair (NLVR2).
        text: the question or sentence.
        scores: its answers with their scores in (0, 1], the one that stands for all first; none where they are
            withheld, as in test splits.
        question_id: unique in its split, as in the data set's files, but always a text.
        annotators: what each annotator answered, as published, where there are several (ten in VQA).
        kinds: classes of the question by name, to break figures down: `{"answer_type": "yes/no"}`.
        entailed: ids of the questions whose answers follow from this one's (GQA).

    Example:
        >>> Question(("17",), "is it red?", {"yes": 1.0, "no": 0.3}).answer
        'yes'
    """

    image_ids: tuple[str, ...]
    text: str
    scores: Mapping[str, float] = field(default_factory=dict)
    question_id: str = ""
    annotators: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    entailed: tuple[str, ...] = ()

    @property
    def answer(self) -> str | None:
        """The answer that stands for all; None where answers are withheld."""
        return next(iter(self.scores), None)

    @property
    def image_id(self) -> str:
        """Of the image, or of the left one of a pair."""
        return self.image_ids[0]


class QuestionTable(Sequence[Question]):
    """Questions in a memory-mapped Arrow file: millions of them cost hardly any memory.

    Args:
        dataset: with the columns of `FEATURES`; `write` makes one.
    """

    def __init__(self, dataset: datasets.Dataset):
        self.dataset = dataset

    @classmethod
    def write(
        cls,
        questions: Iterable[Question],
        cache_dir: str | Path | None = None,
        key: Sequence[object] | None = None,
        total: int | None = None,
        description: str | None = None,
    ) -> "QuestionTable":
        """Write questions as they come, and open what was written.

        Args:
            questions: any number; an error among them leaves no file behind.
            cache_dir: folder for the table; by default a temporary one, removed when the process ends.
            key: JSON values that tell this table from others, such as the digests of the files that it is read from.
                A table of the same key in `cache_dir` is opened and `questions` is not read.
            total: number of questions, if it is known.
            description: shows a bar with time left under this name.

        Raises:
            ValueError: no question.
        """
        folder = records_folder(cache_dir)
        name = "questions" if key is None else _digest(key)
        path = folder / f"questions-{name}.arrow"
        if key is None or not path.is_file():
            hidden = description is None
            with tqdm(
                questions, desc=description, total=total, unit=" questions", unit_scale=True, disable=hidden
            ) as counted:
                write_tables(path, _tables(counted), FEATURES)
        table = cls(datasets.Dataset.from_file(str(path)))
        if not len(table):
            path.unlink()
            raise ValueError("There is no question to write.")
        return table

    def column(self, name: str) -> list:
        """One column of all questions, without making a `Question` of each row."""
        return self.dataset.data.column(name).to_pylist() if self.dataset._indices is None else self.dataset[name][:]

    def __len__(self) -> int:
        return len(self.dataset)

    @overload
    def __getitem__(self, index: int) -> Question: ...
    @overload
    def __getitem__(self, index: slice) -> "QuestionTable": ...
    def __getitem__(self, index: int | slice) -> "Question | QuestionTable":
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        return _question(self.dataset[index])

    def __iter__(self) -> Iterator[Question]:
        for batch in self.dataset.iter(batch_size=1000):
            for values in zip(*batch.values(), strict=True):
                yield _question(dict(zip(batch, values, strict=True)))

    def select(self, rows: Iterable[int]) -> "QuestionTable":
        """The questions of these rows, in this order."""
        return QuestionTable(self.dataset.select(rows))


def _tables(questions: Iterable[Question]) -> Iterator[pa.Table]:
    rows = iter(questions)
    while batch := list(islice(rows, BATCH_ROWS)):
        columns = {
            "question_id": [question.question_id for question in batch],
            "image_ids": [list(question.image_ids) for question in batch],
            "text": [question.text for question in batch],
            "answers": [list(question.scores) for question in batch],
            "scores": [list(question.scores.values()) for question in batch],
            "annotators": [list(question.annotators) for question in batch],
            "kinds": [json.dumps(dict(question.kinds)) for question in batch],
            "entailed": [list(question.entailed) for question in batch],
        }
        yield pa.Table.from_pydict(columns, schema=FEATURES.arrow_schema)


def _question(row: dict) -> Question:
    return Question(
        image_ids=tuple(row["image_ids"]),
        text=row["text"],
        scores=dict(zip(row["answers"], row["scores"], strict=True)),
        question_id=row["question_id"],
        annotators=tuple(row["annotators"]),
        kinds=json.loads(row["kinds"]),
        entailed=tuple(row["entailed"]),
    )


def _digest(key: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps([FORMAT_VERSION, *key]).encode()).hexdigest()[:32]
