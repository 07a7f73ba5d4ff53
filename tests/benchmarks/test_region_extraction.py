"""The benchmark of the Faster R-CNN runs, on a small one."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.detection.small_detector import save_small_detector


def test_figures_of_a_small_detector(tmp_path: Path) -> None:
    checkpoint = save_small_detector(tmp_path / "detector")
    options = [
        "--checkpoint",
        checkpoint,
        "--size",
        "64",
        "96",
        "--repeats",
        "2",
        "--batch-size",
        "2",
        "--device",
        "cpu",
    ]
    command = [sys.executable, str(ROOT / "benchmarks" / "region_extraction.py"), *options, "--no-operators"]
    result = subprocess.run(
        [*command, "--json", str(tmp_path / "figures.json")], capture_output=True, text=True, check=False, timeout=250
    )
    assert result.returncode == 0, result.stdout + result.stderr
    rows = json.loads((tmp_path / "figures.json").read_text())["precisions"]
    assert [row["dtype"] for row in rows] == ["float32", "bfloat16"]
    for row in rows:
        # 8 x 3 x 7 x 7 multiplications and additions at each of 32 x 48 places of two images, and more behind the stem
        assert row["operations"] > 2 * 2 * 8 * 3 * 49 * 32 * 48
        assert 1 <= row["proposals"] <= 40
        assert 0 < row["outside"] < 1
        assert row["spread"][0] <= row["images_per_second"] <= row["spread"][1]
    assert "| bfloat16 |" in result.stdout
