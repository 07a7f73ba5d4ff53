"""The files of a region store: rows in Arrow files that are whole or absent, and what `datasets` needs to find them."""

import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from lxmert.processing.record_tables import sync_folder, write_whole
from lxmert.processing.region_rows import COLUMNS, FeaturesType, check_features_type, to_row
from lxmert.processing.regions import Regions

DESCRIPTION_FILE = "region_store.json"
STATE_FILE, INFO_FILE = "state.json", "dataset_info.json"  # of `datasets`
BATCH_BYTES = 2**25  # rows are held in memory up to this, then written as one batch
NAMES = ("object_names", "attribute_names")


class RegionShards:
    """Writes regions to files in a store's folder, one after the other; a file appears when it is whole and on disk.

    A kill loses the rows of the open file only. Processes write side by side, each its own files; those of earlier
    runs stay. A context manager: leaving it finishes the open file, too, unless it could not be written.

    Args:
        folder: of the store; it must exist.
        process: number of the writing process, part of the files' names.
        rows: start another file after so many images; None writes one file only.
        seconds: start another file after so much time, so that a slow extractor loses little by a kill.
        features_dtype: type that features are stored in.

    Raises:
        ValueError: an unknown `features_dtype`.

    Attributes:
        names: names of the detector's classes, as the first regions have them.
    """

    def __init__(
        self,
        folder: Path,
        process: int = 0,
        rows: int | None = None,
        seconds: float | None = None,
        features_dtype: FeaturesType = "float16",
    ):
        check_features_type(features_dtype)
        self.folder, self.process, self.rows, self.seconds = folder, process, rows, seconds
        self.features_dtype = features_dtype
        self.names: dict[str, Sequence[str] | None] | None = None
        taken = [int(path.stem.rsplit("-", 1)[1]) for path in folder.glob(f"{self._stem()}*.arrow")]
        self._number = max(taken, default=-1) + 1
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._waiting: list[dict[str, Any]] = []
        self._bytes = self._count = 0

    def add(self, regions: Regions) -> None:
        """Write the regions of one image.

        Raises:
            ValueError: regions without an `image_id`, with other names of classes than those before, or that cannot
                be stored (see `to_row`); nothing is written then, and others may follow.
        """
        if regions.image_id is None:
            raise ValueError("Regions without an image_id cannot be found again: give each image its own.")
        self._check_names(regions)
        row = to_row(regions, self.features_dtype)
        self.open()
        self._waiting.append(row)
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, bytes))
        self._count += 1
        if self._bytes >= BATCH_BYTES:
            self._write_batch()
        late = self.seconds is not None and time.monotonic() - self._opened >= self.seconds
        if late or self._count == self.rows:
            self.close()

    def open(self) -> None:
        """Start a file, if none is open; one without rows is whole, too."""
        if self._writer is not None:
            return
        self._work = self.folder / f".{self._stem()}{self._number:05d}.arrow.partial"
        self._sink = pa.OSFile(str(self._work), "wb")
        self._writer = pa.ipc.new_stream(self._sink, COLUMNS.arrow_schema)
        self._opened = time.monotonic()

    def close(self) -> None:
        """Finish the open file, if there is one."""
        if self._writer is None:
            return
        self._write_batch()
        self._writer.close()
        self._sink.close()
        with self._work.open("rb") as written:
            os.fsync(written.fileno())
        self._work.rename(self.folder / f"{self._stem()}{self._number:05d}.arrow")
        sync_folder(self.folder)
        self._writer, self._count = None, 0
        self._number += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError):
            self.close()
        elif self._writer is not None:  # the disk is full, perhaps
            self._work.unlink(missing_ok=True)

    def _check_names(self, regions: Regions) -> None:
        names = {name: getattr(regions, name) for name in NAMES}
        if self.names is None:
            self.names = names
        # most often the very same tuple, so that comparing thousands of names costs nothing
        elif any(names[name] is not known and names[name] != known for name, known in self.names.items()):
            raise ValueError(
                f"Image {regions.image_id!r} has other object_names or attribute_names than the images before it: "
                "keep the regions of each detector in a store of their own."
            )

    def _stem(self) -> str:
        return f"process-{self.process:05d}-shard-"

    def _write_batch(self) -> None:
        assert self._writer is not None
        # taken out first: closing after an interrupt here must not write them again
        rows, self._waiting, self._bytes = self._waiting, [], 0
        if rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(rows, COLUMNS.arrow_schema))


def store_content(
    description: dict[str, Any] | None, features_dtype: FeaturesType, names: dict[str, Sequence[str] | None] | None
) -> dict[str, Any]:
    """What a store's description file holds, as JSON values."""
    # Readers of format 1 know float16 only.
    content: dict[str, Any] = {"format_version": 1 if features_dtype == "float16" else 2}
    content |= {"description": description or {}, "features_dtype": features_dtype}
    content |= {name: list(value) for name, value in (names or {}).items() if value is not None}
    return json.loads(json.dumps(content))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that is either the old one or the new one."""
    write_whole(path, lambda work: work.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Read a JSON file of a store.

    Raises:
        ValueError: another content.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged, perhaps by a loss of power: put back a copy, or take another folder ({error})."
        ) from error


def shard_files(folder: Path) -> list[Path]:
    """The whole Arrow files in a store's folder."""
    return sorted(folder.glob("process-*.arrow"))


def stored_ids(folder: Path) -> pa.ChunkedArray:
    """The image ids in all whole files; of the rest nothing is read."""
    chunks = [chunk for file in shard_files(folder) for chunk in _ids_in(file).chunks]
    return pa.chunked_array(chunks, pa.string())


def files_with(folder: Path, image_id: str) -> list[Path]:
    """The whole files in a store's folder that hold an image, as often as they hold it."""
    counts = ((file, pc.sum(pc.equal(_ids_in(file), image_id)).as_py() or 0) for file in shard_files(folder))
    return [file for file, count in counts for _ in range(count)]


def publish(folder: Path, content: dict[str, Any]) -> None:
    """Make the folder a store of the rows that its files hold now, which stay where they are.

    `RegionStore` and `datasets.load_from_disk` open it then. Rows may be added later, and the folder published again.

    Args:
        folder: with files by `RegionShards`; if there are none, the store is empty.
        content: see `store_content`.
    """
    if not shard_files(folder):
        with RegionShards(folder) as shards:
            shards.open()
    state: dict[str, Any] = dict.fromkeys(("_format_columns", "_format_type", "_split"))
    state |= {"_format_kwargs": {}, "_output_all_columns": False, "_fingerprint": uuid.uuid4().hex[:16]}
    files = [{"filename": file.name} for file in shard_files(folder)]
    if (folder / STATE_FILE).is_file() and read_json(folder / STATE_FILE)["_data_files"] == files:
        return
    write_json(folder / DESCRIPTION_FILE, content)
    write_json(folder / INFO_FILE, asdict(datasets.DatasetInfo(features=COLUMNS)))
    write_json(folder / STATE_FILE, {"_data_files": files, **state})


def _ids_in(file: Path) -> pa.ChunkedArray:
    return pa.ipc.open_stream(pa.memory_map(str(file))).read_all().column("image_id")
