"""Curves over batch, words and regions of a tiny model, and memory over small stores."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def growth(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("growth")


def run(growth: ModuleType, monkeypatch: pytest.MonkeyPatch, output: Path, *options: str) -> None:
    command = ["growth.py", "--tiny", "--rounds", "2", "--seconds", "0", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [*command, *options])
    growth.main()


def test_curves(
    growth: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(growth, "AXES", {"batch": (1, 4), "words": (6, 32), "regions": (10, 100)})
    run(growth, monkeypatch, tmp_path, "--store-images")
    with (tmp_path / "growth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 4
    assert {(row["axis"], row["value"]) for row in rows} == {
        ("batch", "1"), ("batch", "4"), ("words", "6"), ("words", "32"), ("regions", "10"), ("regions", "100")
    }  # fmt: skip
    for row in rows:
        assert 0 < float(row["first_quartile"]) <= float(row["median"]) <= float(row["third_quartile"])
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert printed.count("reference") == 6
    assert "does not count" not in printed
    assert "Store of" not in printed


def test_what_is_timed(growth: ModuleType, tmp_path: Path) -> None:
    from speed_machine import counted_operations

    setting = growth.Setting(True, growth.torch.device("cpu"), tmp_path)
    counts: dict[str, dict[int, int]] = {"words": {}, "regions": {}}
    for axis, place, work in growth.points(setting, ["words", "regions"]):
        assert work.pairs == 8
        assert len(work.contestants) == 4
        counts[axis][place] = counted_operations(work.contestants[0].call)[1]
    regions = list(counts["regions"].values())
    assert regions == sorted(set(regions)), "more regions, more to compute"
    words = counts["words"]
    assert len({words[place] for place in (6, 8, 10, 12, 16, 20)}) == 1, "transformers' pads to 20"
    assert words[20] < words[32] < words[48]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads memory figures from Linux's /proc")
def test_memory(
    growth: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sizes = ["--store-regions", "12", "--store-dim", "16", "--store-folder", str(tmp_path)]
    run(growth, monkeypatch, tmp_path / "out", "--axes", "--store-images", "50", "1000", *sizes)
    with (tmp_path / "out" / "growth.csv").open() as file:
        few, many = csv.DictReader(file)
    assert (few["value"], many["value"]) == ("50", "1000")
    assert float(many["median"]) - float(few["median"]) < 4
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "stores are gone"
    printed = capsys.readouterr().out
    assert "Store of 12 regions x 16 numbers an image" in printed
    assert "| 1,000 |" in printed


def test_a_short_disk(growth: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert growth.store_bytes(180_000, 36, 2048) == pytest.approx(26.9e9, rel=0.01)
    monkeypatch.setattr(growth.shutil, "disk_usage", lambda folder: SimpleNamespace(free=20e9))
    monkeypatch.setattr(growth.region_memory, "measure", lambda *arguments: pytest.fail("must not write"))
    with pytest.raises(OSError, match=r"takes 26\.9 GB, and .* has 20\.0 GB free: choose another --store-folder"):
        run(growth, monkeypatch, tmp_path, "--store-images", "10", "180000")


def test_nothing_to_measure(
    growth: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        run(growth, monkeypatch, tmp_path, "--axes", "--store-images")
    assert "give --axes or --store-images" in capsys.readouterr().err
