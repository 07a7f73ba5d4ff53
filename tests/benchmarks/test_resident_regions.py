"""The benchmark runs, and its table says that rows are lighter than regions, at a small width."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_the_table_compares_batches(tmp_path: Path) -> None:
    sizes = {"images": 30, "regions": 4, "width": 512, "batch-size": 25, "epochs": 1, "folder": tmp_path}
    command = [sys.executable, str(ROOT / "benchmarks" / "resident_regions.py")]
    command += [f"--{name}={value}" for name, value in sizes.items()]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=250)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "30 images of 4 x 512, 5 sentences each; batches of 25, 0 workers, cpu" in result.stdout
    rows = [line.strip("| ").split(" | ") for line in result.stdout.splitlines() if line.startswith("| re")]
    (read, shared, resident, both) = rows[1:]
    assert (read[3], resident[3]) == ("25", "25")
    assert (shared[3], both[3]) == ("5", "5"), "five sentences of each image stay together"
    assert float(resident[4]) < float(read[4]) / 20
    assert float(both[4]) < float(shared[4]) / 5
    assert list(tmp_path.iterdir()) == [], "the store is gone"
