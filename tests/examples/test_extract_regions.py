"""The extraction program: what it writes in each format, what it says, and that a kill loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lxmert import ComponentRegionExtractor
from lxmert.processing import BottomUpFile, RegionFiles, RegionStore
from tests.conftest import ROOT
from tests.examples.test_demo import run

PROGRAM = ROOT / "examples" / "1_extract_regions.py"
COUNT = 60


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawings, and one of each kind of file that cannot be a picture or is an unusual one."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(COUNT):
        image = Image.new("RGB", (40 + i, 30), "white")
        image.paste((i, 40, 200), (2, 3, 12 + i, 20))
        image.save(folder / f"{i:02d}.png")
    drawing = Image.open(folder / "07.png")
    drawing.convert("CMYK").save(folder / "cmyk.jpg")
    drawing.convert("L").save(folder / "grey.png")
    drawing.convert("P").save(folder / "palette.png")
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(folder / "16bit.png")
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(folder / "transparent.png")
    drawing.save(folder / "animated.gif", save_all=True, append_images=[drawing.rotate(90)])
    exif = Image.Exif()
    exif[274] = 6
    drawing.save(folder / "rotated.jpg", exif=exif)
    Image.new("RGB", (1, 1)).save(folder / "pixel.png")
    Image.new("RGB", (30000, 1)).save(folder / "line.png")
    Image.new("1", (20000, 10000)).save(folder / "bomb.png")
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    whole = (folder / "rotated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) - 100])
    (folder / "folder.jpg").mkdir()
    return folder


BAD = {"bomb", "text", "empty", "truncated"}
GOOD = {"cmyk", "grey", "palette", "16bit", "transparent", "animated", "rotated", "pixel", "line"}


@pytest.mark.slow
def test_good_pictures_become_regions_and_bad_ones_are_listed(pictures: Path, tmp_path: Path) -> None:
    printed = run(PROGRAM, "--images", pictures, "--extractor", "components", "--out", "store", cwd=tmp_path)
    store = RegionStore(tmp_path / "store")
    assert set(store) == {f"{i:02d}" for i in range(COUNT)} | GOOD
    lines = [json.loads(line) for line in (tmp_path / "store/skipped.jsonl").read_text().splitlines()]
    assert {line["image_id"] for line in lines} == BAD
    reasons = {line["image_id"]: line["reason"] for line in lines}
    assert (reasons["bomb"], reasons["truncated"], reasons["text"]) == ("too many pixels", "damaged file", "no picture")
    assert f"Regions of {COUNT + 9} of {COUNT + 13} images are in store" in printed
    assert "images/s" in printed
    assert "too many pixels, such as " in printed
    for name in ("rotated.jpg", "line.png", "03.png"):
        expected = ComponentRegionExtractor()(pictures / name)[0]
        got = store[Path(name).stem]
        assert got.image_size == expected.image_size
        np.testing.assert_allclose(got.features, expected.features, atol=2e-3)
    again = run(PROGRAM, "--images", pictures, "--extractor", "components", "--out", "store", cwd=tmp_path)
    assert "There was nothing left to do." in again


@pytest.mark.slow
def test_other_formats(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(str(pictures / f"{i:02d}.png") for i in range(5)))
    command = (PROGRAM, "--images", "list.txt", "--extractor", "shapes", "--workers", 0, "--features", "float32")
    run(*command, "--out", "files", "--format", "npz", cwd=tmp_path)
    run(*command, "--out", "file.tsv", "--format", "tsv", cwd=tmp_path)
    files, file = RegionFiles(tmp_path / "files"), BottomUpFile(tmp_path / "file.tsv", progress=False)
    assert sorted(files) == sorted(file) == [str(pictures / f"{i:02d}") for i in range(5)]
    for image_id in files:
        assert np.array_equal(files[image_id].features, file[image_id].features)
        assert files[image_id].object_names == ("rectangle", "circle", "triangle")


@pytest.mark.slow
def test_killed_while_it_runs_it_goes_on(pictures: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "--images", str(pictures), "--out", str(tmp_path / "store")]
    command += ["--extractor", "components", "--shard-size", "4", "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while not list((tmp_path / "store").glob("process-*.arrow")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(list((tmp_path / "store").glob("process-*.arrow")))
    assert kept
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    assert f"Regions of {COUNT + 9} of {COUNT + 13} images are in " in done.stdout
    assert len(RegionStore(tmp_path / "store")) == COUNT + 9


@pytest.mark.slow
def test_mistakes_are_one_line(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "b.png").write_bytes(b"")
    (tmp_path / "taken").mkdir()

    def fails(*more: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(PROGRAM), "--images", ".", "--extractor", "components", "--out", "new", *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path)

    for more, message in (
        (("--batch-size", "0"), "batch_size must be at least 1 and workers at least 0, got 0 and 2."),
        (("--format", "tsv", "--out", "taken"), "taken is a folder: choose another name for the file."),
        (("--images", "a.png"), "a.png is no list of pictures, but perhaps a picture itself: give its folder."),
    ):
        done = fails(*more)
        assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, message)
        assert "Traceback" not in done.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"a.png", "bad", "taken"}
    done = fails("--images", "bad")
    assert (done.returncode, "skipped" in done.stdout) == (1, True)
