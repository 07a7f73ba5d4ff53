"""The folder that an extraction writes: whether a run may go on there, what is done, and how it becomes a store."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lxmert.detection.extraction_progress import MARKS, clear_marks
from lxmert.detection.extraction_report import (
    JOURNALS,
    SKIPPED_FILE,
    SkippedImage,
    read_skipped,
    write_skipped,
)
from lxmert.detection.image_sources import ImageSource, first_repeated
from lxmert.processing.region_extractor import RegionExtractor
from lxmert.processing.region_rows import FeaturesType, check_features_type
from lxmert.processing.region_shards import (
    DESCRIPTION_FILE,
    NAMES,
    files_with,
    publish,
    read_json,
    store_content,
    stored_ids,
    write_json,
)

if sys.platform != "win32":
    import fcntl

SOURCES_FILE = "images_from.json"


class ExtractionFolder:
    """A region store in the making.

    | file | holds |
    |---|---|
    | region_store.json | the extractor's settings, as in a finished store |
    | images_from.json | names of the sources, and what of them was chosen |
    | process-00000-shard-00000.arrow | rows of finished files |
    | process-00000-skipped.jsonl | pictures that a process skipped, a line each |
    | .process-00000.json | how far a running process is; locked while it runs |
    | .process-00000-shard-00001.arrow.partial | the file that is being written |

    Args:
        path: of the folder.
        extractor: finds the regions.
        features_dtype: type that features are stored in.

    Raises:
        ValueError: an extractor whose settings cannot be written, or an unknown type.
    """

    def __init__(self, path: Path, extractor: RegionExtractor, features_dtype: FeaturesType):
        check_features_type(features_dtype)
        self.path = path
        self._locked: int | None = None
        names = {name: getattr(extractor, name) for name in NAMES}
        self.content = store_content({"region_extractor": extractor.to_dict()}, features_dtype, names)

    def open(self, source: ImageSource, retry_skipped: bool) -> None:
        """Make the folder, or see that it is of the same extraction and clear what a killed run left.

        Raises:
            FileExistsError: regions of another extractor or type, other images with the same ids, something else, or a
                run that still writes.
        """
        self._check()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock()
        clear_marks(self.path)
        for partial in self.path.glob(".*.partial"):
            partial.unlink()
        if not (self.path / DESCRIPTION_FILE).is_file():
            write_json(self.path / DESCRIPTION_FILE, self.content)
        self._add_source(source)
        if retry_skipped:
            kept = _without(read_skipped(self.path), source.ids)
            write_skipped(self.path / SKIPPED_FILE, kept)
            for journal in self.path.glob(JOURNALS):
                journal.unlink()

    def release(self) -> None:
        """Give up the lock of `open`, once this process's own mark keeps other runs out."""
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    def known(self, source: ImageSource) -> tuple[np.ndarray, np.ndarray]:
        """Which of the source's images are stored, and which were skipped: (N,) each, bool."""
        stored = _is_in(source, stored_ids(self.path))
        skipped = _is_in(source, pa.array([item.image_id for item in read_skipped(self.path)], pa.string()))
        return stored, skipped & ~stored

    def journal(self, process: int) -> Path:
        """Where a process lists the pictures that it skips."""
        return self.path / f"process-{process:05d}-skipped.jsonl"

    def finish(self, source: ImageSource) -> list[SkippedImage]:
        """Make the folder a store of all rows in it; gives the source's images without regions."""
        ids = stored_ids(self.path)
        if repeated := first_repeated(ids):
            image_id = ids[repeated[0]].as_py()
            files = [file.name for file in files_with(self.path, image_id)]
            raise RuntimeError(
                f"Image {image_id!r} came twice into {self.path}, in {' and '.join(files)}: two runs wrote there at "
                f"once. Remove {files[-1]} and start again; its images are done again."
            )
        stored, passed = self.known(source)
        if not (stored | passed).all():
            lost = source.ids[int(np.flatnonzero(~(stored | passed))[0])].as_py()
            raise RuntimeError(f"Image {lost!r} was done, but is not in {self.path}: files of it were taken away.")
        publish(self.path, self.content)
        skipped = _without(read_skipped(self.path), ids)
        write_skipped(self.path / SKIPPED_FILE, skipped)
        for file in (*self.path.glob(JOURNALS), *self.path.glob(MARKS)):
            file.unlink()
        others = {item.image_id for item in _without(skipped, source.ids)}
        return [item for item in skipped if item.image_id not in others]

    def _lock(self) -> None:
        """Keep out a run that starts at the same moment, which would clear away what this one begins to write."""
        if sys.platform == "win32":
            return
        self._locked = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise FileExistsError(f"Another run is starting in {self.path}: wait until it ends.") from error
        except OSError:  # a file system that locks no folders
            self.release()

    def _check(self) -> None:
        file = self.path / DESCRIPTION_FILE
        if not file.is_file():
            # a run that was killed at once leaves hidden files only
            if self.path.exists() and not (
                self.path.is_dir() and all(inner.name.startswith(".") for inner in self.path.iterdir())
            ):
                raise FileExistsError(f"{self.path} holds something else: choose another folder.")
            return
        there = {"features_dtype": "float16"} | read_json(file)
        if there != self.content:
            ours, theirs = (_settings(content) for content in (self.content, there))
            differing = ", ".join(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
            raise FileExistsError(
                f"{self.path} holds regions found with other settings ({differing}): choose another folder, or the "
                f"settings in {file}."
            )

    def _add_source(self, source: ImageSource) -> None:
        file = self.path / SOURCES_FILE
        records = read_json(file) if file.is_file() else []
        records = [{"name": record} if isinstance(record, str) else record for record in records]  # names only, once
        for record in records:
            if record["name"] == source.name:
                for name, choice in source.choices.items():
                    if record.setdefault(name, choice) != choice:
                        raise FileExistsError(
                            f"{self.path} has regions of {source.name} found with {name} {record[name]!r}, but now it "
                            f"is {choice!r}: choose another folder, or {record[name]!r} again."
                        )
                return
        same = np.flatnonzero(_is_in(source, stored_ids(self.path)))
        if len(same):
            names = ", ".join(record["name"] for record in records)
            raise FileExistsError(
                f"{self.path} has regions of {len(same):,} images of the same ids, such as "
                f"{source.ids[same[0]].as_py()!r}, found not in {source.name} but in {names or 'memory'}: "
                f"choose another folder, or, if the pictures are the same ones moved, correct {file}."
            )
        write_json(file, [*records, {"name": source.name, **source.choices}])


def _is_in(source: ImageSource, ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return pc.is_in(source.ids, value_set=ids).to_numpy(zero_copy_only=False)


def _without(skipped: list[SkippedImage], ids: pa.Array | pa.ChunkedArray) -> list[SkippedImage]:
    names = pa.array([item.image_id for item in skipped], pa.string())
    there = pc.is_in(names, value_set=ids).to_pylist()
    return [item for item, known in zip(skipped, there, strict=True) if not known]


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a description file, its extractor's settings beside the rest."""
    rest = {name: value for name, value in content.items() if name not in ("description", "format_version")}
    description = content["description"]
    extractor = description.get("region_extractor") if isinstance(description, dict) else None
    return rest | (extractor if isinstance(extractor, dict) else {"description": description})
