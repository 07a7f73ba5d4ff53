"""Aggregated image-text-answer records: one row is one sentence about one image, whatever data set it is from.

| column | type | holds |
|---|---|---|
| `image_id` | string | the image's name in the regions |
| `sentence` | string | a caption or a question |
| `answers` | list of strings | cleaned answers, none for a caption |
| `scores` | list of float32 | the answers' scores in (0, 1] |
| `source` | string | the data set, such as "coco_captions" or "vqa" |
| `origin` | string | file and row, for messages |

Rows lie in memory-mapped Arrow files, so millions of them cost hardly any memory.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm.auto import tqdm

from lxmert.processing.answers import answer_ids
from lxmert.processing.record_report import SHOWN, BadRow, BadRows, RecordReport, check_bad_rows
from lxmert.processing.record_rows import FieldNames, Row, rows_of_dataset, rows_of_file
from lxmert.processing.record_tables import (
    BATCH_ROWS,
    FEATURES,
    read_batches,
    records_folder,
    write_tables,
    write_whole,
)

FORMAT_VERSION = 1
# Something to read: neither space, control, format nor combining characters, nor letters that are drawn blank.
VISIBLE = r"[^\s\pZ\pC\pM\x{115F}\x{1160}\x{2800}\x{3164}\x{FFA0}]"


def read_records(
    *sources: str | Path | datasets.Dataset,
    bad_rows: BadRows = "raise",
    cache_dir: str | Path | None = None,
    source_name: str | None = None,
    progress: bool = True,
    **names: str,
) -> tuple[datasets.Dataset, RecordReport]:
    """Read image-text-answer rows of several files and data sets into one memory-mapped data set.

    A JSON lines file has an object per line, `{"image_id": ..., "sentence": ..., "answer": "yes"}`; `answers` may
    stand in place of `answer`, scores by answer or a list beside a list of `scores`; captions have neither. A JSON
    list of such objects will do, and so will the original's aggregated files, lists of `{"img_id", "sentf", "labelf"}`.
    Answers are cleaned (`clean_answer`); of answers that become equal the larger score stays.

    Args:
        sources: JSON files, and data sets with a column for each field.
        bad_rows: "raise" reads everything and tells what is wrong; "skip" leaves such rows out and counts them.
        cache_dir: folder for the rows, read again as long as a file's content stays the same. By default a temporary
            folder, removed when the process ends; for millions of rows name one on a disk, temporary folders may lie
            in memory.
        source_name: the data set of rows without the field `source`; by default the file's name without suffix.
        progress: show bars with time left.
        names: what the fields are called: `image_id`, `sentence`, `answer`, `answers`, `scores`, `source`.

    Returns:
        A data set with the columns above, and a report of the rows by source and of what was left out.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a row that is broken, lacks a field or has one of another type, with its file and row; a list that
            breaks off, with "skip" too; no row at all.
        TypeError: a source of another kind, or an unknown keyword.
    """
    check_bad_rows(bad_rows)
    fields = FieldNames(**names)
    if not sources:
        raise ValueError("sources is empty: give at least one file or data set.")
    folder = records_folder(cache_dir)
    parts, report = [], RecordReport()
    for number, source in enumerate(sources):
        reading = _Reading(source, f"sources[{number}]", fields, source_name)
        path, found = reading.run(folder, progress)
        report.add(found)
        if found.rows:
            parts.append(datasets.Dataset.from_file(str(path)))
    if bad_rows == "raise":
        report.raise_if_bad()
    if not parts:
        places = (f"sources[{i}]" if isinstance(s, datasets.Dataset) else str(s) for i, s in enumerate(sources))
        raise ValueError(f"sources {', '.join(places)} hold no row that can be used: {report}")
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts), report


@dataclass(frozen=True)
class _Reading:
    """One source on its way into an Arrow file."""

    source: str | Path | datasets.Dataset
    place: str
    names: FieldNames
    source_name: str | None

    def run(self, folder: Path, progress: bool) -> tuple[Path, RecordReport]:
        """The Arrow file of the rows that can be used, written now or by an earlier run, and its report."""
        key = json.dumps([FORMAT_VERSION, self.source_name, vars(self.names), self._content()])
        path = folder / f"records-{hashlib.sha256(key.encode()).hexdigest()[:32]}.arrow"
        report_path = path.with_suffix(".json")
        if path.is_file() and report_path.is_file():
            return path, RecordReport.from_json(report_path.read_text())
        report = RecordReport()
        write_tables(path, self._tables(report, progress), FEATURES)
        write_whole(report_path, lambda work: work.write_text(report.to_json()))
        return path, report

    def _content(self) -> list[str]:
        """What tells this source from others, and from itself when its content has changed."""
        if isinstance(self.source, datasets.Dataset):
            return [self.place, self.source._fingerprint]
        if not isinstance(self.source, (str, Path)):
            raise TypeError(f"{self.place} must be the path of a JSON file or a datasets.Dataset, got {self.source!r}.")
        with open(self.source, "rb") as file:
            return [Path(self.source).name, hashlib.file_digest(file, "sha256").hexdigest()]

    def _tables(self, report: RecordReport, progress: bool) -> Iterator[pa.Table]:
        rows = self._rows(report, progress)
        while batch := list(islice(rows, BATCH_ROWS)):
            report.rows.update(row.source for row in batch)
            columns: dict[str, Any] = {
                name: list(values) for name, values in zip(Row._fields, zip(*batch, strict=True), strict=True)
            }
            columns["scores"] = [list(answers.values()) for answers in columns["answers"]]
            columns["answers"] = [list(answers) for answers in columns["answers"]]
            yield pa.Table.from_pydict(columns, schema=FEATURES.arrow_schema)

    def _rows(self, report: RecordReport, progress: bool) -> Iterator[Row]:
        if isinstance(self.source, datasets.Dataset):
            name, total, unit = self.source.info.dataset_name or self.place, len(self.source), " rows"
        else:
            name, total, unit = Path(self.source).stem, Path(self.source).stat().st_size, "B"
        name = self.source_name or name
        with tqdm(total=total, desc=f"Reading {name}", unit=unit, unit_scale=True, disable=not progress) as bar:
            if isinstance(self.source, datasets.Dataset):
                found = rows_of_dataset(self.source, self.names, name, self.place, bar.update)
            else:
                found = rows_of_file(Path(self.source), self.names, name, bar.update, report.ignore)
            for row in found:
                if isinstance(row, BadRow):
                    report.count(row)
                else:
                    yield row


def check_records(
    records: datasets.Dataset,
    images: Container[str],
    answers: Collection[str] | None = None,
    bad_rows: BadRows = "raise",
    cache_dir: str | Path | None = None,
    report: RecordReport | None = None,
    progress: bool = True,
) -> tuple[datasets.Dataset, RecordReport]:
    """Compare records with the regions and the answer table before training starts.

    Looked for: images without regions, sentences with nothing to read, scores outside (0, 1], answers that are not in
    the table.

    Args:
        records: what `read_records` gave; the column `origin` may be absent.
        images: image ids that have regions, such as a `RegionStore`.
        answers: the answer table, however it spells its entries, see `answer_ids`; None allows every answer but the
            empty one.
        bad_rows: "raise" tells what is wrong; "skip" leaves such rows out, and of answers that are not in the table
            only these: the sentence still serves.
        cache_dir: folder for the rows that stay, if any row or answer is left out; by default a temporary one.
        report: of reading the records; what it left out is carried on.
        progress: show a bar with time left.

    Returns:
        The records themselves if nothing is wrong, otherwise what stays of them; and the report.

    Raises:
        ValueError: something is wrong, with file, row and field; columns that are missing or of another type; no row
            stays.
    """
    check_bad_rows(bad_rows)
    columns = {name: feature for name, feature in FEATURES.items() if name != "origin"}
    if {name: records.features.get(name) for name in columns} != columns:
        raise ValueError(f"records must have the columns {columns}, got {records.features}: make them by read_records.")
    if isinstance(images, Iterable):
        images = frozenset(images)  # looked up millions of times
    table = None if answers is None else pa.array(list(answer_ids(list(answers))), pa.string())
    found, digest = RecordReport(), hashlib.sha256(records._fingerprint.encode())
    for start, batch in read_batches(records, "Checking records", progress):
        judged = _judge(batch, start, images, table, found)
        for mask in judged:
            digest.update(mask.tobytes())
        for source, count in Counter(batch["source"].filter(pa.array(judged[0])).to_pylist()).items():
            found.rows[source] += count
    if bad_rows == "raise":
        found.raise_if_bad()
    if not found.rows:
        raise ValueError(f"records hold no row that can be used: {found}")
    if found.left_out or found.answers_left_out:
        path = records_folder(cache_dir) / f"checked-{digest.hexdigest()[:32]}.arrow"
        if not path.is_file():
            batches = read_batches(records, "Leaving out rows", progress)
            write_tables(
                path,
                (_kept(batch, *_judge(batch, start, images, table, RecordReport())) for start, batch in batches),
                records.features,
            )
        records = datasets.Dataset.from_file(str(path))
    if report is not None:
        found.add(replace(report, rows=Counter()))
    return records, found


def _judge(
    batch: pa.Table, start: int, images: Container[str], table: pa.Array | None, report: RecordReport
) -> tuple[np.ndarray, np.ndarray]:
    """Which of n rows stay, (n,), and which of their answers, flat, (sum of the lists' lengths,)."""
    image_ids = batch["image_id"].combine_chunks().dictionary_encode()
    known = np.array([image_id in images for image_id in image_ids.dictionary.to_pylist()] + [False])
    lists = {name: batch[name].combine_chunks() for name in ("answers", "scores")}
    lengths = {name: pc.list_value_length(column).fill_null(0).to_numpy() for name, column in lists.items()}
    scores = pc.list_flatten(lists["scores"]).to_numpy(zero_copy_only=False)
    outside = np.zeros(len(batch), dtype=bool)
    outside[pc.list_parent_indices(lists["scores"]).to_numpy()[~((scores > 0) & (scores <= 1))]] = True
    # Of a row with several faults the first counts.
    checks = (
        ("image without regions", "image_id", known[image_ids.indices.fill_null(len(known) - 1).to_numpy()]),
        ("empty sentence", "sentence", _true(pc.match_substring_regex(batch["sentence"], VISIBLE))),
        ("answers without scores", "scores", lengths["answers"] == lengths["scores"]),
        ("score out of range", "scores", ~outside),
    )
    keep, bad = np.ones(len(batch), dtype=bool), []
    for reason, field, good in checks:
        rows = np.flatnonzero(keep & ~good)
        keep &= good
        report.left_out.update([reason] * len(rows))
        bad += [(row, field, reason) for row in rows[:SHOWN]]

    flat = pc.list_flatten(lists["answers"])
    kept = _true(pc.not_equal(flat, "") if table is None else pc.is_in(flat, value_set=table))
    parents = pc.list_parent_indices(lists["answers"]).to_numpy()
    dropped = np.flatnonzero(~kept & keep[parents])
    report.answers_left_out += len(dropped)
    bad += [(parents[index], "answers", flat[int(index)].as_py()) for index in dropped[:SHOWN]]
    for row, field, reason in sorted(bad, key=lambda item: item[0]):
        origin = batch["origin"][int(row)].as_py() if "origin" in batch.column_names else f"records[{start + row}]"
        report.show(BadRow(origin, field, _what(field, batch[field][int(row)].as_py(), reason), ""))
    return keep, kept


def _what(field: str, value: Any, answer: str | None) -> str:
    if field == "image_id":
        return f"{value!r} has no regions; extract them, or name the image as there"
    if field == "sentence":
        return f"has nothing to read, got {value!r}; write a sentence"
    if field == "scores":
        return f"must be one in (0, 1] for each answer, got {value}"
    return f"{answer!r} is not in the answer table; add it there, or correct it"


def _kept(batch: pa.Table, keep: np.ndarray, answers_kept: np.ndarray) -> pa.Table:
    """The rows that stay, with the answers that stay."""
    parents = pc.list_parent_indices(batch["answers"].combine_chunks()).to_numpy()
    answers_kept = answers_kept[keep[parents]]
    batch = batch.filter(pa.array(keep))
    lists = {name: batch[name].combine_chunks() for name in ("answers", "scores")}
    parents = pc.list_parent_indices(lists["answers"]).to_numpy()[answers_kept]
    offsets = np.concatenate([[0], np.bincount(parents, minlength=len(batch)).cumsum()])
    for name, column in lists.items():
        flat = pc.list_flatten(column).filter(pa.array(answers_kept))
        shorter = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
        batch = batch.set_column(batch.column_names.index(name), name, shorter)
    return batch


def _true(mask: Any) -> np.ndarray:
    return pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
