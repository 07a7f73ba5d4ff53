"""The pre-training program, on a data set of a few files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from lxmert.processing import RegionStore
from lxmert.training import training_data_of
from tests.conftest import ROOT
from tests.examples.test_demo import run
from tests.training.test_pretraining_collator import WORDS, make_regions

PROGRAM = ROOT / "examples" / "3_pretrain.py"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe beside the files that it reads."""
    RegionStore.create(tmp_path / "regions", [make_regions(number) for number in range(8)])
    rng = np.random.default_rng(0)
    for name, count in (("train", 64), ("held_out", 16)):
        rows = [
            {"image_id": f"image {i % 8}", "sentence": " ".join(rng.choice(WORDS, 4)), "answer": ["yes", "no"][i % 2]}
            for i in range(count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = {"training": ["train.jsonl"], "validation": ["held_out.jsonl"], "regions": ["regions"]}
    files |= {"tokenizer": "train", "object_labels": 3, "attribute_labels": 2}
    model = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    model |= dict.fromkeys(("l_layers", "r_layers", "x_layers"), 1)
    training = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "save_state_every": 4}
    content = {"data": {"files": files}, "model": model, "training": training, "answers_from_epoch": 1}
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.slow
def test_it_trains_reports_and_draws(recipe: Path) -> None:
    folder = recipe.parent
    command = (PROGRAM, "--recipe", recipe, "--data", folder)
    printed = run(*command, cwd=folder)
    assert "64 sentences to learn from, 16 held out, 2 answers" in printed
    for task in ("masked words", "matching", "masked objects", "masked attributes", "masked features", "question"):
        assert f"| {task}" in printed
    output = folder / "runs" / "tiny"
    assert {"best", "last", "report.md", "losses.png", "history.json", "start.json"} <= {
        p.name for p in output.iterdir()
    }
    history = json.loads((output / "history.json").read_text())
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    (learned,) = training_data_of(output / "best")
    assert (learned.task, learned.split, learned.questions) == ("pre-training", "train.jsonl", 64)
    assert history[0]["qa"] == 0 < history[1]["qa"]

    again = run(*command, "--resume", cwd=folder)
    assert again.count("masked words") == 1, "a finished run shows its result again"
    assert first_figures(again) == first_figures(printed)


def first_figures(printed: str) -> list[str]:
    return [line.split("|")[2] for line in printed.splitlines() if line.startswith("| ")][1:]


@pytest.mark.slow
def test_another_recipe_in_the_same_folder(recipe: Path) -> None:
    """It is not resumed, and measures its own start; here in half precision."""
    folder = recipe.parent
    command = (PROGRAM, "--recipe", recipe, "--data", folder, "--epochs", 2)
    printed = run(*command, cwd=folder)
    changed = yaml.safe_load(recipe.read_text())
    changed |= {"objectives": "paper"}
    changed["training"] |= {"mixed_precision": "bf16"}
    changed["model"] |= {"hidden_dropout_prob": 0.5}
    recipe.write_text(yaml.safe_dump(changed))
    refused = subprocess.run(
        [sys.executable, *map(str, command), "--resume"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "is another run's" in refused.stderr
    for name in ("mixed_precision", "configuration.hidden_dropout_prob 0.1, now 0.5", "region_blanked 0.8, now 1.0"):
        assert name in refused.stderr
    assert first_figures(run(*command, cwd=folder)) != first_figures(printed)


@pytest.mark.slow
def test_two_processes_say_everything_once(recipe: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, PROGRAM, "--recipe", recipe, "--data", recipe.parent, "--output", "two"]
    result = subprocess.run(
        list(map(str, command)), cwd=recipe.parent, capture_output=True, text=True, check=False, timeout=250
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("64 sentences to learn from") == 1
    assert result.stdout.count("| masked words") == 1


def test_a_mistake_is_said_before_anything_starts(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("hidden_size", "hiden_size"))
    result = subprocess.run(
        [sys.executable, str(PROGRAM), "--recipe", str(recipe)],
        cwd=recipe.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode != 0
    assert "did you mean `hidden_size`" in result.stderr
