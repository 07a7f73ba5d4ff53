"""The demo's three programs and the README, on a few questions."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT


def run(*command: object, cwd: Path) -> str:
    result = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, timeout=250
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which a short demo ran, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    examples = ROOT / "examples"
    printed = run(examples / "0_demo_train.py", "--questions", 600, "--epochs", 3, cwd=folder)
    printed += run(examples / "0_demo_evaluate.py", "--questions", 300, cwd=folder)
    printed += run(examples / "0_demo_answer.py", cwd=folder)
    return folder, printed


@pytest.mark.slow
def test_the_demo_measures_and_reports(demo: tuple[Path, str]) -> None:
    folder, printed = demo
    assert "Regions of 5,000 images stored in runs/demo/regions" in printed
    assert re.search(r"test/\d+\.png +(is|does|what)", printed)
    metrics = json.loads((folder / "runs/demo/metrics.json").read_text())
    for name in ("test_accuracy", "question_only_accuracy", "image_only_accuracy", "majority_per_question_accuracy"):
        assert 0 < metrics[name] < 1, name
        assert f"{metrics[name]:.2%}" in printed
    assert metrics["test_questions"] == 300
    history = json.loads((folder / "runs/demo/training/history.json").read_text())
    assert history[-1]["loss"] < 0.9 * history[0]["loss"], "the model must learn"
    stages = ["regions", "training", "evaluation", "answers and report"]
    assert metrics["seconds"]["total"] == pytest.approx(sum(metrics["seconds"][stage] for stage in stages))
    with Image.open(folder / "runs/demo/report.png") as picture:
        assert picture.width > 1000


@pytest.mark.slow
def test_a_second_demo_reuses_the_regions(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    printed = run(
        ROOT / "examples/0_demo_train.py", "--questions", 50, "--epochs", 1, "--output", "runs/demo", cwd=folder
    )
    assert "Regions of 5,000 images reused from runs/demo/regions" in printed


@pytest.mark.slow
def test_a_question_about_any_picture(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    image = Image.new("RGB", (64, 64), "white")
    image.paste("red", (10, 10, 40, 40))
    image.save(folder / "mine.png")
    command = (ROOT / "examples/2_answer.py", "mine.png", "what color is the shape?", "--picture", "mine_answer.png")
    lines = run(*command, cwd=folder).splitlines()
    shares = [float(line.split("%")[0]) for line in lines[:5]]
    assert shares == sorted(shares, reverse=True)
    assert (folder / "mine_answer.png").is_file()


@pytest.mark.slow
def test_the_readmes_python_works_as_pasted(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert blocks
    for name in ("checkpoints", "docs"):  # which lie in the checkout's root, where a reader pastes
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    for block in blocks:
        assert run("-c", block, cwd=folder).strip()


def test_help_helps() -> None:
    for example in sorted((ROOT / "examples").glob("*.py")):
        printed = run(example, "--help", cwd=ROOT)
        assert "usage:" in printed
        assert "default:" in printed


def test_the_readmes_commands_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    wanted = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test"} <= wanted <= targets
