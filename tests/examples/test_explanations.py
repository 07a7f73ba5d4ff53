"""The programs and the notebook that explain answers."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from lxmert.visualization import AttentionRecord
from tests.benchmarks.test_nlvr import write_nlvr
from tests.conftest import ROOT

CHECKPOINT = ROOT / "checkpoints" / "nlvr"
BOXES = ROOT / "docs" / "images" / "three_boxes.png"


def run(*command: object, cwd: Path, fails: bool = False) -> str:
    result = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, timeout=250
    )
    assert (result.returncode != 0) == fails, result.stdout + result.stderr
    return result.stderr if fails else result.stdout


def test_one_answer_is_shown(tmp_path: Path) -> None:
    printed = run(
        *(ROOT / "examples/6_visualize.py", BOXES, "There is a blue square.", "--checkpoint", CHECKPOINT),
        *("--method", "generic", "rollout", "--explain", "true"),
        cwd=tmp_path,
    )
    assert re.search(r"\d\d\.\d\d%  true", printed)
    folder = tmp_path / "runs" / "visualize"
    for name in ("relevance", "region_graph", "word_attention"):
        assert f"runs/visualize/{name}.png" in printed
        with Image.open(folder / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5, name
    record = AttentionRecord.load(folder / "attention.npz")
    assert record.words[0][1:6] == ("there", "is", "a", "blue", "square")
    assert "blue square" in record.regions[0]
    page = (folder / "explorer.html").read_text()
    assert "There is a blue square." in page
    assert len(page) < 1_000_000


def test_what_goes_wrong_is_one_line(tmp_path: Path) -> None:
    command = (ROOT / "examples/6_visualize.py", BOXES, "There is a box.", "--checkpoint", CHECKPOINT)
    said = run(*command, "--explain", "maybe", cwd=tmp_path, fails=True)
    assert "'maybe' is not among the model's 2 answers" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_methods_are_compared(tmp_path: Path) -> None:
    write_nlvr(tmp_path / "data")
    printed = run(
        *(ROOT / "examples/6_compare_explanations.py", "--task", "nlvr", "--checkpoint", CHECKPOINT, "--data", "data"),
        *("--questions", 5, "--shapley-questions", 2, "--batch-size", 3),
        cwd=tmp_path,
    )
    assert re.search(r"generic( +\d+\.\d){4}", printed)
    assert re.search(r"random( +\d+\.\d){4}", printed)
    assert re.search(r"image +swapped( +\d\.\d+){3}", printed)
    assert re.search(r"question \d+\.\d%, image \d+\.\d%", printed)
    folder = tmp_path / "runs" / "explanations_nlvr"
    assert (folder / "areas.csv").read_text().startswith(",")
    assert (folder / "modalities.csv").is_file()
    with Image.open(folder / "perturbation.png") as picture:
        assert picture.width > 1000


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(ROOT / "examples" / "explanations.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code), "committed without outputs"
    for name in ("checkpoints", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    texts = "".join(output.get("text", "") for cell in code for output in cell.outputs)
    assert re.search(r"0\.\d+  (circles|two|yellow)", texts)
    pictures = [output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    assert (tmp_path / "runs/notebook/explorer.html").is_file()
