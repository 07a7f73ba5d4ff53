"""A user's own data: pictures, questions and answers from a table of any shape."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
from tqdm.auto import tqdm

from lxmert.detection.image_sources import IdsOfFiles
from lxmert.processing import Question, QuestionTable
from lxmert.processing.region_extractor import ImageInput
from lxmert.training.own_answers import Normalize, OwnAnswers, readable
from lxmert.training.own_columns import ChosenColumns, Columns
from lxmert.training.own_images import FolderImages, HeldImages, NamedImages, OwnImages
from lxmert.training.own_rows import CsvRows, DatasetRows, OwnRows, open_rows

SHOWN = 5
USUAL_GAPS = ("nan", "none", "null")  # what programs write where there is no answer


@dataclass(frozen=True)
class OwnData:
    """A user's own questions.

    Args:
        questions: all of one table, in its order.
        images: their pictures by image id, as paths, or as bytes that are read where they are asked for; empty where
            it is not known where the pictures lie. `extract_regions` takes it as it is, `extract_images` as
            `ImageMapping(images)`.
        report: what was read from which columns, in words.
    """

    questions: QuestionTable
    images: Mapping[str, ImageInput]
    report: str


def read_own_questions(
    source: str | Path | datasets.Dataset,
    columns: Columns | None = None,
    split: str | None = None,
    images: str | Path | None = None,
    *,
    configuration: str | None = None,
    ids: IdsOfFiles = "stem",
    kinds: Sequence[str] = (),
    normalize: Normalize | None = None,
    progress: bool = True,
) -> OwnData:
    """Read questions about pictures from a table of your own.

    Columns that are not named are guessed by their usual names, and the report says so. A question without an id gets
    the number of its row. Image ids are those of an extraction from the same folder (`ImageFolder`): the path in it,
    without suffix. Pictures that lie in a data set are called by a column of ids if there is one, otherwise by their
    content, so that one picture has one id in however many rows it comes.

    Args:
        source: a CSV or TSV file with a header (UTF-8), a file of JSON lines or of a JSON list, a folder by `datasets`'
            `save_to_disk`, the name of a data set on the Hub, or a data set.
        columns: names of the columns: "image" (two of them for pairs), "question", "answer" (None where answers are
            withheld), "question_id", and "image_id" for pictures in a data set.
        split: of a data set, which part, such as "train".
        images: folder of the pictures, where the table names files; without it the names are the image ids.
        configuration: of a data set on the Hub that has several.
        ids: "stem" takes the path without its suffix as the image id, "path" all of it.
        kinds: columns whose values are classes of questions, to break figures down.
        normalize: applied to every answer, such as `clean_answer` or `normalize_vqa_answer`; see `OwnAnswers` for what
            an answer may be.
        progress: show a bar with time left.

    Raises:
        FileNotFoundError, NotADirectoryError: no such file or folder.
        ValueError: a column that is absent or may be one of several; a row without a picture that is there, a question
            or an answer; an id that comes twice. Names the file, the row as a spreadsheet counts it, and the column.
        TypeError: a source of another kind.

    Example:
        >>> rows = datasets.Dataset.from_dict({"image": ["1.jpg"], "question": ["is it red?"], "answer": ["no"]})
        >>> read_own_questions(rows, progress=False).questions[0].scores
        {'no': 1.0}
    """
    rows = open_rows(source, split, configuration)
    if not len(rows):
        raise ValueError(f"{rows.name} holds no question: it has columns, but no row.")
    chosen = ChosenColumns.of(rows, columns or {}, kinds)
    pictures = _pictures(rows, chosen, images, ids)
    answers = OwnAnswers(rows.features.get(chosen.answer or ""), len(chosen.images) > 1, normalize)
    reading = _Reading(rows, chosen, pictures, answers)
    with tqdm(total=len(rows), desc=f"Reading {rows.name}", unit=" rows", unit_scale=True, disable=not progress) as bar:
        questions = QuestionTable.write(reading.questions(bar))
    return OwnData(questions, pictures.images, reading.report())


def _pictures(rows: OwnRows, chosen: ChosenColumns, folder: str | Path | None, ids: IdsOfFiles) -> OwnImages:
    held = [isinstance(rows.features.get(name), datasets.Image) for name in chosen.images]
    if not any(held):
        if chosen.image_ids:
            raise ValueError(
                f"columns['image_id'] is for pictures in a data set, but {chosen.images[0]!r} holds names, which give "
                "the image ids: leave it out."
            )
        return NamedImages() if folder is None else FolderImages(folder, ids)
    if not all(held) or not isinstance(rows, DatasetRows):
        raise ValueError(f"columns['image'] mixes pictures with names of pictures: {list(chosen.images)}.")
    if folder is not None:
        raise ValueError(f"{rows.name} holds its pictures, in {chosen.images[0]!r}: leave the folder {folder} out.")
    return HeldImages(rows.dataset, bool(chosen.image_ids))


@dataclass
class _Reading:
    """One table on its way into questions."""

    rows: OwnRows
    chosen: ChosenColumns
    pictures: OwnImages
    answers: OwnAnswers
    _read: int = 0
    _faults: Counter[str] = field(default_factory=Counter)  # rows by column
    _shown: list[str] = field(default_factory=list)
    _withheld: int = 0
    _images: set[str] = field(default_factory=set)
    _spellings: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def questions(self, bar: Any) -> Iterator[Question]:
        """All questions; at their end, what is wrong with any of them is raised."""
        places: dict[str, str] = {}
        for number, place, values in self.rows.rows(self.chosen.needed()):
            bar.update()
            self._read += 1
            try:
                question = self._question(number, values)
                if (before := places.setdefault(question.question_id, place)) != place:
                    raise _ValueFaultError(
                        self.chosen.question_id or "",
                        f"{question.question_id!r} is the id of {before} too: every question needs its own",
                    )
            except _ValueFaultError as fault:
                self._faults[fault.column] += 1
                if self._faults.total() <= SHOWN:
                    self._shown.append(f"{place}, column {fault.column!r}: {fault}")
                continue
            self._withheld += not question.scores
            self._images.update(question.image_ids)
            if question.answer is not None:
                self._spellings[question.answer.casefold()][question.answer] += 1
            yield question
        if not self._read:
            raise ValueError(f"{self.rows.name} holds no question: all its rows are blank.")
        if self._faults:
            raise ValueError(self._complaint())

    def _complaint(self) -> str:
        total = self._faults.total()
        lines = [f"{self.rows.name} has {total:,} of {self._read:,} rows that cannot be used:", *self._shown]
        if total > SHOWN:
            lines.append("in all " + ", ".join(f"{column!r} {count:,}" for column, count in self._faults.items()))
        if isinstance(self.pictures, FolderImages) and not self.pictures.images:
            lines.append("None of the pictures is there: is it the right folder?")
        return "\n  ".join(lines)

    def _question(self, number: int, values: Mapping[str, Any]) -> Question:
        chosen = self.chosen
        image_ids = []
        for column, id_column in zip(chosen.images, chosen.image_ids or chosen.images, strict=True):
            with _faults_of(id_column):
                image_ids.append(self.pictures.find(values[id_column], column, number))
        with _faults_of(chosen.question):
            text = values[chosen.question]
            if text is None or (isinstance(text, str) and not readable(text)):
                raise ValueError("is empty: write the question, or leave the row out")
            if not isinstance(text, str):
                raise ValueError(f"must be a text, got {text!r:.80}")
        scores: dict[str, float] = {}
        annotators: tuple[str, ...] = ()
        if chosen.answer is not None:
            with _faults_of(chosen.answer):
                scores, annotators = self.answers(values[chosen.answer], isinstance(self.rows, CsvRows))
        question_id = str(number)
        if chosen.question_id is not None:
            with _faults_of(chosen.question_id):
                question_id = _id_text(values[chosen.question_id])
        kinds = {}
        for name in chosen.kinds:
            if values[name] is not None:
                with _faults_of(name):
                    readable(str(values[name]))
                kinds[name] = str(values[name]).strip()
        return Question(tuple(image_ids), text.strip(), scores, question_id, annotators, kinds)

    def report(self) -> str:
        """What was read, in words."""
        lines = [f"{self.rows.name}: questions: {self._read:,}, images: {len(self._images):,}; {self.chosen}."]
        if self.chosen.question_id is None:
            lines.append("There is no column of question ids: questions are numbered by row.")
        if self.chosen.answer is None:
            lines.append("Answers are withheld.")
        elif self._withheld:
            lines.append(f"Questions without an answer (class -1): {self._withheld:,}.")
        if self.chosen.answer is not None:
            lines.append(f"Different answers: {sum(map(len, self._spellings.values())):,}.")
        varied = [spellings for spellings in self._spellings.values() if len(spellings) > 1]
        if varied:
            shown = " and ".join(repr(answer) for answer in varied[0])
            lines.append(
                f"Answers spelt in several ways: {len(varied):,}, such as {shown}. They count as different: correct "
                "them, or give normalize, such as clean_answer."
            )
        gaps = {text: n for gap in USUAL_GAPS for text, n in self._spellings.get(gap, {}).items()}
        if gaps:
            shown = ", ".join(f"{text!r} {count:,}" for text, count in gaps.items())
            lines.append(
                f"Answers that may be gaps: {shown}. They count as answers: if there is none, leave the rows out."
            )
        if not self.pictures.images:
            lines.append(
                "Where the pictures lie is not known: the names of pictures, without suffix, are the image ids."
            )
        return "\n".join(lines)


class _ValueFaultError(ValueError):
    def __init__(self, column: str, what: str):
        super().__init__(what)
        self.column = column


@contextmanager
def _faults_of(column: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise _ValueFaultError(column, str(error)) from error


def _id_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not readable(str(value)):
        raise ValueError(f"must be a text or a whole number, got {value!r:.80}")
    return str(value).strip()
