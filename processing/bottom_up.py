"""The original's files of bottom-up features, read row by row from disk.

A row has ten fields between tabs: img_id, img_h, img_w, objects_id (int64), objects_conf (float32), attrs_id (int64),
attrs_conf (float32), num_boxes, boxes (float32, R x 4, pixels) and features (float32, R x D), the arrays as base64 of
their little-endian bytes (the original's `load_obj_tsv`).
"""

import binascii
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from tqdm.auto import tqdm

from lxmert.processing.id_index import IdIndex
from lxmert.processing.record_report import HOW_TO_SKIP, BadRows, check_bad_rows
from lxmert.processing.record_tables import BATCH_ROWS, write_whole
from lxmert.processing.region_rows import FeaturesType
from lxmert.processing.region_store import RegionStore
from lxmert.processing.regions import Regions

INDEX_VERSION = 2
FIELDS = (
    "img_id",
    "img_h",
    "img_w",
    "objects_id",
    "objects_conf",
    "attrs_id",
    "attrs_conf",
    "num_boxes",
    "boxes",
    "features",
)
LABELS = {
    "objects_id": ("object_ids", "<i8"),
    "objects_conf": ("object_scores", "<f4"),
    "attrs_id": ("attribute_ids", "<i8"),
    "attrs_conf": ("attribute_scores", "<f4"),
}
INDEX_SCHEMA = pa.schema([("image_id", pa.string()), ("offset", pa.int64()), ("length", pa.int32())])


class BottomUpFile(Mapping[str, Regions]):
    """Read-only mapping from image ids to `Regions` of one TSV file; of the file only ids and offsets are kept.

    The first time every row is read and checked, and an index written; later the index is opened, as long as the
    file's size and time of change, and the limits of the labels, are the same.

    Args:
        path: the file.
        bad_rows: "raise" stops at the first row that cannot be used; "skip" leaves such rows out.
        cache_dir: folder of the index, by default the file's own. Where none can be written it stays in memory.
        progress: show a bar with time left while the file is read.
        object_labels: number of the detector's object classes; ids must lie below it. None does not look.
        attribute_labels: likewise of its attributes.

    Raises:
        FileNotFoundError: no file there.
        ValueError: a row with another number of fields, broken base64, arrays of another length than num_boxes says,
            features of another width than the first row's, values that `Regions` refuses, labels beyond the limits,
            or an image that came before; with file, row and field. No row that can be used.

    Attributes:
        skipped: number of rows left out, by reason.
    """

    def __init__(
        self,
        path: str | Path,
        bad_rows: BadRows = "raise",
        cache_dir: str | Path | None = None,
        progress: bool = True,
        object_labels: int | None = None,
        attribute_labels: int | None = None,
    ):
        check_bad_rows(bad_rows)
        self.path = Path(path)
        self._file: BinaryIO | None = None
        status = self.path.stat()
        content = {
            "version": INDEX_VERSION,
            "size": status.st_size,
            "changed": status.st_mtime_ns,
            "object_labels": object_labels,
            "attribute_labels": attribute_labels,
        }
        index_path = _index_path(self.path, cache_dir)
        index = _open_index(index_path, content, bad_rows)
        if index is None:
            index = _make_index(self.path, bad_rows, progress, content)
            index = _saved(index, index_path)
        self.skipped: dict[str, int] = json.loads(index.schema.metadata[b"skipped"])
        if not len(index):
            raise ValueError(f"{self.path} holds no row that can be used, left out are {self.skipped}.")
        self._offsets, self._lengths = index["offset"], index["length"]
        self._rows = IdIndex(index["image_id"])

    def __getitem__(self, image_id: str) -> Regions:
        if (row := self._rows.find(image_id)) is None:
            raise KeyError(f"Image {image_id!r} is not among the {len(self)} images of the file {self.path}.")
        if self._file is None:
            self._file = self.path.open("rb", buffering=0)
        offset, length = self._offsets[row].as_py(), self._lengths[row].as_py()
        line = os.pread(self._file.fileno(), length, offset)  # moves no position that forked workers would share
        if len(line) != length or not line.startswith(image_id.encode() + b"\t"):
            raise ValueError(f"{self.path} has changed since it was opened: open it again.")
        return _to_regions(line)

    def many(self, image_ids: Sequence[str]) -> list[Regions]:
        """The regions of several images, in the order asked for.

        Raises:
            KeyError: an image that is not in the file.
        """
        regions = {image_id: self[image_id] for image_id in dict.fromkeys(image_ids)}
        return [regions[image_id] for image_id in image_ids]

    def __contains__(self, image_id: object) -> bool:
        return self._rows.find(image_id) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_file": None}  # a process that was spawned opens its own


def to_region_store(
    regions: Mapping[str, Regions],
    path: str | Path,
    description: dict[str, Any] | None = None,
    progress: bool = True,
    features_dtype: FeaturesType = "float32",
) -> RegionStore:
    """Write a mapping of regions, such as a `BottomUpFile`, to a region store: three quarters of the size of base64.

    Args:
        regions: regions by image id.
        path: folder of the store, which does not exist yet.
        description: JSON values that say where the regions come from.
        progress: show a bar with time left.
        features_dtype: "float32" keeps features as they are; "float16" rounds them, for half the space.

    Raises:
        FileExistsError: the folder is there already.
        ValueError: features that float16 cannot hold.
    """
    bar = tqdm(regions, total=len(regions), desc="Storing regions", unit=" images", disable=not progress)
    return RegionStore.create(path, (regions[image_id] for image_id in bar), description, features_dtype)


def read_label_names(path: str | Path) -> list[str]:
    """Names of a detector's classes: one a line, of synonyms between commas the first.

    Raises:
        ValueError: a line without a name; the ids of those behind it would be doubtful.
    """
    lines = Path(path).read_text(encoding="utf-8-sig").rstrip().splitlines()
    names = [line.split(",")[0].strip() for line in lines]
    if "" in names:
        raise ValueError(f"{path}, line {names.index('') + 1}: there is no name. Give each class its line.")
    return names


class _RowError(ValueError):
    """Says which field is wrong, what came, and the reason to count it under."""

    def __init__(self, field: str, what: str, reason: str):
        super().__init__(f"{field} {what.removesuffix('.')}")
        self.reason = reason


def _to_regions(line: bytes) -> Regions:
    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) != len(FIELDS):
        raise _RowError("row", f"has {len(fields)} fields between tabs instead of {len(FIELDS)}", "number of fields")
    row = dict(zip(FIELDS, fields, strict=True))
    try:
        image_id = row["img_id"].decode()
    except UnicodeDecodeError as error:
        raise _RowError("img_id", f"is no UTF-8: {row['img_id']!r}", "no UTF-8") from error
    if not image_id:
        raise _RowError("img_id", "is empty", "no image id")
    height, width, count = (_to_integer(row, name) for name in ("img_h", "img_w", "num_boxes"))
    boxes = _to_array(row, "boxes", "<f4", count * 4)
    features = _to_array(row, "features", "<f4")
    if not len(features) or len(features) % count:
        raise _RowError("features", f"has {len(features)} numbers, no multiple of num_boxes {count}", "wrong length")
    labels: dict[str, Any] = {keyword: _to_array(row, name, dtype, count) for name, (keyword, dtype) in LABELS.items()}
    try:
        return Regions(
            features.reshape(count, -1), boxes.reshape(count, 4), (height, width), image_id=image_id, **labels
        )
    except ValueError as error:
        keyword, _, what = str(error).partition(" ")
        field = next((name for name, (label, _) in LABELS.items() if label == keyword), keyword)
        raise _RowError(field, what, "values out of range") from error


def _to_integer(row: dict[str, bytes], name: str) -> int:
    if not row[name].isdigit() or not int(row[name]):
        raise _RowError(name, f"must be a whole number of at least 1, got {row[name][:40]!r}", "no number")
    return int(row[name])


def _to_array(row: dict[str, bytes], name: str, dtype: str, count: int | None = None) -> np.ndarray:
    try:
        content = binascii.a2b_base64(row[name], strict_mode=True)
    except binascii.Error as error:
        raise _RowError(name, f"is no base64 ({error}): {row[name][:40]!r}", "broken base64") from error
    size = np.dtype(dtype).itemsize
    if len(content) % size or (count is not None and len(content) != count * size):
        wanted = f"a multiple of {size}" if count is None else f"{count * size} as num_boxes says"
        raise _RowError(name, f"has {len(content)} bytes instead of {wanted}", "wrong length")
    return np.frombuffer(content, dtype)


def _check_labels(regions: Regions, content: Mapping[str, int | None]) -> None:
    for field, keyword in (("objects_id", "object_labels"), ("attrs_id", "attribute_labels")):
        limit, ids = content[keyword], getattr(regions, LABELS[field][0])
        if limit is not None and ids.max() >= limit:
            region = int(np.argmax(ids >= limit))
            what = f"is {ids[region]} in region {region}, but must lie below {keyword} {limit}"
            raise _RowError(field, what, "label beyond the limit")


def _index_path(path: Path, cache_dir: str | Path | None) -> Path:
    if cache_dir is None:
        return path.with_name(f"{path.name}.index.arrow")
    folder = hashlib.sha256(str(path.resolve().parent).encode()).hexdigest()[:8]  # files of one name do not collide
    return Path(cache_dir) / f"{path.name}.{folder}.index.arrow"


def _make_index(path: Path, bad_rows: BadRows, progress: bool, content: dict[str, int | None]) -> pa.Table:
    skipped: Counter[str] = Counter()
    seen: set[str] = set()
    rows: list[tuple[str, int, int]] = []
    first: tuple[int, int] | None = None
    offset = 0
    with (
        path.open("rb") as file,
        tqdm(
            total=content["size"], desc=f"Checking {path.name}", unit="B", unit_scale=True, disable=not progress
        ) as bar,
    ):
        for number, line in enumerate(file, start=1):
            bar.update(len(line))
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            try:
                regions = _to_regions(line)
                image_id, width = str(regions.image_id), regions.features.shape[1]
                first = first or (number, width)
                if width != first[1]:
                    what = f"is {width} wide, but row {first[0]} is {first[1]} wide: one of them is cut"
                    raise _RowError("features", what, "another width")
                _check_labels(regions, content)
                if image_id in seen:
                    raise _RowError("img_id", f"{image_id!r} came in a row before", "repeated image")
                seen.add(image_id)
                rows.append((image_id, start, len(line)))
            except _RowError as error:
                if bad_rows == "raise":
                    raise ValueError(
                        f"{path}, row {number}: {error}. Correct it, or leave such rows out with {HOW_TO_SKIP}."
                    ) from error
                skipped[error.reason] += 1
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    metadata = {"content": json.dumps(content), "skipped": json.dumps(skipped)}
    return pa.Table.from_arrays(
        [pa.array(column, kind) for column, kind in zip(columns, INDEX_SCHEMA.types, strict=True)],
        schema=INDEX_SCHEMA.with_metadata(metadata),
    )


def _open_index(path: Path, content: dict[str, int | None], bad_rows: BadRows) -> pa.Table | None:
    """The index at `path`, memory-mapped, if it is of just this file and has left out nothing that must be told."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        metadata = table.schema.metadata
        told = bad_rows == "skip" or not json.loads(metadata[b"skipped"])
        return table if told and json.loads(metadata[b"content"]) == content else None
    except (OSError, ValueError, KeyError, TypeError):  # none there, or none of ours
        return None


def _saved(index: pa.Table, path: Path) -> pa.Table:
    """The index, memory-mapped where it could be written."""

    def write(work: Path) -> None:
        with pa.OSFile(str(work), "wb") as sink, pa.ipc.new_file(sink, index.schema) as writer:
            writer.write_table(index, max_chunksize=BATCH_ROWS)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except OSError:
        return index
