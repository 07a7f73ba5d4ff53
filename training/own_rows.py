"""Rows of a user's own table: a CSV, TSV or JSON file, a saved data set, or one on the Hub."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import datasets

from lxmert.processing.json_entries import reason_of
from lxmert.processing.whole_json import read_utf8

TABLE_SUFFIXES = (".csv", ".tsv")
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
DELIMITERS = (",", ";", "\t")
BATCH_ROWS = 1000
PICTURE_BATCH_ROWS = 50


class OwnRows(Protocol):
    """A table with named columns.

    Attributes:
        name: of the file or data set, for messages.
        columns: names as they stand in it.
        features: types by column, where the table has any.
    """

    name: str
    columns: list[str]
    features: Mapping[str, Any]

    def __len__(self) -> int:
        """Number of rows, blank ones too."""

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Of each row that is not blank: a number to call it by, its place in words, its values in these columns."""


class CsvRows:
    """A text file with a header, its values separated by commas, semicolons or tabs, as the header shows.

    Rows count as a spreadsheet counts them: the header is row 1.

    Args:
        path: of the file, UTF-8 with or without a byte order mark.

    Raises:
        ValueError: another encoding, quotes that do not match, no header, or rows longer than it.
    """

    features: Mapping[str, Any] = {}

    def __init__(self, path: Path):
        self.name = str(path)
        text = read_utf8(path)
        header = text[: text.find("\n") + 1] or text
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(DELIMITERS, key=_outside_quotes(header).count)
        self._rows: list[tuple[str, ...]] = []
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        limit = csv.field_size_limit(len(text) + 1)  # of all readers of the process: put back below
        try:
            self._rows.extend(map(tuple, reader))
        except csv.Error as error:
            raise ValueError(
                f"{path}, row {len(self._rows) + 1}: {error}: close the quotes, and write a quote inside quotes twice."
            ) from error
        finally:
            csv.field_size_limit(limit)
        self.columns = [name.strip() for name in self._rows[0]] if self._rows else []
        if not any(self.columns):
            raise ValueError(f"{path} has no header: its first row must name the columns.")
        for number, cells in enumerate(self._rows[1:], start=2):
            if any(cells[len(self.columns) :]):
                raise ValueError(
                    f"{path}, row {number} has {len(cells)} values, but the header names {len(self.columns)} columns: "
                    f"put a value that has {delimiter!r} in it into quotes."
                )

    def __len__(self) -> int:
        return len(self._rows) - 1

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """See `OwnRows`; an empty value is None."""
        places = {name: self.columns.index(name) for name in columns}
        for number, cells in enumerate(self._rows[1:], start=2):
            if any(cell.strip() for cell in cells):
                yield (
                    number,
                    f"row {number}",
                    {
                        name: cells[place] if place < len(cells) and cells[place].strip() else None
                        for name, place in places.items()
                    },
                )


class JsonRows:
    """A file with a JSON object per line, or a JSON list of objects; its columns are the fields of all.

    Args:
        path: of the file. A suffix .jsonl or .ndjson means lines; otherwise a file that begins with [ is a list.

    Raises:
        ValueError: another encoding, broken JSON, or something else than objects.
    """

    features: Mapping[str, Any] = {}

    def __init__(self, path: Path):
        self.name = str(path)
        text = read_utf8(path)
        lines = path.suffix.lower() != ".json" or not text.lstrip().startswith("[")
        self._word = "line" if lines else "entry"
        self._rows: list[tuple[int, dict[str, Any]]] = []
        for number, row in _json_lines(path, text) if lines else _json_list(path, text):
            if not isinstance(row, dict):
                raise ValueError(
                    f"{path}, {self._word} {number} must be an object such as "
                    f'{{"image": "1.jpg", "question": "is it red?", "answer": "yes"}}, got {type(row).__name__}.'
                )
            self._rows.append((number, row))
        self.columns = list(dict.fromkeys(name for _, row in self._rows for name in row))

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """See `OwnRows`; a field that is absent is None."""
        for number, row in self._rows:
            yield number, f"{self._word} {number}", {name: row.get(name) for name in columns}


class DatasetRows:
    """A `datasets` data set; rows count from 0, as its own. Pictures are not decoded.

    Args:
        dataset: any.
        name: for messages.
    """

    def __init__(self, dataset: datasets.Dataset, name: str):
        self.name, self.columns, self.features = name, dataset.column_names, dataset.features
        dataset = dataset.with_format(None)
        for column, feature in dataset.features.items():
            if isinstance(feature, datasets.Image):
                dataset = dataset.cast_column(column, datasets.Image(decode=False))
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """See `OwnRows`; of an image the `bytes` and the `path`."""
        pictures = any(isinstance(self.features[name], datasets.Image) for name in columns)
        number = 0
        selected = self.dataset.select_columns(list(columns))
        for batch in selected.iter(batch_size=PICTURE_BATCH_ROWS if pictures else BATCH_ROWS):
            for values in zip(*batch.values(), strict=True):
                yield number, f"row {number} (the first is 0)", dict(zip(batch, values, strict=True))
                number += 1


def open_rows(
    source: str | Path | datasets.Dataset, split: str | None = None, configuration: str | None = None
) -> OwnRows:
    """The table that a path, a name or a data set means.

    Args:
        source: a CSV, TSV or JSON file, a folder by `datasets`' `save_to_disk`, the name of a data set on the Hub, or
            a data set.
        split: which part of a data set, such as "train"; not needed where there is one only, but on the Hub.
        configuration: of a data set on the Hub that has several.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file or folder of another kind, a split that is not there, or one for a file.
        TypeError: a source of another kind.
    """
    if isinstance(source, datasets.Dataset):
        return DatasetRows(source, source.info.dataset_name or "the data set")
    if not isinstance(source, (str, Path)):
        raise TypeError(f"source must be a path, the name of a data set or a datasets.Dataset, got {source!r}.")
    path = Path(source)
    if path.is_file():
        if split is not None:
            raise ValueError(f"{path} is a file, which has no split {split!r}: name another file for each split.")
        suffix = path.suffix.lower()
        if suffix not in TABLE_SUFFIXES + JSON_SUFFIXES:
            kinds = ", ".join(TABLE_SUFFIXES + JSON_SUFFIXES)
            hint = "; save a spreadsheet as CSV UTF-8" if suffix in (".xls", ".xlsx", ".ods") else ""
            raise ValueError(f"{path} must end with one of {kinds}{hint}.")
        return CsvRows(path) if suffix in TABLE_SUFFIXES else JsonRows(path)
    if path.is_dir():
        return _saved(path, split)
    if path.suffix.lower() in TABLE_SUFFIXES + JSON_SUFFIXES or len(path.parts) > 2 or path.is_absolute():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    if split is None:
        raise ValueError(
            f"There is no file or folder {path}. For a data set of this name on the Hub, say which split to take, such "
            "as train."
        )
    return DatasetRows(datasets.load_dataset(str(source), configuration, split=split), f"{source} ({split})")


def _saved(path: Path, split: str | None) -> OwnRows:
    if not any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        raise ValueError(
            f"{path} is no data set by save_to_disk: name the file of the questions, {', '.join(TABLE_SUFFIXES)} or "
            f"{', '.join(JSON_SUFFIXES)}."
        )
    found = datasets.load_from_disk(str(path))
    if not isinstance(found, datasets.DatasetDict):
        return DatasetRows(found, path.name)
    if split is None and len(found) == 1:
        split = next(iter(found))
    if split not in found:
        raise ValueError(f"split must be one of {', '.join(found)} in {path}, got {split!r}.")
    return DatasetRows(found[split], f"{path.name} ({split})")


def check_columns_differ(rows: OwnRows, wanted: Sequence[str]) -> None:
    """Refuse a column that is there twice.

    Raises:
        ValueError: naming it.
    """
    counts = Counter(rows.columns)
    for name in wanted:
        if counts[name] > 1:
            raise ValueError(f"{rows.name} has {counts[name]} columns {name!r}: rename all but one.")


def _outside_quotes(header: str) -> str:
    return "".join(header.split('"')[::2])


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = reason_of(error)
                raise ValueError(f"{path}, line {number}: broken JSON ({reason}): write one object a line.") from error


def _json_list(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    try:
        yield from enumerate(json.loads(text), start=1)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: broken JSON ({reason_of(error)}): is the file whole?") from error
