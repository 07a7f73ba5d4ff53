"""Files of rows that are whole or absent."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lxmert import Regions
from lxmert.processing import RegionStore
from lxmert.processing.region_shards import (
    RegionShards,
    files_with,
    publish,
    shard_files,
    store_content,
    stored_ids,
)

ITEM = Regions(np.ones((2, 3)), [[0, 0, 5, 6]] * 2, (9, 9))


def add(shards: RegionShards, *names: str) -> None:
    for name in names:
        shards.add(replace(ITEM, image_id=name))


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with RegionShards(tmp_path, rows=2) as shards:
        add(shards, "a", "b", "c")
        assert stored_ids(tmp_path).to_pylist() == ["a", "b"]
        assert [file.name for file in tmp_path.glob(".*")] == [".process-00000-shard-00001.arrow.partial"]
    assert stored_ids(tmp_path).to_pylist() == ["a", "b", "c"]
    assert not list(tmp_path.glob(".*"))


def test_later_runs_and_other_processes_write_beside(tmp_path: Path) -> None:
    for process, names in ((0, "ab"), (0, "c"), (12, "d")):
        with RegionShards(tmp_path, process, rows=1) as shards:
            add(shards, *names)
    numbers = ["00000-shard-00000", "00000-shard-00001", "00000-shard-00002", "00012-shard-00000"]
    assert [file.stem for file in shard_files(tmp_path)] == [f"process-{number}" for number in numbers]
    assert stored_ids(tmp_path).to_pylist() == ["a", "b", "c", "d"]


def test_a_slow_file_is_closed_early(tmp_path: Path) -> None:
    with RegionShards(tmp_path, rows=100, seconds=0.05) as shards:
        add(shards, "a")
        time.sleep(0.06)
        add(shards, "b")
        assert stored_ids(tmp_path).to_pylist() == ["a", "b"]


def add_and_fail(folder: Path, name: str, error: BaseException) -> None:
    with RegionShards(folder) as shards:
        add(shards, name)
        raise error


def test_what_was_found_before_an_error_is_kept_unless_the_disk_is_full(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        add_and_fail(tmp_path, "a", KeyboardInterrupt())
    with pytest.raises(OSError, match="disk full"):
        add_and_fail(tmp_path, "b", OSError("disk full"))
    assert stored_ids(tmp_path).to_pylist() == ["a"]
    assert not list(tmp_path.glob(".*"))


def test_rows_that_an_interrupt_met_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lxmert.processing.region_shards.BATCH_BYTES", 1)

    class Interrupted:
        """Stopped by a person right after the rows were written."""

        def __init__(self, writer: pa.RecordBatchStreamWriter):
            self.close = writer.close
            self.write = writer.write_batch

        def write_batch(self, batch: pa.RecordBatch) -> None:
            self.write(batch)
            raise KeyboardInterrupt

    def interrupted() -> None:
        with RegionShards(tmp_path) as shards:
            shards.open()
            shards._writer = Interrupted(shards._writer)
            add(shards, "a")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stored_ids(tmp_path).to_pylist() == ["a"]
    assert files_with(tmp_path, "b") == []
    assert [file.name for file in files_with(tmp_path, "a")] == ["process-00000-shard-00000.arrow"]


def test_regions_that_cannot_be_stored_leave_the_file_as_it_was(tmp_path: Path) -> None:
    with RegionShards(tmp_path) as shards:
        add(shards, "a")
        with pytest.raises(ValueError, match="Regions without an image_id cannot be found again"):
            shards.add(ITEM)
        with pytest.raises(ValueError, match="features of image 'b' reach 70000, beyond float16: scale them down, or"):
            shards.add(replace(ITEM, image_id="b", features=np.full((2, 3), 7e4)))
        with pytest.raises(ValueError, match="object_ids of image 'b' reach 4294967296, beyond int32"):
            shards.add(replace(ITEM, image_id="b", object_ids=np.array([2**32, 0])))
        add(shards, "c")
    assert stored_ids(tmp_path).to_pylist() == ["a", "c"]


def test_a_folder_is_published_again_only_if_it_grew(tmp_path: Path) -> None:
    content = store_content({"of": "tests"}, "float16", None)
    publish(tmp_path, content)
    assert len(RegionStore(tmp_path)) == 0
    before = (tmp_path / "state.json").read_text()
    publish(tmp_path, content)
    assert (tmp_path / "state.json").read_text() == before
    with RegionShards(tmp_path) as shards:
        add(shards, "a")
    assert len(RegionStore(tmp_path)) == 0
    publish(tmp_path, content)
    assert list(RegionStore(tmp_path)) == ["a"]


def test_rows_are_written_when_they_fill_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many images a file takes, memory holds one batch of them."""
    row = ITEM.features.size * 2 + ITEM.boxes.size * 4  # bytes
    monkeypatch.setattr("lxmert.processing.region_shards.BATCH_BYTES", 3 * row)
    with RegionShards(tmp_path) as shards:
        held = []
        for number in range(7):
            add(shards, str(number))
            held.append(len(shards._waiting))
        assert held == [1, 2, 0, 1, 2, 0, 1]
    assert stored_ids(tmp_path).to_pylist() == list("0123456")
