import fcntl
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from lxmert import ComponentRegionExtractor
from lxmert.detection import (
    ExtractionReport,
    ImageDataset,
    ImageFolder,
    extract_images,
    extract_regions,
    make_extractor,
)
from lxmert.processing import RegionStore
from tests.conftest import ROOT
from tests.detection import extraction_runs as runs
from tests.detection.small_detector import ATTRIBUTES, OBJECTS, noise, save_small_detector


def test_regions_are_stored_once_and_reused(
    drawing: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extractor = ComponentRegionExtractor(crop_size=2)
    images = {"train/0": drawing, "test/0": Image.new("RGB", (5, 5))}
    store, reused = extract_regions(images, extractor, tmp_path / "regions")
    assert not reused
    assert "2/2" in capsys.readouterr().err
    assert {name: len(regions) for name, regions in store.items()} == {"train/0": 3, "test/0": 1}
    np.testing.assert_allclose(store["train/0"].features, extractor(drawing)[0].features, atol=1e-2)

    again, reused = extract_regions(images, extractor, tmp_path / "regions")
    assert reused
    assert "2/2" not in capsys.readouterr().err
    assert again["test/0"].boxes.tolist() == [[0, 0, 5, 5]]


def test_other_settings_or_images_do_not_reuse(drawing: Image.Image, tmp_path: Path) -> None:
    extract_regions({"0": drawing}, ComponentRegionExtractor(crop_size=2), tmp_path / "regions", progress=False)
    with pytest.raises(FileExistsError, match="found with other settings: remove it or choose another folder"):
        extract_regions({"0": drawing}, ComponentRegionExtractor(crop_size=3), tmp_path / "regions")
    with pytest.raises(FileExistsError, match="holds other images"):
        extract_regions({"1": drawing}, ComponentRegionExtractor(crop_size=2), tmp_path / "regions")


def test_a_bad_picture_leaves_no_store(drawing: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no image file gone\.png"):
        extract_regions({"0": drawing, "1": "gone.png"}, ComponentRegionExtractor(), tmp_path / "regions")
    assert not list(tmp_path.iterdir())


def test_the_order_of_a_small_store_is_that_of_the_images(drawing: Image.Image, tmp_path: Path) -> None:
    images = {str(i): drawing for i in range(40)}
    store, _ = extract_regions(images, ComponentRegionExtractor(crop_size=2), tmp_path / "regions", progress=False)
    assert list(store) == list(images)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return runs.make_pictures(tmp_path / "pictures")


def run(pictures: Path, path: Path, **more: object) -> ExtractionReport:
    return runs.run(str(pictures), str(path), **more)


def expected(pictures: Path) -> dict[str, list[float]]:
    """What a store must hold, without the engine."""
    found = {}
    for file in sorted(pictures.glob("*/picture*.png")):
        regions = runs.ColourExtractor()(file)[0]
        image_id = file.relative_to(pictures).with_suffix("").as_posix()
        found[image_id] = [*regions.features[0].astype(np.float16).tolist(), *regions.image_size]
    assert len(found) == runs.PICTURES
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_many_pictures_become_a_store(workers: int, pictures: Path, tmp_path: Path) -> None:
    (pictures / "notes.txt").write_text("not looked at")
    report = run(pictures, tmp_path / "store", workers=workers)
    assert runs.content(tmp_path / "store") == expected(pictures)
    assert (report.images, report.done, report.reused, report.others) == (17, 14, 0, 1)
    reasons = {reason: [item.image_id for item in skipped] for reason, skipped in report.reasons().items()}
    assert reasons == {
        "damaged file": ["part1/truncated"],
        "it is empty": ["part1/empty"],
        "no picture": ["part0/text"],
    }
    lines = [json.loads(line) for line in (tmp_path / "store/skipped.jsonl").read_text().splitlines()]
    assert {line["place"] for line in lines} == {
        str(pictures / name) for name in ("part0/text.jpg", "part1/empty.png", "part1/truncated.png")
    }
    assert all(line["message"].startswith("No image can be read from ") for line in lines)
    saved = json.loads((tmp_path / "store/report.json").read_text())
    assert saved["reasons"] == {"damaged file": 1, "it is empty": 1, "no picture": 1}
    assert (saved["done"], saved["skipped"], saved["others"]) == (14, 3, 1)
    store = RegionStore(tmp_path / "store")
    assert store.description == {"region_extractor": runs.ColourExtractor().to_dict()}
    assert store["part0/picture00"].object_names == ("thing",)
    assert len(list((tmp_path / "store").glob("process-*.arrow"))) == 5  # 14 rows, 3 in a file
    assert [file.name for file in (tmp_path / "store").iterdir() if file.name.startswith(".")] == []


def test_the_order_does_not_depend_on_workers(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path / "none")
    run(pictures, tmp_path / "two", workers=2)
    assert list(RegionStore(tmp_path / "none")) == list(RegionStore(tmp_path / "two"))


def test_a_second_run_has_nothing_to_do(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pictures, tmp_path / "store", progress=True)
    assert "17/17" in capsys.readouterr().err
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "store").glob("*.json")}
    monkeypatch.setattr(runs.ColourExtractor, "prepare", None)
    report = run(pictures, tmp_path / "store", progress=True)
    assert (report.done, report.reused, len(report.skipped)) == (0, 14, 3)
    assert "There was nothing left to do." in str(report)
    assert "17/17" not in capsys.readouterr().err
    unchanged = {name for name, time in before.items() if (tmp_path / "store" / name).stat().st_mtime_ns == time}
    assert unchanged == set(before)


def test_a_store_grows(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    hidden = [file.rename(file.with_suffix(".later")) for file in sorted(pictures.glob("*/picture*.png"))[::2]]
    assert run(pictures, store).done == 7
    old = RegionStore(store)
    for file in hidden:
        file.rename(file.with_suffix(".png"))
    report = run(pictures, store)
    assert (report.done, report.reused, len(report.skipped)) == (7, 7, 3)
    assert runs.content(store) == expected(pictures)
    assert len(old) == 7, "a store that was open stays as it was"


def test_skipped_pictures_are_tried_again_only_if_asked_for(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run(pictures, store)
    Image.new("RGB", (3, 3)).save(pictures / "part1" / "empty.png")
    assert run(pictures, store).done == 0
    report = run(pictures, store, retry_skipped=True)
    assert (report.done, report.reused, len(report.skipped)) == (1, 14, 2)
    assert "part1/empty" in RegionStore(store)
    assert "part1/empty" not in (store / "skipped.jsonl").read_text()


def test_other_sources_are_not_tried_again(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run(pictures / "part1", store)
    run(pictures / "part0", store, retry_skipped=True)
    listed = [json.loads(line)["image_id"] for line in (store / "skipped.jsonl").read_text().splitlines()]
    assert sorted(listed) == ["empty", "text", "truncated"]


def test_a_folder_that_vanished_stops_the_run(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lxmert.detection.extract.FIRST_PICTURES", 10)
    source = ImageFolder(pictures)
    pictures.rename(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="The first 10 pictures all give no regions: no such file, such as .* Is a disk"):
        extract_images(source, runs.ColourExtractor(), tmp_path / "store", progress=False)
    (tmp_path / "elsewhere").rename(pictures)
    report = run(pictures, tmp_path / "store")
    assert (report.done, len(report.skipped), report.skipped_now) == (14, 3, 3)


def test_half_a_line_of_a_killed_run_spoils_no_list(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert not runs.in_child(lambda: run(pictures, store, dies_at=14))
    journal = store / "process-00000-skipped.jsonl"
    journal.write_text(journal.read_text()[:-20])
    assert len(run(pictures, store).skipped) == 3
    assert len((store / "skipped.jsonl").read_text().splitlines()) == 3


def test_a_file_that_is_taken_away_is_missed(pictures: Path, tmp_path: Path) -> None:
    def take_away() -> None:
        next((tmp_path / "store").glob("process-*.arrow")).unlink()

    extractor = runs.ColourExtractor(9, take_away)
    with pytest.raises(RuntimeError, match="Image 'part0/picture00' was done, but is not in .*: files of it were"):
        extract_images(ImageFolder(pictures), extractor, tmp_path / "store", shard_size=3, progress=False)
    run(pictures, tmp_path / "store")
    assert runs.content(tmp_path / "store") == expected(pictures)


def test_an_image_that_came_twice_says_where(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run(pictures, store)
    shutil.copy(store / "process-00000-shard-00000.arrow", store / "process-00007-shard-00000.arrow")
    message = (
        "came twice into .*, in process-00000-shard-00000.arrow and process-00007-shard-00000.arrow: .* Remove "
        "process-00007-shard-00000.arrow and start again"
    )
    with pytest.raises(RuntimeError, match=message):
        run(pictures, store)
    (store / "process-00007-shard-00000.arrow").unlink()
    run(pictures, store)
    assert runs.content(store) == expected(pictures)


def test_all_pictures_bad_is_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    report = run(tmp_path, tmp_path / "store")
    assert (report.done, len(report.skipped)) == (0, 1)
    assert len(RegionStore(tmp_path / "store")) == 0


def test_another_extraction_is_refused(pictures: Path, tmp_path: Path) -> None:
    source, store = ImageFolder(pictures), tmp_path / "store"
    extract_images(source, runs.ColourExtractor(), store, progress=False)
    before = {file: file.read_bytes() for file in store.iterdir()}
    with pytest.raises(FileExistsError, match=r"found with other settings \(version\): choose another folder"):
        extract_images(source, runs.ColourExtractor(version=2), store)
    with pytest.raises(FileExistsError, match=r"with other settings \(features_dtype\): "):
        extract_images(source, runs.ColourExtractor(), store, features_dtype="float32")
    with pytest.raises(FileExistsError, match=r"holds something else: choose another folder"):
        extract_images(source, runs.ColourExtractor(), pictures)
    with pytest.raises(ValueError, match=r"shard_size must be at least 1, got 0"):
        extract_images(source, runs.ColourExtractor(), store, shard_size=0)
    with pytest.raises(ValueError, match=r"batch_size must be at least 1 and workers at least 0, got 0 and 0"):
        extract_images(source, runs.ColourExtractor(), tmp_path / "new", batch_size=0)
    assert not (tmp_path / "new").exists()
    assert {file: file.read_bytes() for file in store.iterdir()} == before


def test_pictures_of_another_folder_with_the_same_ids_are_refused(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run(pictures / "part0", store)
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (3, 3)).save(other / "picture02.png")
    with pytest.raises(FileExistsError, match=r"1 images of the same ids, such as 'picture02', found not in "):
        run(other, store)
    (other / "picture02.png").rename(other / "new.png")
    assert run(other, store).done == 1
    assert len(RegionStore(store)) == 8


def test_other_choices_from_the_same_place_are_refused(pictures: Path, tmp_path: Path) -> None:
    run(pictures / "part0", tmp_path / "store")
    with pytest.raises(FileExistsError, match="part0 found with ids 'stem', but now it is 'path': choose"):
        extract_images(ImageFolder(pictures / "part0", "path"), runs.ColourExtractor(), tmp_path / "store")

    white, black = (Image.new("RGB", (3, 3), colour) for colour in ("white", "black"))
    features = datasets.Features(
        left=datasets.Image(), right=datasets.Image(), key=datasets.Value("string"), place=datasets.Value("string")
    )
    rows = {"left": [white], "right": [black], "key": ["a"], "place": ["a"]}
    rows = datasets.Dataset.from_dict(rows, features=features)

    def from_rows(column: str, **more: str) -> ExtractionReport:
        source = ImageDataset(rows, "pairs", column, **more)
        return extract_images(source, runs.ColourExtractor(), tmp_path / "pairs", progress=False)

    assert from_rows("left", id_column="key").done == 1
    assert from_rows("left", id_column="key", repeated="first").reused == 1
    with pytest.raises(FileExistsError, match="of pairs found with image_column 'left', but now it is 'right'"):
        from_rows("right", id_column="key")
    with pytest.raises(FileExistsError, match="of pairs found with id_column 'key', but now it is 'place'"):
        from_rows("left", id_column="place")
    with pytest.raises(FileExistsError, match="but now it is 'numbers of the rows'"):
        from_rows("left")
    (tmp_path / "pairs/images_from.json").write_text('["pairs"]')  # by an earlier version
    assert from_rows("right", id_column="key").reused == 1


def test_a_mistake_in_the_extractor_is_not_a_bad_picture(pictures: Path, tmp_path: Path) -> None:
    def fail() -> None:
        raise TypeError("unsupported operand")

    with pytest.raises(TypeError, match="unsupported operand") as caught:
        extract_images(
            ImageFolder(pictures), runs.ColourExtractor(7, fail), tmp_path / "store", batch_size=1, progress=False
        )
    assert re.search(r"This happened to .*/picture\d\d\.png", caught.value.__notes__[0])
    with pytest.raises(FileNotFoundError, match="is no whole region store yet: its extraction was stopped, or still"):
        RegionStore(tmp_path / "store")
    # what was found before is kept
    report = extract_images(ImageFolder(pictures), runs.ColourExtractor(), tmp_path / "store", progress=False)
    assert report.reused == 6
    assert runs.content(tmp_path / "store") == expected(pictures)


def test_features_that_cannot_be_stored_are_skipped(pictures: Path, tmp_path: Path) -> None:
    class Large(runs.ColourExtractor):
        def extract(self, prepared):  # type: ignore[no-untyped-def]
            return [
                replace(r, features=r.features * (1e9 if r.image_size[1] == 5 else 1))
                for r in super().extract(prepared)
            ]

    report = extract_images(ImageFolder(pictures), Large(), tmp_path / "store", progress=False)
    reasons = report.reasons()
    assert [item.image_id for item in reasons["features of image '...' reach N, beyond float16"]] == ["part0/picture00"]
    assert report.done == 13


def test_two_runs_do_not_write_at_once(pictures: Path, tmp_path: Path) -> None:
    refused = []

    def another() -> None:
        def work() -> None:
            with pytest.raises(FileExistsError, match="Another run is writing regions into .*: wait until it ends"):
                run(pictures, tmp_path / "store")

        refused.append(runs.in_child(work))

    extractor = runs.ColourExtractor(4, another)
    extract_images(ImageFolder(pictures), extractor, tmp_path / "store", shard_size=2, batch_size=1, progress=False)
    assert refused == [True]
    assert runs.content(tmp_path / "store") == expected(pictures)


def test_two_runs_do_not_start_at_once(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / ".process-00000-shard-00000.arrow.partial").touch()
    opened = os.open(store, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    with pytest.raises(FileExistsError, match="Another run is starting in .*store: wait until it ends"):
        run(pictures, store)
    assert [file.name for file in store.iterdir()] == [".process-00000-shard-00000.arrow.partial"]
    os.close(opened)
    assert run(pictures, store).done == 14


@pytest.mark.parametrize("file", ["images_from.json", "region_store.json", "state.json"])
def test_a_damaged_file_is_named(file: str, pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path / "store")
    (tmp_path / "store" / file).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"store/{file} is damaged, perhaps by a loss of power: put back a copy"):
        run(pictures, tmp_path / "store")
    if file != "images_from.json":
        with pytest.raises(ValueError, match=f"{file} is damaged"):
            RegionStore(tmp_path / "store")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_network_finds_the_same_in_bulk(batch_size: int, tmp_path: Path) -> None:
    """Through workers, batches and the store, a Faster R-CNN says what it says of each picture alone."""
    (tmp_path / "pictures").mkdir()
    for seed, size in enumerate([(60, 80), (200, 90), (61, 80), (1, 1), (300, 2), (90, 200), (199, 90)]):
        noise(*size, seed=seed).save(tmp_path / "pictures" / f"{seed}.png")
    names = json.dumps({"object_names": OBJECTS, "attribute_names": ATTRIBUTES})
    extractor = make_extractor("faster_rcnn", save_small_detector(tmp_path / "detector"), [names])
    source, path = ImageFolder(tmp_path / "pictures"), tmp_path / "store"
    report = extract_images(source, extractor, path, workers=2, batch_size=batch_size, progress=False)
    store = RegionStore(path)
    assert report.done == len(store) == 7
    assert (store.object_names, store.attribute_names) == (OBJECTS, ATTRIBUTES)
    for image_id, regions in store.items():
        (alone,) = extractor(tmp_path / "pictures" / f"{image_id}.png")
        assert regions.object_names == alone.object_names
        np.testing.assert_allclose(regions.boxes, alone.boxes, atol=1e-2)
        np.testing.assert_allclose(regions.features, alone.features, rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_killed_at_any_file_operation_it_goes_on(pictures: Path, tmp_path: Path) -> None:
    """Every image comes once, and all is as if the run had never stopped."""
    whole = run(pictures, tmp_path / "whole")
    killed = 0
    for operation in itertools.count(1):
        store = tmp_path / f"store{operation}"
        if runs.in_child(lambda: run(pictures, store, operation=operation)):  # noqa: B023
            break
        killed += 1
        report = run(pictures, store)
        assert report.done + report.reused == 14
        assert runs.content(store) == expected(pictures)
        assert sorted(item.image_id for item in report.skipped) == sorted(item.image_id for item in whole.skipped)
        left = {file.name for file in store.iterdir() if file.name.startswith(".")}
        assert left == set(), f"operation {operation}"
    assert killed > 25


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_any_picture_it_goes_on(workers: int, pictures: Path, tmp_path: Path) -> None:
    for number in (1, 2, 8, 14):
        store = tmp_path / f"store{number}"
        assert not runs.in_child(lambda: run(pictures, store, dies_at=number, workers=workers))  # noqa: B023
        with pytest.raises(FileNotFoundError):
            RegionStore(store)
        report = run(pictures, store)
        assert report.reused == (number - 1) // 3 * 3, "finished files are not done again"
        assert runs.content(store) == expected(pictures)


def torchrun(processes: int, **plan: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += [runs.__file__, json.dumps({name: str(v) if isinstance(v, Path) else v for name, v in plan.items()})]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=ROOT)


@pytest.mark.slow
def test_several_processes_share_the_pictures(pictures: Path, tmp_path: Path) -> None:
    """Two processes, of which one is killed; three go on, of which the last ones have hardly anything to do."""
    store = tmp_path / "store"
    killed = torchrun(2, pictures=pictures, path=store, dies_at=5, dies_in_rank=1)
    assert killed.returncode != 0
    done = torchrun(3, pictures=pictures, path=store)
    assert done.returncode == 0, done.stderr[-3000:]
    # processes share one output: their lines may run into each other, their lists do not
    reports = [json.loads(found) for found in re.findall(r"\[[^\[\]]*\]", done.stdout)]
    assert len(reports) == 3
    assert reports[0] == reports[1] == reports[2]
    assert (reports[0][0] + reports[0][1], reports[0][2:]) == (14, [3, 3])
    assert reports[0][1] >= 3, "a finished file is not done again"
    assert runs.content(store) == expected(pictures)


def test_processes_that_see_different_pictures_stop(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lxmert.detection.extract.gather_object", lambda seen: [*seen, "what another process saw"])
    with pytest.raises(RuntimeError, match="The processes see different images"):
        run(pictures, tmp_path / "store")
    assert not list((tmp_path / "store").glob("*.arrow"))


def test_a_slow_extractor_loses_little(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of rows is finished after some time, however few images it holds."""
    monkeypatch.setattr("lxmert.detection.extract.SHARD_SECONDS", 0.0)
    run(pictures, tmp_path / "store", shard_size=1000)
    assert len(list((tmp_path / "store").glob("*.arrow"))) == runs.PICTURES
