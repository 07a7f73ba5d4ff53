"""Memory does not grow with the number of images; the benchmark itself says so, at a small width."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads memory figures from Linux's /proc")
@pytest.mark.parametrize("kind", ["store", "tsv"])
def test_ten_times_the_images_take_no_more_memory(kind: str, tmp_path: Path) -> None:
    sizes = {"images": 20_000, "regions": 36, "width": 16, "batches": 50, "format": kind}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    command = [sys.executable, str(ROOT / "benchmarks" / "region_memory.py"), *options]
    command += ["--folder", str(tmp_path), "--json", str(tmp_path / "figures.json")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=250)
    assert result.returncode == 0, result.stdout + result.stderr
    few, many = json.loads((tmp_path / "figures.json").read_text())
    assert (few["images"], many["images"]) == (2_000, 20_000)
    assert many["on_disk"] - few["on_disk"] > 30  # MB that would have to be held otherwise
    taken = [row["after"] - row["before"] for row in (few, many)]
    assert taken[1] - taken[0] < 4, result.stdout
    assert "| 20,000 |" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]  # the regions are gone
