"""The example that exports a checkpoint and compares it with PyTorch."""

import re
import subprocess
import sys
from pathlib import Path

from lxmert.engines import ExportRecord
from lxmert.training.nlvr_drawing import draw_scene
from tests.conftest import ROOT
from tests.examples.test_nlvr_checkpoint import SENTENCES

PROGRAM = ROOT / "examples" / "8_export.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_halves_of_the_checkpoint_answer_as_it_does(tmp_path: Path) -> None:
    scene, sentence, truth = SENTENCES[0]
    picture = tmp_path / "picture.png"
    draw_scene(scene).save(picture)
    folder = tmp_path / "exported"
    result = run("checkpoints/nlvr", folder, "--format", "openvino", "--halves", "--check", picture, sentence)
    assert result.returncode == 0, result.stderr
    record = ExportRecord.load(folder)
    assert (record.format, record.parts, record.precision) == ("openvino", ("regions", "rest"), "float32")
    answers = re.findall(r"%  (true|false)  \((PyTorch|openvino)\)", result.stdout)
    assert answers == [(str(truth).lower(), "PyTorch"), (str(truth).lower(), "openvino")]
    difference = re.search(r"Largest difference of a logit: (\S+)", result.stdout)
    assert difference is not None
    assert float(difference[1]) < 1e-4


def test_a_precision_that_the_engine_lacks_is_said(tmp_path: Path) -> None:
    result = run("checkpoints/nlvr", tmp_path / "exported", "--precision", "float16")
    assert result.returncode != 0
    assert result.stderr.strip().endswith(
        "8_export.py: precision of format 'onnx' must be one of float32, int8, got 'float16'."
    )
