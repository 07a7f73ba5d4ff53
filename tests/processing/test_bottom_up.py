import base64
import csv
import multiprocessing
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lxmert import Regions
from lxmert.processing import bottom_up
from lxmert.processing.bottom_up import FIELDS, BottomUpFile, read_label_names, to_region_store
from tests.conftest import shared_folder


def encoded(values: object, dtype: str) -> str:
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode()


def make_row(image_id: str = "a", regions: int = 2, width: int = 3, **changes: object) -> list[str]:
    generator = np.random.default_rng(len(image_id) + regions)
    row = {
        "img_id": image_id,
        "img_h": 40,
        "img_w": 30,
        "objects_id": encoded(range(regions), "<i8"),
        "objects_conf": encoded([0.5] * regions, "<f4"),
        "attrs_id": encoded([7] * regions, "<i8"),
        "attrs_conf": encoded([0.25] * regions, "<f4"),
        "num_boxes": regions,
        "boxes": encoded([[0, 0, 5 + i, 6 + i] for i in range(regions)], "<f4"),
        "features": encoded(generator.normal(size=(regions, width)), "<f4"),
    }
    return [str(value) for value in (row | changes).values()]


def write_rows(path: Path, *rows: list[str], terminator: str = "\r\n") -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator=terminator).writerows(rows)
    return path


def independent(path: Path) -> dict[str, dict]:
    """Rows decoded by the standard library alone."""
    csv.field_size_limit(sys.maxsize)
    with path.open(newline="") as file:
        rows = {row["img_id"]: row for row in csv.DictReader(file, FIELDS, delimiter="\t")}
    types = {name: "<i8" if name.endswith("_id") else "<f4" for name in (*FIELDS[3:7], *FIELDS[8:])}
    for row in rows.values():
        for name, dtype in types.items():
            row[name] = np.frombuffer(base64.b64decode(row[name]), dtype)
    return rows


def assert_equal(regions: Regions, row: dict) -> None:
    count = int(row["num_boxes"])
    assert regions.image_id == row["img_id"]
    assert regions.image_size == (int(row["img_h"]), int(row["img_w"]))
    assert np.array_equal(regions.features, row["features"].reshape(count, -1))
    assert np.array_equal(regions.boxes, row["boxes"].reshape(count, 4))
    assert np.array_equal(regions.object_ids, row["objects_id"])
    assert np.array_equal(regions.object_scores, row["objects_conf"])
    assert np.array_equal(regions.attribute_ids, row["attrs_id"])
    assert np.array_equal(regions.attribute_scores, row["attrs_conf"])


@pytest.fixture(scope="module")
def original() -> Path:
    return shared_folder("data/bottom_up")


def test_the_original_features(original: Path, tmp_path: Path) -> None:
    path = original / "train2014_obj36.tsv"
    file = BottomUpFile(path, cache_dir=tmp_path, progress=False)
    rows = independent(path)
    assert list(file) == list(rows)
    assert len(file) == 10
    assert file.skipped == {}
    for image_id, row in rows.items():  # no box has to be pulled back
        assert_equal(file[image_id], row)
    first = file["COCO_train2014_000000132417"]
    assert (first.image_size, first.features.shape) == ((333, 500), (36, 2048))
    np.testing.assert_allclose(first.boxes[0], [0, 0, 361.8466, 216.98055], rtol=1e-6)
    objects = read_label_names(original / "objects_vocab.txt")
    attributes = read_label_names(original / "attributes_vocab.txt")
    assert (len(objects), len(attributes)) == (1600, 400)
    assert first.object_ids[0] == 72
    assert objects[72] == "sky"
    assert attributes[:2] == ["gray", "multi colored"]

    store = to_region_store(file, tmp_path / "store", {"features": "bottom-up"}, progress=False)
    assert list(store) == list(file)
    assert store.description == {"features": "bottom-up"}
    for ours, theirs in zip(store.many(list(file)), file.many(list(file)), strict=True):
        assert np.array_equal(ours.features, theirs.features)
        assert np.array_equal(ours.boxes, theirs.boxes)
        assert np.array_equal(ours.attribute_ids, theirs.attribute_ids)


@settings(max_examples=30, deadline=None)
@given(
    ids=st.lists(st.text("abcé01_/ ", min_size=1, max_size=9), min_size=1, max_size=5, unique=True),
    regions=st.integers(1, 4),
    width=st.integers(1, 5),
    terminator=st.sampled_from(["\r\n", "\n"]),
)
def test_what_was_written_is_read(
    ids: list[str], regions: int, width: int, terminator: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.tsv"
    write_rows(path, *(make_row(image_id, regions, width) for image_id in ids), terminator=terminator)
    for _ in range(2):  # read, then from the index
        file = BottomUpFile(path, progress=False)
        assert list(file) == ids
        for image_id, row in independent(path).items():
            assert_equal(file[image_id], row)


NAN = encoded([np.nan] * 6, "<f4")
BROKEN = [
    (make_row("x")[:9], "row has 9 fields between tabs instead of 10", "number of fields"),
    (["nonsense"], "row has 1 fields", "number of fields"),
    (list(FIELDS), "img_h must be a whole number of at least 1, got b'img_h'", "no number"),
    (make_row("x", num_boxes=0), "num_boxes must be a whole number of at least 1, got b'0'", "no number"),
    (make_row("x", img_w=-3), "img_w must be a whole number of at least 1, got b'-3'", "no number"),
    (make_row("", num_boxes=2), "img_id is empty", "no image id"),
    (make_row("x", boxes="AAA*"), "boxes is no base64 .*: b'AAA", "broken base64"),
    (make_row("x", features=make_row("x")[9][:-3]), "features is no base64", "broken base64"),
    (make_row("x", boxes="*" + make_row("x")[8]), "boxes is no base64", "broken base64"),
    (make_row("x", attrs_id=encoded([1, 2, 3], "<i8")), "attrs_id has 24 bytes instead of 16", "wrong length"),
    (make_row("x", objects_id=encoded([1], "<i8")), "objects_id has 8 bytes instead of 16", "wrong length"),
    (make_row("x", num_boxes=3), "boxes has 32 bytes instead of 48 as num_boxes says", "wrong length"),
    (
        make_row("x", features=encoded([1] * 5, "<f4")),
        "features has 5 numbers, no multiple of num_boxes 2",
        "wrong length",
    ),
    (make_row("x", features=""), "features has 0 numbers", "wrong length"),
    (make_row("x", features=NAN), "features holds NaN or infinite values", "values out of range"),
    (make_row("x", attrs_conf=encoded([np.inf, 1], "<f4")), "attrs_conf holds NaN", "values out of range"),
    (
        make_row("x", features=encoded([1] * 4, "<f4")),  # cut, and still a multiple of num_boxes
        "features is 2 wide, but row 1 is 3 wide: one of them is cut",
        "another width",
    ),
    (make_row("x", objects_id=encoded([-7, 0], "<i8")), "objects_id must be at least 0, or -1", "values out of range"),
    (make_row("x", attrs_conf=encoded([0, 5], "<f4")), r"attrs_conf must lie in \[0, 1\]", "values out of range"),
    (make_row("x", img_w=4), "boxes must lie inside the image of 40 x 4 pixels", "values out of range"),
    (make_row("b"), "img_id 'b' came in a row before", "repeated image"),
]


@pytest.mark.parametrize(("broken", "message", "reason"), BROKEN)
def test_broken_rows_are_named_or_left_out(broken: list[str], message: str, reason: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.tsv", make_row("b"), broken, make_row("c", regions=3))
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"rows.tsv, row 2: {message}.*\. Correct it") as caught:
            BottomUpFile(path, progress=False)
        assert ".. " not in str(caught.value)
        assert str(caught.value).endswith('leave such rows out with bad_rows="skip" (bad_rows: skip in a recipe).')
        file = BottomUpFile(path, bad_rows="skip", progress=False)  # its index does not hide the row from the next
        assert file.skipped == {reason: 1}
        assert list(file) == ["b", "c"]
        assert len(file["c"]) == 3


def test_labels_beyond_the_limits_are_bad_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"objects_id": encoded([1599, 1600], "<i8")}
    path = write_rows(tmp_path / "rows.tsv", make_row("a"), make_row("b", **labels))
    assert len(BottomUpFile(path, progress=False)) == 2
    for _ in range(2):  # neither the index without limits nor one of other limits hides the row
        with pytest.raises(ValueError, match=r"rows.tsv, row 2: objects_id is 1600 in region 1, .* object_labels 1600"):
            BottomUpFile(path, progress=False, object_labels=1600, attribute_labels=8)
        with pytest.raises(ValueError, match=r"row 1: attrs_id is 7 in region 0, .* below attribute_labels 7\."):
            BottomUpFile(path, progress=False, attribute_labels=7)
        file = BottomUpFile(path, "skip", progress=False, object_labels=1600)
        assert (list(file), file.skipped) == (["a"], {"label beyond the limit": 1})
        assert len(BottomUpFile(path, progress=False, object_labels=1601, attribute_labels=8)) == 2
    monkeypatch.setattr(bottom_up, "_make_index", None)
    assert len(BottomUpFile(path, progress=False, object_labels=1601, attribute_labels=8)) == 2
    with pytest.raises(TypeError):  # made anew
        BottomUpFile(path, progress=False, object_labels=1601)


def test_a_file_without_a_row_or_cut_short(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.tsv", make_row("a"), make_row("b"))
    content = path.read_bytes()
    path.write_bytes(content + b"\r\n")  # an empty line is no row
    assert list(BottomUpFile(path, progress=False)) == ["a", "b"]
    path.write_bytes(content[:-9])
    with pytest.raises(ValueError, match="row 2: features"):
        BottomUpFile(path, progress=False)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="holds no row that can be used"):
        BottomUpFile(path, progress=False)
    with pytest.raises(FileNotFoundError):
        BottomUpFile(tmp_path / "missing.tsv")
    with pytest.raises(ValueError, match='bad_rows must be "raise" or "skip", got \'no\''):
        BottomUpFile(path, bad_rows="no")


def test_the_index_is_made_once_and_follows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rows(tmp_path / "rows.tsv", make_row("a"))
    first = BottomUpFile(path, progress=False)
    assert (tmp_path / "rows.tsv.index.arrow").is_file()
    with monkeypatch.context() as patch:
        patch.setattr(bottom_up, "_make_index", None)
        assert list(BottomUpFile(path, progress=False)) == ["a"]
    write_rows(path, make_row("b", regions=1), make_row("a"))
    assert list(BottomUpFile(path, progress=False)) == ["b", "a"]
    with pytest.raises(ValueError, match=r"rows.tsv has changed since it was opened"):
        first["a"]
    (tmp_path / "rows.tsv.index.arrow").write_bytes(b"no index")
    assert list(BottomUpFile(path, progress=False)) == ["b", "a"]


def test_the_index_lies_elsewhere_or_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name / "rows.tsv", make_row(name))
    cache = tmp_path / "cache" / "deep"
    for name in ("one", "two"):
        assert list(BottomUpFile(tmp_path / name / "rows.tsv", cache_dir=cache, progress=False)) == [name]
        assert os.listdir(tmp_path / name) == ["rows.tsv"]
    assert len(list(cache.iterdir())) == 2

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(bottom_up, "write_whole", refuse)
    file = BottomUpFile(tmp_path / "one" / "rows.tsv", progress=False)
    assert file["one"].image_id == "one"
    assert os.listdir(tmp_path / "one") == ["rows.tsv"]


def test_missing_images_are_named(tmp_path: Path) -> None:
    file = BottomUpFile(write_rows(tmp_path / "rows.tsv", make_row("a"), make_row("b", regions=3)), progress=False)
    assert [len(regions) for regions in file.many(["b", "a", "b"])] == [3, 2, 3]
    assert "a" in file
    assert "c" not in file
    with pytest.raises(KeyError, match="Image 'c' is not among the 2 images of the file .*rows.tsv"):
        file.many(["a", "c"])


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_worker_processes_read_too(method: str, tmp_path: Path) -> None:
    ids = [f"image {i}" for i in range(20)]
    file = BottomUpFile(write_rows(tmp_path / "rows.tsv", *map(make_row, ids)), progress=False)
    expected = [file[image_id].features for image_id in ids]  # opened here before there are workers
    assert np.array_equal(pickle.loads(pickle.dumps(file))[ids[3]].features, expected[3])
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.map(file.__getitem__, ids, chunksize=1)
    for result, features in zip(results, expected, strict=True):
        assert np.array_equal(result.features, features)
