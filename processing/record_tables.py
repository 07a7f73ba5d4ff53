"""Records as Arrow files: their columns, where they lie, written and read in batches."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter
from tqdm.auto import tqdm

BATCH_ROWS = 10_000
FEATURES = datasets.Features(
    {
        "image_id": datasets.Value("string"),
        "sentence": datasets.Value("string"),
        "answers": datasets.List(datasets.Value("string")),
        "scores": datasets.List(datasets.Value("float32")),
        "source": datasets.Value("string"),
        "origin": datasets.Value("string"),
    }
)


def records_folder(cache_dir: str | Path | None) -> Path:
    """The folder for Arrow files: `cache_dir`, or a temporary one that is removed when the process ends."""
    if cache_dir is not None:
        folder = Path(cache_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    folder = Path(tempfile.mkdtemp(prefix="lxmert-records-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file that appears when it is whole; several processes may write the same one at once."""
    work = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(work)
        with work.open("rb") as written:
            os.fsync(written.fileno())
        work.replace(path)
        sync_folder(path.parent)
    finally:
        work.unlink(missing_ok=True)


def check_is_free(folder: Path) -> None:
    """Refuse a folder that cannot be made.

    Raises:
        FileExistsError: a file of that name, or in place of a folder above it.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise FileExistsError(f"{there} is a file: choose another folder.")


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on disk, so that a loss of power keeps them."""
    if sys.platform == "win32":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def printable(name: object) -> str:
    """A name for a terminal: what is no printable character is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def write_tables(path: Path, tables: Iterable[pa.Table], features: datasets.Features) -> None:
    """Write tables to an Arrow file as they come."""

    def write(work: Path) -> None:
        with ArrowWriter(path=str(work), features=features) as writer:
            for table in tables:
                writer.write_table(table)
            writer.finalize()

    write_whole(path, write)


def read_batches(records: datasets.Dataset, description: str, progress: bool) -> Iterator[tuple[int, pa.Table]]:
    """Tables of up to 10,000 rows, each with the number of its first row."""
    batches = records.with_format("arrow").iter(batch_size=BATCH_ROWS)
    with tqdm(total=len(records), desc=description, unit=" rows", unit_scale=True, disable=not progress) as bar:
        start = 0
        for batch in batches:
            yield start, batch
            start += len(batch)
            bar.update(len(batch))
