"""benchmarks/nlvr.py: every variant runs from files to figures, and the table says them."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from lxmert.scenes import random_scattered, random_towers, samples
from lxmert.training.nlvr_drawing import draw_scene

DIRECTORIES = 16
TINY = {
    "EPOCHS": 1,
    "SENTENCES": 40,
    "POOL": 200,
    "BATCHES": 2,
    "BATCH_SIZE": 16,
    "FINETUNING_EPOCHS": 1,
    "LEAST_FINETUNING_EPOCHS": 1,
    "MODEL": {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "l_layers": 1, "r_layers": 1},
}
# The last three are there for their words, which the augmentation exchanges.
SENTENCES = (
    ("There is a tower with a {} block at the base.", random_towers),
    ("There is a {} circle.", random_scattered),
    ("There are {} circles touching the left wall.", random_scattered),
    ("There are {} triangles touching the right wall.", random_scattered),
    ("There is a {} triangle.", random_scattered),
)
COLOURS = {"yellow": "Yellow", "blue": "#0099ff", "black": "Black"}


def write_nlvr(folder: Path) -> None:
    """A small data set in NLVR's layout; labels say whether the colour is there, which is true of enough examples."""
    generator = np.random.default_rng(0)
    for split, directories in (("train", range(DIRECTORIES)), ("dev", [DIRECTORIES])):
        lines = []
        for directory in directories:
            for number, (sentence, draw) in enumerate(SENTENCES):
                colour = list(COLOURS)[(directory + number) % 3]
                scene = draw(1, generator).structured(0)
                identifier = f"{directory * 10 + number}-0"
                there = any(item["color"] == COLOURS[colour] for box in scene for item in box)
                lines.append(
                    {
                        "sentence": sentence.format(colour),
                        "label": str(there).lower(),
                        "identifier": identifier,
                        "directory": str(directory),
                        "structured_rep": scene,
                    }
                )
                path = folder / split / "images" / str(directory) / f"{split}-{identifier}-0.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                draw_scene(scene).save(path)
        (folder / split / f"{split}.json").write_text("\n".join(map(json.dumps, lines)))


@pytest.fixture(scope="module")
def nlvr(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """benchmarks/nlvr.py."""
    return load_benchmark("nlvr")


@pytest.fixture
def half_precision() -> Iterator[None]:
    """Accelerate keeps a process's precision: other tests train in float32."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("half_precision")
def test_every_variant_runs(
    nlvr: ModuleType, load_benchmark: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nlvr(tmp_path / "data")
    training = load_benchmark("nlvr_training")
    for name, value in TINY.items():
        changed = training.MODEL | value | {"x_layers": 1} if isinstance(value, dict) else value
        monkeypatch.setattr(training, name, changed)
    monkeypatch.setattr(samples, "CHUNK", 4)  # there are few real scenes
    monkeypatch.setattr(samples, "LARGE_CHUNK", 8)
    data = training.Data.of(tmp_path / "data", tmp_path)
    results = []
    for name, variant in nlvr.VARIANTS.items():
        if variant.model != "minilm":  # tested with its package in test_nlvr_minilm.py
            result = training.run(data, variant, 1, tmp_path / name, 1.0)
            results.append(result | {"variant": name, "seed": 1})
            for column in nlvr.COLUMNS:
                assert 0 <= result[column]["accuracy"] <= 1, name
            assert ("before fine-tuning" in result) == variant.pretrained, name
            assert result["seconds"] > 0
    table = nlvr.table(results)
    assert table.count("before fine-tuning") == sum("pretraining" in result for result in results)
    assert nlvr.draw_courses(results, tmp_path / "courses.png").stat().st_size > 10_000


def test_mean_and_spread(nlvr: ModuleType) -> None:
    runs = [{"dev, images": {"accuracy": accuracy}} for accuracy in (0.9, 0.91, 0.92)]
    assert nlvr.spread(runs, "dev, images", "accuracy") == "91.0±1.0"
    assert nlvr.spread(runs[:1], "dev, images", "accuracy") == "90.0"


def test_finished_runs_are_not_repeated(
    nlvr: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {column: {"accuracy": 0.75, "consistency": 0.5} for column in nlvr.COLUMNS}
    runs = [
        figures | {"variant": "answers only", "seed": seed, "share": share, "seconds": None}
        for seed, share in ((1, 0.5), (2, 0.5), (3, 1.0))
    ]
    (tmp_path / "given.json").write_text(json.dumps(runs))
    started: list[tuple[int, float]] = []

    def run(data: object, variant: object, seed: int, folder: Path, share: float) -> dict[str, object]:
        folder.mkdir(parents=True)
        started.append((seed, share))
        return figures | {"seconds": 60.0}

    monkeypatch.setattr(nlvr, "run", run)
    monkeypatch.setattr(nlvr.Data, "of", lambda *_: "data")
    arguments = ["--data", "absent", "--output", tmp_path, "--finished", tmp_path / "given.json", "--share", 0.5]
    arguments += ["--variants", "answers only", "--seeds", 1, 2, 3]
    monkeypatch.setattr("sys.argv", ["nlvr.py", *map(str, arguments)])
    for _ in range(2):
        nlvr.main()
    assert started == [(3, 0.5)]
    assert re.search(r"answers only +3 +75\.0±0\.0 / 50\.0±0\.0", capsys.readouterr().out)
    written = json.loads((tmp_path / "share 0.5" / "runs.json").read_text())
    assert [(run["seed"], run["share"]) for run in written] == [(1, 0.5), (2, 0.5), (3, 0.5)]


def test_without_pretraining_fine_tuning_has_all_the_steps(load_benchmark: Callable[[str], ModuleType]) -> None:
    training = load_benchmark("nlvr_training")
    assert training.epochs_of(training.Variant(), 1.0, 174) == (12, 5)
    assert training.epochs_of(training.Variant(), 0.167, 174) == (2, 2)
    # 2 epochs of 880 batches are 10.1 of 174
    assert training.epochs_of(training.Variant(pretrained=False), 0.167, 174) == (0, 13)
