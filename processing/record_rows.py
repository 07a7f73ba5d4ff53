"""From JSON files and data sets to rows of image, sentence and answers, one after the other."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import datasets

from lxmert.processing.answers import clean_answer
from lxmert.processing.json_entries import first_character, line_entries, list_entries
from lxmert.processing.record_report import BadRow

MAXIMUM_SCORE = 1e30
BATCH_ROWS = 1_000
LINES_SUFFIXES = (".jsonl", ".ndjson")


class Row(NamedTuple):
    """One sentence about one image, with the scores of its cleaned answers."""

    image_id: str
    sentence: str
    answers: dict[str, float]
    source: str
    origin: str


@dataclass(frozen=True)
class FieldNames:
    """What a file's fields, or a data set's columns, are called."""

    image_id: str = "image_id"
    sentence: str = "sentence"
    answer: str = "answer"
    answers: str = "answers"
    scores: str = "scores"
    source: str = "source"


class FieldError(ValueError):
    """A field that cannot be used; becomes a `BadRow` where the row's place is known."""

    def __init__(self, field: str, what: str, reason: str = "wrong type"):
        super().__init__(field, what, reason)


def rows_of_file(
    path: Path, names: FieldNames, source: str, progress: Callable[[int], Any], ignored: Callable[[str], Any]
) -> Iterator[Row | BadRow]:
    """The rows of a JSON lines file, or of a JSON list of such objects or of the original's aggregated entries.

    Args:
        path: the file. A suffix .jsonl or .ndjson means lines, otherwise the first character tells.
        names: of the fields.
        source: name of the data set for rows that name none.
        progress: told how many bytes were read.
        ignored: told every field that means nothing here.

    Raises:
        ValueError: a JSON list that breaks off or is followed by more.
    """
    for origin, entry in _entries(path, progress):
        try:
            if isinstance(entry, ValueError):
                raise FieldError("row", f"broken JSON ({entry}); write one object", "broken JSON")
            if not isinstance(entry, dict):
                raise FieldError("row", f"must be an object, got {_short(entry)}", "not an object")
            if "sentf" in entry:
                yield from _aggregated(entry, origin)
                continue
            for name in entry.keys() - vars(names).values():
                ignored(name)
            yield _to_row(entry, names, source, origin)
        except FieldError as error:
            yield BadRow(origin, *error.args)


def rows_of_dataset(
    dataset: datasets.Dataset, names: FieldNames, source: str, origin: str, progress: Callable[[int], Any]
) -> Iterator[Row | BadRow]:
    """The rows of a data set; its other columns are not read.

    Raises:
        ValueError: no column for the images or the sentences, or none of a name that was given.
    """
    default = FieldNames()
    for keyword, name in vars(names).items():
        needed = keyword in ("image_id", "sentence") or name != getattr(default, keyword)
        if needed and name not in dataset.column_names:
            raise ValueError(
                f"{keyword}={name!r} is no column of {origin}, which has {dataset.column_names}: name the right one."
            )
    wanted = [name for name in dataset.column_names if name in vars(names).values()]
    index = 0
    for batch in dataset.select_columns(wanted).with_format(None).iter(batch_size=BATCH_ROWS):
        count = len(batch[names.image_id])
        for values in zip(*batch.values(), strict=True):
            entry = dict(zip(batch, values, strict=True))
            if isinstance(answers := entry.get(names.answers), dict):  # Arrow gives every row all answers of its batch
                entry[names.answers] = {answer: score for answer, score in answers.items() if score is not None}
            try:
                yield _to_row(entry, names, source, f"{origin}[{index}]")
            except FieldError as error:
                yield BadRow(f"{origin}[{index}]", *error.args)
            index += 1
        progress(count)


def _entries(path: Path, progress: Callable[[int], Any]) -> Iterator[tuple[str, Any]]:
    if path.suffix not in LINES_SUFFIXES and first_character(path) == "[":
        yield from ((f"{path.name}, entry {number}", entry) for number, entry in list_entries(path, progress))
    else:
        yield from ((f"{path.name}, row {number}", entry) for number, entry in line_entries(path, progress))


def _aggregated(entry: dict[str, Any], origin: str) -> Iterator[Row | BadRow]:
    """The sentences of one entry of the original's aggregated files: `sentf` and `labelf` by data set."""
    image_id = _text(entry, "img_id")
    sentences, labels = entry["sentf"], entry.get("labelf") or {}
    for name, value in (("sentf", sentences), ("labelf", labels)):
        if not (isinstance(value, dict) and all(isinstance(part, list) for part in value.values())):
            raise FieldError(name, f"must be an object of lists, got {_short(value)}")
    for source in [*sentences, *sorted(labels.keys() - sentences.keys())]:
        texts, targets = sentences.get(source, []), labels.get(source)
        if targets is not None and len(targets) != len(texts):
            raise FieldError("labelf", f"has {len(targets)} labels for {len(texts)} sentences of {source!r}")
        for index, text in enumerate(texts):
            place = f"{origin}, {source} sentence {index + 1}"
            try:
                answers = {} if targets is None else _answers(targets[index], "labelf")
                yield Row(image_id, _text({"sentf": text}, "sentf"), answers, _text({"sentf": source}, "sentf"), place)
            except FieldError as error:
                yield BadRow(place, *error.args)


def _to_row(entry: Mapping[str, Any], names: FieldNames, source: str, origin: str) -> Row:
    image_id, sentence = _text(entry, names.image_id), _text(entry, names.sentence)
    if entry.get(names.source) is not None:
        source = _text(entry, names.source)
    answer, answers, scores = (entry.get(name) for name in (names.answer, names.answers, names.scores))
    if answer is not None and answers is not None:
        raise FieldError(names.answer, f"came along with {names.answers}; give one of them")
    if isinstance(answers, list):
        if not isinstance(scores, list) or len(scores) != len(answers):
            raise FieldError(
                names.scores, f"must have one score for each of {len(answers)} answers, got {_short(scores)}"
            )
        return Row(image_id, sentence, _scored(zip(answers, scores, strict=True), names.answers), source, origin)
    if answer is not None:
        return Row(image_id, sentence, {clean_answer(_text(entry, names.answer)): 1.0}, source, origin)
    return Row(image_id, sentence, {} if answers is None else _answers(answers, names.answers), source, origin)


def _answers(value: Any, field: str) -> dict[str, float]:
    if not isinstance(value, dict):
        raise FieldError(field, f'must be scores by answer such as {{"yes": 1.0}}, got {_short(value)}')
    return _scored(value.items(), field)


def _scored(pairs: Any, field: str) -> dict[str, float]:
    scores: dict[str, float] = {}
    for answer, score in pairs:
        cleaned = clean_answer(_text({field: answer}, field))
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise FieldError(field, f"score of {answer!r} must be a number in (0, 1], got {_short(score)}")
        number = float(score) if abs(score) < MAXIMUM_SCORE else math.inf  # refused later, with all scores beyond 1
        scores[cleaned] = max(scores.get(cleaned, number), number)
    return scores


def _text(entry: Mapping[str, Any], field: str) -> str:
    value = entry.get(field)
    if value is None:
        raise FieldError(field, f"is missing; the row has {sorted(map(str, entry))}", "missing field")
    if not isinstance(value, str):
        hint = ", write it with quotes" if isinstance(value, int) else ""
        raise FieldError(field, f"must be a string, got {_short(value)}{hint}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise FieldError(field, f"is no valid Unicode text: {_short(value)}", "broken JSON") from error
    return value


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
