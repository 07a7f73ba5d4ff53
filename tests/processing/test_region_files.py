"""Bottom-up files, stores and one file per image: what goes through them comes out as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from lxmert import Regions
from lxmert.processing import (
    BottomUpFile,
    RegionFiles,
    RegionStore,
    to_region_store,
    write_bottom_up_file,
    write_region_files,
)
from lxmert.processing.bottom_up_writer import check_bottom_up_target
from lxmert.processing.region_files import FileFormat, check_region_files_target, file_of
from tests.conftest import shared_folder

NAMES = {"object_names": ("sky", "cat"), "attribute_names": ("blue",)}
ARRAYS = ("features", "boxes", "object_ids", "object_scores", "attribute_ids", "attribute_scores")


def make(image_id: str, labels: bool = True, **changes: object) -> Regions:
    generator = np.random.default_rng(len(image_id))
    regions = Regions(
        features=generator.normal(size=(2, 5)),
        boxes=[[0, 0, 9, 8.25], [1, 2, 30, 40]],
        image_size=(40, 30),
        image_id=image_id,
        object_ids=[1, -1] if labels else None,
        object_scores=[0.3, 0] if labels else None,
        attribute_ids=[0, 0] if labels else None,
        attribute_scores=[1, 0.1] if labels else None,
    )
    return replace(regions, **changes)


def assert_same(got: Regions, expected: Regions) -> None:
    assert (got.image_id, got.image_size) == (expected.image_id, expected.image_size)
    assert (got.object_names, got.attribute_names) == (expected.object_names, expected.attribute_names)
    for name in ARRAYS:
        ours, theirs = getattr(got, name), getattr(expected, name)
        assert (ours is None) == (theirs is None), name
        assert ours is None or np.array_equal(ours, theirs), name


@pytest.fixture(scope="module")
def original() -> Path:
    return shared_folder("data/bottom_up") / "train2014_obj36.tsv"


def test_the_original_file_goes_through_every_format_byte_for_byte(original: Path, tmp_path: Path) -> None:
    source = BottomUpFile(original, cache_dir=tmp_path, progress=False)
    store = to_region_store(source, tmp_path / "store", progress=False)
    assert store.features_dtype == "float32"
    first = write_region_files(store, tmp_path / "safetensors", progress=False)
    second = write_region_files(first, tmp_path / "npz", "npz", progress=False)
    assert len(store) == len(first) == len(second) == 10
    for image_id, expected in source.items():
        assert_same(store[image_id], expected)
        assert_same(first[image_id], expected)
        assert_same(second[image_id], expected)
    write_bottom_up_file(store, tmp_path / "again.tsv", progress=False)
    assert (tmp_path / "again.tsv").read_bytes() == original.read_bytes()
    write_bottom_up_file({name: second[name] for name in source}, tmp_path / "last.tsv", progress=False)
    assert (tmp_path / "last.tsv").read_bytes() == original.read_bytes()


def test_absent_labels_are_written_only_if_asked_for(tmp_path: Path) -> None:
    bare, rules = make("bare", labels=False), make("rules", object_scores=None, attribute_scores=None)
    regions = {"bare": bare, "rules": rules}
    with pytest.raises(ValueError, match="image 'bare' have no object_ids, .* pass fill_labels=True to write -1"):
        write_bottom_up_file(regions, tmp_path / "file.tsv", progress=False)
    assert list(tmp_path.iterdir()) == []
    write_bottom_up_file(regions, tmp_path / "file.tsv", fill_labels=True, progress=False)
    got = BottomUpFile(tmp_path / "file.tsv", progress=False)
    minus, zero = np.full(2, -1), np.zeros(2)
    filled = {"object_ids": minus, "attribute_ids": minus, "object_scores": zero, "attribute_scores": zero}
    assert_same(got["bare"], replace(bare, **filled))
    assert_same(got["rules"], replace(rules, object_scores=zero + 1, attribute_scores=zero + 1))


@pytest.mark.parametrize("image_id", ["", "a\tb", "a\nb", '"a"'])
def test_an_image_id_that_a_row_cannot_hold(image_id: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Image id .* is empty or holds a tab, line break or quote"):
        write_bottom_up_file({image_id: make(image_id)}, tmp_path / "file.tsv", progress=False)


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_files_keep_all_that_a_store_keeps(kind: FileFormat, tmp_path: Path) -> None:
    items = [make("train/a", **NAMES), make("b", labels=False, **NAMES), make("été/../B", **NAMES)]
    store = RegionStore.create(tmp_path / "store", items, {"of": "tests"}, features_dtype="float32")
    files = write_region_files(store, tmp_path / "files", kind, progress=False)
    assert sorted(files) == sorted(store)
    assert files.description == {"of": "tests"}
    for item in items:
        assert_same(store[item.image_id], item)
        assert_same(files[item.image_id], item)
    assert [regions.image_id for regions in files.many(["b", "train/a", "b"])] == ["b", "train/a", "b"]
    for absent in ("train", "c", "../store", 5):
        assert absent not in files
    with pytest.raises(KeyError, match="Image 'c' is not among the 3 region files in "):
        files["c"]


def test_other_tools_read_the_files(tmp_path: Path) -> None:
    write_region_files({"a": make("a")}, tmp_path / "one", features_dtype="float16", progress=False)
    arrays = load_file(tmp_path / "one" / "a.safetensors")
    assert arrays["features"].dtype == np.float16
    assert arrays["image_size"].tolist() == [40, 30]
    write_region_files({"a": make("a", labels=False)}, tmp_path / "two", "npz", progress=False)
    with np.load(tmp_path / "two" / "a.npz") as arrays:
        assert sorted(arrays) == ["boxes", "features", "image_size"]
        assert np.array_equal(arrays["features"], make("a").features)


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=20) | st.text("./\\~%: éA", max_size=8))
def test_an_id_names_a_file_below_the_folder(image_id: str) -> None:
    folder = Path("/store")
    file = file_of(folder, image_id, "npz")
    assert file.is_relative_to(folder)
    assert ".." not in file.parts
    assert len(file.relative_to(folder).parts) == image_id.count("/") + 1


@settings(max_examples=25, deadline=None)
@given(ids=st.lists(st.text(st.characters(codec="utf-8"), max_size=9) | st.text("./%a", max_size=6), unique=True))
def test_ids_come_back_from_the_files_names(ids: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    files = write_region_files(
        {name: make(name) for name in ids}, tmp_path_factory.mktemp("f") / "files", progress=False
    )
    assert sorted(files) == sorted(ids)
    for name in ids:
        assert files[name].image_id == name


def test_a_stopped_run_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    items = {name: make(name) for name in "abc"}
    write_region_files({"a": items["a"]}, tmp_path / "files", progress=False)
    before = (tmp_path / "files/a.safetensors").stat().st_mtime_ns
    assert len(write_region_files(items, tmp_path / "files", progress=False)) == 3
    assert (tmp_path / "files/a.safetensors").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="holds files of other regions or of another format: choose another"):
        write_region_files(items, tmp_path / "files", "npz", progress=False)
    with pytest.raises(FileExistsError, match="holds other things: choose another folder or empty it"):
        write_region_files(items, tmp_path, progress=False)


def test_what_cannot_be_written_or_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='format must be "safetensors" or "npz", got \'hdf5\''):
        write_region_files({}, tmp_path / "files", "hdf5")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='features_dtype must be "float16" or "float32", got \'int8\''):
        write_region_files({}, tmp_path / "files", features_dtype="int8")  # type: ignore[arg-type]
    large = {"a": make("a", features=np.full((2, 3), 70000.0))}
    with pytest.raises(
        ValueError, match=r"reach 70000, beyond float16: scale them down, or store them with features_dtype=\"float32\""
    ):
        write_region_files(large, tmp_path / "half", features_dtype="float16", progress=False)
    files = write_region_files(large, tmp_path / "files", progress=False)
    assert files["a"].features.max() == 70000
    (tmp_path / "files" / "a.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"a\.safetensors holds no regions: .* Write it again"):
        files["a"]
    other = write_region_files(large, tmp_path / "npz", "npz", progress=False)
    for content in (b"", b"broken", b"PK\x03\x04", (tmp_path / "npz/a.npz").read_bytes()[:-40]):
        (tmp_path / "npz/a.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz holds no regions: "):
            other["a"]
    with pytest.raises(FileNotFoundError, match=r"is no folder of region files: it has no region_files\.json"):
        RegionFiles(tmp_path)
    text = (tmp_path / "npz/region_files.json").read_text().replace('"format_version": 1', '"format_version": 9')
    (tmp_path / "npz/region_files.json").write_text(text)
    with pytest.raises(ValueError, match="has region files of format npz 9, this version reads safetensors, npz 1"):
        RegionFiles(tmp_path / "npz")


def test_a_target_is_checked_before_anything_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"Image id 'a\\tb' is empty or holds a tab, line break or quote"):
        check_bottom_up_target(tmp_path / "new.tsv", ["a", "a\tb"])
    with pytest.raises(FileExistsError, match="folder is a folder: choose another name for the file"):
        check_bottom_up_target(tmp_path / "folder", [])
    with pytest.raises(FileExistsError, match="file is a file: choose another folder"):
        check_bottom_up_target(tmp_path / "file/in/x.tsv", [])
    with pytest.raises(FileExistsError, match="file is a file: choose another folder"):
        check_region_files_target(tmp_path / "file", "npz", "float32")
    with pytest.raises(FileExistsError, match="holds other things: choose another folder or empty it"):
        check_region_files_target(tmp_path, "npz", "float32")
    check_bottom_up_target(tmp_path / "file", ["a"])  # is replaced
    write_region_files({}, tmp_path / "folder", "npz", progress=False)
    check_region_files_target(tmp_path / "folder", "npz", "float32")
    with pytest.raises(FileExistsError, match="holds files of another format or type: choose another folder"):
        check_region_files_target(tmp_path / "folder", "safetensors", "float32")


def test_a_file_that_could_not_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arrays: dict[str, np.ndarray], path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr("lxmert.processing.region_files.save_file", fail)
    regions = {"a": Regions(np.ones((2, 3)), [[0, 0, 5, 6]] * 2, (9, 9), image_id="a")}
    with pytest.raises(OSError, match="the disk is full"):
        write_region_files(regions, tmp_path / "files", progress=False)
    assert not list((tmp_path / "files").rglob("a.safetensors"))
    monkeypatch.undo()
    assert list(write_region_files(regions, tmp_path / "files", progress=False)) == ["a"]
