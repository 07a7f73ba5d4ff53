"""What readers of published JSON files share: records whose fields are checked, files that are found, tables."""

import hashlib
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from tqdm.auto import tqdm

from lxmert.processing import Question, QuestionTable
from lxmert.processing.json_entries import (
    BrokenJsonError,
    Progress,
    coding_of,
    first_character,
    line_entries,
    list_entries,
    object_entries,
)
from lxmert.processing.whole_json import is_unicode

READER_VERSION = 1  # of the tables that are cached
CHUNK_BYTES = 1 << 20
ADVICE = "Is it the published file, and whole? If not, fetch it again or name the right one."
# By fields that no other file has, the most telling first: what a file of another task is.
KNOWN_FORMS = (
    ({"structured_rep"}, "NLVR v1 (read_nlvr)"),
    ({"left_url"}, "NLVR2 as published (read_nlvr2)"),
    ({"img0", "img1"}, 'the LXMERT authors\' NLVR2 (read_original_questions, task="nlvr2")'),
    ({"imageId"}, "GQA as published (read_gqa)"),
    ({"sentf"}, "the LXMERT authors' pre-training data (read_records)"),
    ({"img_id", "sent", "question_type"}, 'the LXMERT authors\' VQA (read_original_questions, task="vqa")'),
    ({"img_id", "sent"}, 'the LXMERT authors\' VQA or GQA (read_original_questions, task="vqa" or "gqa")'),
    ({"multiple_choice_answer"}, "VQA's annotations (read_vqa)"),
    ({"image_id", "question"}, "VQA's questions (read_vqa)"),
)
WRAPPED = ("questions", "annotations")  # fields of VQA's objects that hold their lists
VQA_FIELDS = frozenset((*WRAPPED, "info", "license", "task_type", "data_type", "data_subtype"))
Form = Literal["list", "object", "lines"]
OPENING: dict[Form, str] = {"list": "[", "object": "{", "lines": "{"}
T = TypeVar("T")


class Record(NamedTuple):
    """An object of a file, whose fields are checked as they are read; each error names file, record and field."""

    file: Path
    place: str
    values: dict[str, Any]
    advice: str = ADVICE

    def text(self, field: str, empty: bool = False) -> str:
        """A text with something to read in it, or any text.

        Raises:
            ValueError: no such field, or another type.
        """
        return self.check_text(field, self._value(field), empty)

    def check_text(self, field: str, value: Any, empty: bool = False) -> str:
        """The value itself, if it is such a text.

        Raises:
            ValueError: it is not.
        """
        if not isinstance(value, str) or not (empty or value.strip()):
            raise self.error(field, f"must be a text{'' if empty else ' that is not empty'}, got {_short(value)}")
        if not is_unicode(value):
            raise self.error(field, f"is no valid Unicode text: {_short(value)}")
        return value

    def optional_text(self, field: str) -> str | None:
        """A text, or None where the field is absent or null."""
        return None if self.values.get(field) is None else self.text(field)

    def number(self, field: str) -> int:
        """A whole number from 0.

        Raises:
            ValueError: no such field, or another type.
        """
        value = self._value(field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(field, f"must be a whole number from 0, got {_short(value)}")
        return value

    def part(self, field: str) -> "Record":
        """An object inside.

        Raises:
            ValueError: no such field, or another type.
        """
        value = self._value(field)
        if not isinstance(value, dict):
            raise self.error(field, f"must be an object, got {_short(value)}")
        return self._replace(place=f"{self.place}, {field}", values=value)

    def values_of(self, field: str, kind: type[T]) -> list[T]:
        """A list with entries of one type.

        Raises:
            ValueError: no such field, or another type.
        """
        value = self._value(field)
        if not isinstance(value, list) or not all(isinstance(entry, kind) for entry in value):
            name = "texts" if kind is str else "lists" if kind is list else "objects"
            raise self.error(field, f"must be a list of {name}, got {_short(value)}")
        for entry in value:
            if isinstance(entry, str):
                self.check_text(field, entry, empty=True)
        return value

    def error(self, field: str, what: str) -> ValueError:
        """An error that names file, record and field."""
        return ValueError(f"{self.file}, {self.place}, {field}: {what}. {self.advice}")

    def _value(self, field: str) -> Any:
        try:
            return self.values[field]
        except KeyError:
            there = ", ".join(sorted(self.values)[:10])
            raise self.error(field, f"is missing, there is {there or 'nothing'}{_likeness(self.values)}") from None


@dataclass(frozen=True)
class JsonFile:
    """A file with one record after the other, read as often as needed.

    Args:
        path: of the file.
        form: a "list" of records, an "object" with a record in each field, or "lines".
        field: of an object, holds the list.
        unit: what a record is called in an error, before its number or the field's name.
        expected: values that other fields of the object must have where they are there, one of several.
        advice: what to do about a file that cannot be read.
    """

    path: Path
    form: Form = "list"
    field: str | None = None
    unit: str = "entry"
    expected: Mapping[str, Collection[str]] | None = None
    advice: str = ADVICE

    def records(self, progress: Progress = lambda count: None) -> Iterator[tuple[str, Record]]:
        """Name of the field, or number of the entry or line, and record.

        Raises:
            ValueError: the file has another form, is broken, or holds something else than objects.
        """
        opening = "{" if self.field is not None else OPENING[self.form]
        if first_character(self.path) != opening:
            raise ValueError(f"{self.path} must begin with {opening}, got {self._beginning()}. {self.advice}")
        begun = False
        try:
            for name, value in self._entries(progress):
                if not begun and self.form == "object" and name in VQA_FIELDS and (likeness := self._likeness()):
                    raise ValueError(f"{self.path} must be records by id, got {name!r}{likeness}. {self.advice}")
                begun, place = True, f"{self.unit} {name}"
                if not is_unicode(place):
                    place = f"{self.unit} {name!a}"
                if isinstance(value, Exception):
                    raise BrokenJsonError(f"{self.path}, {place}", str(value))
                if not isinstance(value, dict):
                    raise ValueError(f"{self.path}, {place}: must be an object, got {_short(value)}. {self.advice}")
                yield str(name), Record(self.path, place, value, self.advice)
        except BrokenJsonError as error:
            if self.field is not None and not begun and (likeness := self._likeness()):
                raise ValueError(f"{self.path} lacks {self.field!r}{likeness}. {self.advice}") from error
            raise ValueError(f"{error.place}: broken JSON ({error.reason}). {self.advice}") from error

    def _entries(self, progress: Progress) -> Iterator[tuple[int | str, Any]]:
        if self.form == "lines":
            return line_entries(self.path, progress)
        if self.form == "object":
            return object_entries(self.path, progress)
        return list_entries(self.path, progress, self.field, self._check_other)

    def _check_other(self, name: str, value: Any) -> None:
        wanted = (self.expected or {}).get(name)
        if wanted is not None and value not in wanted:
            names = " or ".join(map(repr, wanted))
            raise ValueError(f"{self.path}, {name}: must be {names}, got {_short(value)}. {self.advice}")

    def _beginning(self) -> str:
        """What a file of another form begins with."""
        found = first_character(self.path)
        if not found:
            return "an empty file"
        with self.path.open("rb") as file:
            if coding := coding_of(file.read(2)):
                return f"a file in {coding}: {'unpack it' if coding == 'gzip' else 'save it as UTF-8'}"
        return repr(found) + self._likeness()

    def _likeness(self) -> str:
        """What a file that is no such one looks like, by its first record, as an end of the sentence."""
        for field in (None, *WRAPPED):
            try:
                if first_character(self.path) == "[" or field is not None:
                    value = next(list_entries(self.path, lambda count: None, field))[1]
                else:
                    value = next(object_entries(self.path, lambda count: None))[1]
            except (BrokenJsonError, StopIteration):
                continue
            if (field is None or field != self.field) and isinstance(value, dict) and (likeness := _likeness(value)):
                return likeness
        return ""


def distinct(
    files: Sequence[JsonFile], identify: Callable[[str, Record], T], progress: Progress = lambda count: None
) -> Iterator[tuple[T, Record]]:
    """The records of files with their ids, which must differ; 8 bytes of each are remembered.

    Args:
        files: read one after the other.
        identify: the id of a record, from the name of its field and itself.
        progress: told how many bytes were read.

    Raises:
        ValueError: after the last record, an id that came twice, with both places.
    """
    hashes = array("q")
    for name, record in chain.from_iterable(file.records(progress) for file in files):
        identifier = identify(name, record)
        hashes.append(hash(identifier))
        yield identifier, record
    ordered = np.sort(np.frombuffer(hashes, np.int64))
    repeated = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if not repeated:
        return
    first: dict[T, tuple[Path, str]] = {}
    for name, record in chain.from_iterable(file.records() for file in files):
        if hash(identifier := identify(name, record)) in repeated:
            if identifier in first:
                file, place = first[identifier]
                advice = "Name every file once, and no files that share questions."
                if file == record.file and [other.path for other in files].count(file) == 1:
                    advice = f"An id must come once in a file. {record.advice}"
                raise ValueError(
                    f"{record.file}, {record.place}: the id {identifier!r} came before, in {file}, {place}. {advice}"
                )
            first[identifier] = record.file, record.place


def find_files(folder: str | Path, names: Sequence[str], places: Sequence[str], origin: str) -> list[Path]:
    """The files of these names in a folder.

    Args:
        folder: where they lie.
        names: all of them are needed.
        places: folders in it where they may lie too; "*" is any.
        origin: what the files are, how large, where they come from, and which layout is expected.

    Raises:
        FileNotFoundError: a file is not there; says where it comes from.
        ValueError: `folder` is a file, or holds several files of one name.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(f"{folder} is a file: name the folder that holds {', '.join(names)}.")
    found, missing = [], []
    for name in names:
        here = [path for place in ("", *places) for path in sorted(folder.glob(f"{place}/{name}".lstrip("/")))]
        here = list(dict.fromkeys(path for path in here if path.is_file()))
        if not here:
            missing.append(name)
        elif len(here) > 1 and here[0] != folder / name:
            raise ValueError(f"{folder} holds {' and '.join(map(str, here))}: name the folder of one of them.")
        else:
            found.append(here[0])
    if missing:
        lacks = "lacks" if folder.is_dir() else "is not there, so it lacks"
        raise FileNotFoundError(f"{folder} {lacks} {', '.join(missing)}: {origin}")
    return found


def write_table(
    name: str,
    files: Sequence[Path],
    read: Callable[[Progress], Iterator[Question]],
    cache_dir: str | Path | None,
    progress: bool,
) -> QuestionTable:
    """The table of the questions that files hold; one of the same files is opened again.

    Args:
        name: of data set and split, for the bar and to tell tables of one file apart.
        files: what is read.
        read: the questions, given what is to be told how many bytes were read.
        cache_dir: folder for the table; by default a temporary one, removed when the process ends.
        progress: show bars with time left.

    Raises:
        ValueError: no question, or what `read` raises.
    """
    total = sum(file.stat().st_size for file in files)

    def questions() -> Iterator[Question]:
        count = 0
        with tqdm(total=total, desc=f"Reading {name}", unit="B", unit_scale=True, disable=not progress) as bar:
            for count, question in enumerate(read(bar.update), start=1):  # noqa: B007
                yield question
        if not count:
            raise ValueError(f"{', '.join(map(str, files))}: no question there. {ADVICE}")

    if cache_dir is None:
        return QuestionTable.write(questions())
    with tqdm(total=total, desc=f"Checking {name}", unit="B", unit_scale=True, disable=not progress) as bar:
        digests = [_digest(file, bar.update) for file in files]
    return QuestionTable.write(questions(), cache_dir, [READER_VERSION, name, *digests])


def _digest(file: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            digest.update(chunk)
            progress(len(chunk))
    return digest.hexdigest()


def _likeness(values: dict[str, Any]) -> str:
    return next((f"; it looks like {name}" for fields, name in KNOWN_FORMS if fields <= values.keys()), "")


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
