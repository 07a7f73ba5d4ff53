import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest

from lxmert import Regions
from lxmert.processing import RegionStore
from lxmert.processing.region_rows import COLUMNS, to_row
from lxmert.processing.region_shards import RegionShards, publish, store_content


def make(image_id: str | None, regions: int = 2, width: int = 3, labels: bool = False) -> Regions:
    generator = np.random.default_rng(len(image_id or "") + regions)
    return Regions(
        features=generator.normal(size=(regions, width)),
        boxes=[[0, 0, 5 + i, 6 + i] for i in range(regions)],
        image_size=(40, 30),
        image_id=image_id,
        object_ids=list(range(regions)) if labels else None,
        attribute_scores=[0.5] * regions if labels else None,
    )


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    stored = [make("a"), make("bb", regions=4, labels=True), make("ccc", regions=1)]
    RegionStore.create(tmp_path / "store", stored, {"extractor": "none"})
    store = RegionStore(tmp_path / "store")
    assert list(store) == ["a", "bb", "ccc"]
    assert store.description == {"extractor": "none"}
    for expected in stored:
        got = store[expected.image_id]
        assert (got.image_id, got.image_size) == (expected.image_id, (40, 30))
        assert np.array_equal(got.features, expected.features.astype(np.float16).astype(np.float32))
        assert np.array_equal(got.boxes, expected.boxes)
    assert store["a"].object_ids is None
    assert store["bb"].object_ids.tolist() == [0, 1, 2, 3]
    assert store["bb"].attribute_scores.tolist() == [0.5] * 4
    assert [len(regions) for regions in store.many(["ccc", "bb", "ccc"])] == [1, 4, 1]


@pytest.mark.parametrize("batch_bytes", [1, 2**20])
def test_labels_beyond_the_limits_are_found(batch_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lxmert.processing.region_shards.BATCH_BYTES", batch_bytes)
    stored = [make("a"), make("b", 4, labels=True), make("c"), make("d", 1, labels=True), make("e", 6, labels=True)]
    stored += [replace(make("f", 3), attribute_ids=[-1, 2, -1])]
    store = RegionStore.create(tmp_path / "store", stored)
    assert len(store.dataset.data.column("object_ids").chunks) == (6 if batch_bytes == 1 else 1)
    store.check_labels()
    store.check_labels(object_labels=6, attribute_labels=3, progress=False)
    with pytest.raises(ValueError, match=r"store, image 'e': object_ids is 5 in region 5, .* below object_labels 5: "):
        store.check_labels(object_labels=5, progress=False)
    with pytest.raises(ValueError, match=r"store, image 'b': object_ids is 1 in region 1, .* below object_labels 1: "):
        store.check_labels(1, 2, progress=False)
    with pytest.raises(ValueError, match=r"image 'f': attribute_ids is 2 in region 1, .* below attribute_labels 2: "):
        store.check_labels(6, 2, progress=False)
    made_by_hand = replace(stored[5], image_id="g")
    made_by_hand.attribute_ids[2] = -5  # past the checks of Regions
    bad = RegionStore.create(tmp_path / "bad", [stored[0], made_by_hand])
    with pytest.raises(ValueError, match=r"image 'g': attribute_ids is -5 in region 2, "):
        bad.check_labels(6, 3, progress=False)


def test_datasets_opens_a_store(tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", [make("a")])
    dataset = datasets.load_from_disk(str(tmp_path / "store"))
    assert dataset.features["features"] == datasets.Value("binary")
    assert len(dataset[0]["features"]) == 2 * 3 * 2  # 2 regions x 3 numbers x 2 bytes


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "store", [make("a")])
    with pytest.raises(KeyError, match="Image 'b' is not among the 1 images of the region store"):
        store["b"]
    with pytest.raises(KeyError, match="Image 'b'"):
        store.many(["a", "b"])
    assert "a" in store
    assert "b" not in store
    assert 1 not in store


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([make(None)], "Regions number 0 has no image_id"),
        ([make("a"), make("a")], "Regions number 1 repeats the image_id 'a'"),
        ([replace(make("a"), features=np.full((2, 3), 70000.0))], "features of image 'a' reach 70000, beyond float16"),
    ],
)
def test_a_failed_store_leaves_nothing_behind(regions: list[Regions], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        RegionStore.create(tmp_path / "store", regions)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", [make("a")])
    with pytest.raises(FileExistsError, match="choose another folder or remove it"):
        RegionStore.create(tmp_path / "store", [make("b")])
    with pytest.raises(FileNotFoundError, match="is no region store"):
        RegionStore(tmp_path)


def anonymous_megabytes() -> float:
    """Memory that is the process's own; pages of mapped files can be dropped and do not count."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads memory figures from Linux's /proc")
def test_reading_rows_does_not_load_the_store(tmp_path: Path) -> None:
    count, features = 1500, np.zeros((36, 2048), dtype=np.float32)  # 211 MB in float16

    def images() -> Iterator[Regions]:
        for i in range(count):
            yield Regions(features + i % 7, [[0, 0, 9, 9]] * 36, (9, 9), image_id=str(i))

    store = RegionStore.create(tmp_path / "store", images())
    before = anonymous_megabytes()
    for i in range(0, count, 3):
        assert store[str(i)].features[5, 5] == i % 7
    assert anonymous_megabytes() - before < 40


def test_float32_loses_nothing(tmp_path: Path) -> None:
    large = replace(make("a"), features=np.array([[1 / 3, 1e-9, 7e4]] * 2, np.float32))
    store = RegionStore.create(tmp_path / "store", [large], features_dtype="float32")
    assert (store.features_dtype, store["a"].features.tolist()) == ("float32", large.features.tolist())
    half = RegionStore.create(tmp_path / "half", [make("a")])
    assert half.features_dtype == "float16"
    versions = [json.loads((tmp_path / name / "region_store.json").read_text()) for name in ("store", "half")]
    assert [version["format_version"] for version in versions] == [2, 1], "older versions read float16 only"
    with pytest.raises(ValueError, match='features_dtype must be "float16" or "float32", got \'int8\''):
        RegionStore.create(tmp_path / "new", [large], features_dtype="int8")  # type: ignore[arg-type]


def test_names_are_kept_once_and_come_back(tmp_path: Path) -> None:
    names = {"object_names": ("sky", "cat"), "attribute_names": ("blue",)}
    stored = [replace(make(name, labels=True), **names) for name in "ab"]
    store = RegionStore.create(tmp_path / "store", stored)
    assert (store.object_names, store.attribute_names) == (("sky", "cat"), ("blue",))
    assert store["a"].describe(1) == "cat"
    assert store["a"].object_names is store.many(["b"])[0].object_names
    with pytest.raises(ValueError, match="Image 'c' has other object_names or attribute_names than the images before"):
        RegionStore.create(tmp_path / "mixed", [*stored, replace(stored[0], image_id="c", object_names=("a", "b"))])
    assert RegionStore.create(tmp_path / "bare", [make("a")])["a"].object_names is None


def test_stores_of_the_first_version_open(tmp_path: Path) -> None:
    """Their rows were copied by `save_to_disk`, and the description said neither type nor names."""
    rows = [to_row(make(name, labels=True), "float16") for name in ("a", "bb")]
    datasets.Dataset.from_list(rows, features=COLUMNS).save_to_disk(str(tmp_path / "old"))
    (tmp_path / "old" / "region_store.json").write_text('{"format_version": 1, "description": {"of": "tests"}}')
    old = RegionStore(tmp_path / "old")
    assert np.array_equal(old["bb"].features, make("bb").features.astype(np.float16))
    assert (old.description, old.features_dtype, old.object_names) == ({"of": "tests"}, "float16", None)
    text = (tmp_path / "old/region_store.json").read_text().replace('"format_version": 1', '"format_version": 3')
    (tmp_path / "old/region_store.json").write_text(text)
    with pytest.raises(ValueError, match="has region store format 3, this version reads 1 and 2: extract the regions"):
        RegionStore(tmp_path / "old")


def test_an_unfinished_store_says_so(tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", [make("a")])
    (tmp_path / "store" / "state.json").unlink()
    with pytest.raises(FileNotFoundError, match="is no whole region store yet: its extraction was stopped, or"):
        RegionStore(tmp_path / "store")


def in_shards(folder: Path, count: int, rows: int, width: int) -> Path:
    """A store of files with so many rows each."""
    folder.mkdir()
    regions = Regions(np.zeros((36, width)), [[0, 0, 9, 9]] * 36, (9, 9))
    with RegionShards(folder, rows=rows) as shards:
        for i in range(count):
            shards.add(replace(regions, image_id=str(i)))
    publish(folder, store_content({}, "float16", None))
    return folder


def resident_file_megabytes() -> float:
    """Pages of mapped files that were read."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssFile")) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads memory figures from Linux's /proc")
def test_opening_a_store_reads_no_features(tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "other", [make("a")])  # brings in the libraries
    folder = in_shards(tmp_path / "store", count=200, rows=10, width=2048)
    before = resident_file_megabytes()
    store = RegionStore(folder)
    assert resident_file_megabytes() - before < 8, "of 29"
    assert len(store) == 200


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in Linux's /proc")
def test_a_store_of_many_files_keeps_none_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = in_shards(tmp_path / "store", count=200, rows=1, width=2)
    before = len(os.listdir("/proc/self/fd"))
    store = RegionStore(folder)
    assert store["177"].image_id == "177"
    assert len(os.listdir("/proc/self/fd")) - before < 20
    assert capsys.readouterr().err == "", "no bar of its own"
