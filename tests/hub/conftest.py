"""A small finished run, the stand-in Hub, and a process that publishes to it and downloads from it."""

import csv
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lxmert.processing import RegionStore
from lxmert.training import FineTuningRecipe, train
from lxmert.visualization import report_answers
from tests.conftest import ROOT
from tests.hub.stand_in_hub import StandInHub
from tests.hub.stand_in_routes import Handler

COLOURS = ("red", "blue", "black")
SMALL = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "initializer_range": 0.1}
SMALL |= {"l_layers": 1, "r_layers": 1, "x_layers": 1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
Client = Callable[..., Any]


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run on pictures of one colour, as examples/4_finetune.py leaves it."""
    folder = tmp_path_factory.mktemp("colours")
    (folder / "pictures").mkdir()
    for name, numbers in (("questions", range(24)), ("more", range(24, 36))):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image", "question", "answer"])
            for i in numbers:
                picture = Image.new("RGB", (20, 20), "white")
                picture.paste(COLOURS[i % 3], (i % 8, i % 5, i % 8 + 8, i % 5 + 8))
                picture.save(folder / "pictures" / f"{i}.png")
                table.writerow([f"{i}.png", "what color is it?", COLOURS[i % 3]])
    settings = {"epochs": 3, "batch_size": 12, "learning_rate": 3e-3, "seed": 1, "progress": False}
    data = {"training": str(folder / "questions.csv"), "test": str(folder / "more.csv")}
    recipe = FineTuningRecipe(
        "colours",
        "my_dataset",
        data=data | {"images": str(folder / "pictures")},
        regions={"extractor": "components", "settings": {"crop_size": 4}},
        model=SMALL,
        training=settings,
    )
    loaded = recipe.load_data(folder, progress=False)
    torch.manual_seed(1)
    model, _ = recipe.model_for(loaded)
    result = train(model, recipe.task_for(loaded), recipe.settings(folder))
    best = recipe.kind.head.from_pretrained(result.best)
    judgement = recipe.kind.judge(best, loaded.processor, loaded.test, loaded.regions)
    report_answers(
        folder / "report", best, loaded.processor, loaded.test, judgement.predictions, judgement.figures, progress=False
    )
    return folder


@pytest.fixture(scope="session")
def checkpoint(colours: Path) -> Path:
    return colours / "best"


@pytest.fixture(scope="session")
def store(colours: Path) -> RegionStore:
    """The regions of the run's pictures."""
    (path,) = (path.parent for path in colours.rglob("region_store.json"))
    return RegionStore(path)


@pytest.fixture(scope="session")
def _hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInHub]:
    with StandInHub(tmp_path_factory.mktemp("hub"), Handler) as hub:
        yield hub


@pytest.fixture
def hub(_hub: StandInHub) -> Iterator[StandInHub]:
    """The stand-in, without trouble and with no request seen yet; repositories of other tests stay."""
    _hub.requests.clear()
    yield _hub
    _hub.trouble = lambda method, path: None


@pytest.fixture(scope="session")
def client(_hub: StandInHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Calls a function in a process that knows the stand-in from its start, and no token."""
    environment = {
        "HF_ENDPOINT": _hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path_factory.mktemp("home")),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
                patch.delenv(name, raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "path", [*sys.path, str(ROOT)])  # which the process takes over, to find tests.hub
            pool.submit(os.getpid).result()
        yield lambda function, *arguments, **options: pool.submit(function, *arguments, **options).result()
