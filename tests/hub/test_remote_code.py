"""Code beside a checkpoint: loaded with it, without it by this package, and by transformers' own LXMERT, all equal."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, pipeline
from transformers.dynamic_module_utils import get_imports

import lxmert
from lxmert import (
    FasterRcnnRegionExtractor,
    LxmertConfig,
    LxmertForImageAndTextRetrieval,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
    LxmertProcessor,
    Regions,
)
from lxmert.hub.remote_code import export_remote_code
from lxmert.processing import RegionExtractor
from tests.conftest import QUESTIONS, ROOT, SMALL, make_batch
from tests.detection.small_detector import noise, save_small_detector

NLVR = ROOT / "checkpoints" / "nlvr"
BOXES = ROOT / "docs" / "images" / "three_boxes.png"
SENTENCE = "There is no black triangle."
FILES = ["configuration_lxmert.py", "modeling_lxmert.py", "pipeline_lxmert.py", "processing_lxmert.py"]
ORDER = ["configuration_lxmert.py", "processing_lxmert.py", "modeling_lxmert.py", "pipeline_lxmert.py"]
NEEDED_BESIDES = {
    "ComponentRegionExtractor": {"scipy"},
    "DrawnBoxesRegionExtractor": {"scipy"},
    "FasterRcnnRegionExtractor": {"yaml"},
    "ShapeRegionExtractor": {"scipy"},
}
HEADS = [
    (LxmertModel, "AutoModel"),
    (LxmertForPreTraining, "AutoModelForPreTraining"),
    (LxmertForQuestionAnswering, "AutoModelForQuestionAnswering"),
    (LxmertForQuestionAnswering, "AutoModelForVisualQuestionAnswering"),
    (LxmertForVisualReasoning, "AutoModelForSequenceClassification"),
    (LxmertForImageAndTextRetrieval, "AutoModelForZeroShotImageClassification"),
]
STOCK = ["AutoModel", "AutoModelForPreTraining", "AutoModelForQuestionAnswering"]
REGIONS = {
    "features": [[float(i + j) for j in range(12)] for i in range(3)],
    "boxes": [[0, 0, 10, 10], [5, 5, 20, 30], [1, 2, 40, 30]],
    "image_size": [30, 40],
}
PROCESSED = ["from an image", "from regions", "by the Faster R-CNN", "from the Hub"]
HUB_NAME = "someone/lxmert-small"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Repositories:
    """Checkpoints with code beside them, and the same things computed by this package.

    Args:
        folder: for all that is written.
        processor: of the small checkpoints.
        drawing: a picture for it.
    """

    def __init__(self, folder: Path, processor: LxmertProcessor, drawing: Image.Image):
        self.folder = folder
        self.drawing = folder / "drawing.png"
        drawing.save(self.drawing)
        noise(48, 64).save(folder / "noise.png")
        self.expected: dict[str, dict[str, torch.Tensor]] = {}
        self.models: list[dict[str, str]] = [self._model(head, auto) for head, auto in HEADS]
        self.question_answering = self.models[3]["repo"]
        processor.save_pretrained(self.question_answering)
        export_remote_code(self.question_answering)

        detecting = folder / "detecting"
        detector = FasterRcnnRegionExtractor(save_small_detector(folder / "detector"))
        LxmertModel(LxmertConfig(**(SMALL | {"visual_feat_dim": detector.feature_dim}))).save_pretrained(detecting)
        LxmertProcessor(processor.tokenizer, detector).save_pretrained(detecting)
        export_remote_code(detecting)
        self.nlvr = folder / "nlvr"
        shutil.copytree(NLVR, self.nlvr)
        export_remote_code(self.nlvr)
        self._publish(Path(self.question_answering))

        image = {"text": QUESTIONS[0], "image": str(self.drawing)}
        self.processors: list[dict[str, Any]] = [
            {"repo": self.question_answering, **image},
            {"repo": self.question_answering, "text": QUESTIONS[1], "regions": REGIONS},
            {"repo": str(detecting), "text": QUESTIONS[0], "image": str(folder / "noise.png")},
            {"repo": HUB_NAME, "text": QUESTIONS[1], "regions": REGIONS},
        ]
        self.pipelines: list[dict[str, Any]] = [
            {"repo": str(self.nlvr), "image": str(BOXES), "text": SENTENCE, "keywords": {"explain": True}},
            {"repo": HUB_NAME, **image},
        ]

    def _model(self, head: type, auto: str) -> dict[str, str]:
        repo, inputs = self.folder / auto, self.folder / f"{auto}.pt"
        torch.manual_seed(0)
        model = head(LxmertConfig(**(SMALL | {"initializer_range": 0.2}))).double().eval()  # rounding stays below 1e-6
        model.save_pretrained(repo)
        export_remote_code(repo)
        batch = make_batch(images=2 if head is LxmertForVisualReasoning else 1)
        batch = {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
        torch.save(batch, inputs)
        with torch.no_grad():
            self.expected[auto] = {k: v for k, v in model(**batch).items() if isinstance(v, torch.Tensor)}
        return {"repo": str(repo), "auto": auto, "inputs": str(inputs)}

    def _publish(self, repo: Path) -> None:
        """Lay a repository where one from the Hub lies after it was downloaded."""
        cache = self.folder / "home" / "hub" / f"models--{HUB_NAME.replace('/', '--')}"
        shutil.copytree(repo, cache / "snapshots" / COMMIT)
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text(COMMIT)

    def start(self, name: str, job: dict[str, Any]) -> tuple[subprocess.Popen[str], Path]:
        """Run a job where this package does not exist; nobody is there to answer a prompt."""
        path, output = self.folder / f"{name}.json", self.folder / f"{name}.pt"
        path.write_text(json.dumps(job))
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_HUB_CACHE")}
        environment |= {"HF_HOME": str(self.folder / "home"), "HF_MODULES_CACHE": str(self.folder / f"{name}-modules")}
        program = Path(__file__).parent / "without_package.py"
        return (
            subprocess.Popen(
                [sys.executable, "-I", program, path, output],
                cwd=self.folder,
                env=environment | {"HF_HUB_OFFLINE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            ),
            output,
        )


@pytest.fixture(scope="module")
def repositories(
    tmp_path_factory: pytest.TempPathFactory, processor: LxmertProcessor, drawing: Image.Image
) -> Repositories:
    return Repositories(tmp_path_factory.mktemp("repositories"), processor, drawing)


@pytest.fixture(scope="module")
def results(repositories: Repositories) -> dict[str, Any]:
    """What two interpreters without this package found: one trusts the code, one has transformers alone."""
    again = str(repositories.folder / "again")
    auto = "AutoModelForVisualQuestionAnswering"
    trusting = {
        "trust": True,
        "save_again": [{"repo": str(repositories.nlvr), "auto": auto, "target": again}],
        "models": [*repositories.models, {**repositories.models[3], "repo": HUB_NAME}],
        "processors": repositories.processors,
        "pipelines": repositories.pipelines,
        "reloaded": [{**repositories.pipelines[0], "repo": again}],
    }
    stock = {
        "models": [model for model in repositories.models if model["auto"] in STOCK],
        "refused": {"repo": repositories.question_answering, "auto": auto},
    }
    running = {name: repositories.start(name, job) for name, job in {"trusting": trusting, "stock": stock}.items()}
    found = {}
    for name, (process, output) in running.items():
        errors = process.communicate(timeout=250)[1]
        assert process.returncode == 0, errors[-3000:]
        found[name] = torch.load(output)
    return found


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize(("row", "head", "auto"), [(i, head, auto) for i, (head, auto) in enumerate(HEADS)])
def test_every_head_loads_by_the_code_and_gives_the_same(
    row: int, head: type, auto: str, repositories: Repositories, results: dict[str, Any]
) -> None:
    found = results["trusting"]["models"][row]
    assert found["kind"].startswith("transformers_modules.")
    assert found["kind"].endswith(f".modeling_lxmert.{head.__name__}")
    torch.testing.assert_close(found["output"], repositories.expected[auto], rtol=0, atol=1e-6)


@pytest.mark.parametrize("auto", STOCK)
def test_stock_transformers_loads_its_heads_without_asking(
    auto: str, repositories: Repositories, results: dict[str, Any]
) -> None:
    found = results["stock"]["models"][STOCK.index(auto)]
    assert found["kind"].startswith("transformers.models.lxmert.")
    expected = {name: repositories.expected[auto][name] for name in found["output"]}
    assert expected
    torch.testing.assert_close(found["output"], expected, rtol=0, atol=1e-6)


def test_what_stock_transformers_lacks_is_refused_without_the_flag(results: dict[str, Any]) -> None:
    assert "trust_remote_code=True" in results["stock"]["refusal"]


def test_a_repository_of_the_hub_loads_by_its_name(repositories: Repositories, results: dict[str, Any]) -> None:
    found = results["trusting"]["models"][len(HEADS)]
    assert f".{COMMIT}." in found["kind"]
    expected = repositories.expected["AutoModelForVisualQuestionAnswering"]
    torch.testing.assert_close(found["output"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("row", range(len(PROCESSED)), ids=PROCESSED)
def test_the_processor_gives_the_same(row: int, repositories: Repositories, results: dict[str, Any]) -> None:
    job = repositories.processors[row]
    repo = repositories.question_answering if job["repo"] == HUB_NAME else job["repo"]
    processor = AutoProcessor.from_pretrained(repo, trust_remote_code=True)
    assert type(processor) is LxmertProcessor  # where the package is imported, its own classes are taken
    given = {"images": job["image"]} if "image" in job else {"regions": Regions(**job["regions"])}
    found = results["trusting"]["processors"][row]
    assert found["kind"].endswith(".processing_lxmert.LxmertProcessor")
    assert found["output"].keys() == set(processor.model_input_names)
    torch.testing.assert_close(found["output"], dict(processor(text=job["text"], **given)), rtol=0, atol=1e-6)


def test_the_pipeline_answers_as_the_package_does(repositories: Repositories, results: dict[str, Any]) -> None:
    found = results["trusting"]["pipelines"][0]
    assert found["kind"].endswith(".pipeline_lxmert.LxmertVisualQuestionAnsweringPipeline")
    ours = pipeline("lxmert-visual-question-answering", model=str(NLVR), device="cpu")
    expected = ours(str(BOXES), SENTENCE, explain=True)
    assert [answer["answer"] for answer in found["answers"]] == ["false", "true"]
    for answer, right in zip(found["answers"], expected, strict=True):
        assert answer["score"] == pytest.approx(right["score"], abs=1e-6)
        for part, name in (("words", "word"), ("regions", "label")):
            assert [one[name] for one in answer[part]] == [one[name] for one in right[part]]
            assert [one["score"] for one in answer[part]] == pytest.approx([o["score"] for o in right[part]], abs=1e-6)
    assert {answer["answer"] for answer in results["trusting"]["pipelines"][1]["answers"]} <= {
        f"LABEL_{i}" for i in range(7)
    }


def test_what_was_loaded_by_the_code_is_saved_with_it(repositories: Repositories, results: dict[str, Any]) -> None:
    again = repositories.folder / "again"
    assert sorted(path.name for path in again.glob("*.py")) == FILES
    for name in FILES:
        assert (again / name).read_bytes() == (repositories.nlvr / name).read_bytes()
    assert read(again / "config.json") == read(repositories.nlvr / "config.json")


def test_what_was_saved_by_the_code_loads_again(repositories: Repositories, results: dict[str, Any]) -> None:
    assert isinstance(results["trusting"]["reloaded"], list), results["trusting"]["reloaded"]
    assert results["trusting"]["reloaded"][0]["answers"] == results["trusting"]["pipelines"][0]["answers"]
    written = (repositories.folder / "again" / "processor_config.json", repositories.nlvr / "processor_config.json")
    assert read(written[0]) == read(written[1])


@pytest.mark.parametrize("extractor", [*sorted(RegionExtractor.known), None])
def test_the_code_is_clean_and_asks_for_no_more_than_it_needs(
    extractor: str | None, small_model: LxmertForQuestionAnswering, tmp_path: Path
) -> None:
    if extractor is not None and not RegionExtractor.known[extractor].__module__.startswith("lxmert."):
        pytest.skip(f"{extractor} is of another test")
    small_model.save_pretrained(tmp_path)
    settings = {"processor_class": "LxmertProcessor", "region_extractor": None}
    if extractor is not None:
        settings["region_extractor"] = {"region_extractor_type": extractor}
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))
    written = export_remote_code(tmp_path)
    assert [path.name for path in written if path.suffix == ".py"] == ORDER
    assert ("class " + (extractor or "Regions")) in (tmp_path / "processing_lxmert.py").read_text()
    packages = {name for path in tmp_path.glob("*.py") for name in get_imports(path)} - sys.stdlib_module_names
    needed = {"PIL", "huggingface_hub", "numpy", "torch", "tqdm", "transformers"}
    assert packages == needed | NEEDED_BESIDES.get(str(extractor), set())
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--config",
        ROOT / "pyproject.toml",
        "--ignore",
        "E501",
    ]
    checked = subprocess.run([*ruff, tmp_path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def imports_of(file: Path) -> set[str]:
    """Names of the modules that a file imports, with the dots of relative ones."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {"." * node.level + (node.module or "") for node in nodes if isinstance(node, ast.ImportFrom)}


def test_the_files_say_what_they_are_and_are_the_same_every_time(
    small_model: LxmertForQuestionAnswering, tmp_path: Path
) -> None:
    small_model.save_pretrained(tmp_path / "one")
    export_remote_code(tmp_path / "one")
    before = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    export_remote_code(tmp_path / "one")
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == before
    for name in FILES:
        text = before[name].decode()
        assert f"lxmert {lxmert.__version__}" in text.splitlines()[0]
        assert "SPDX-License-Identifier: Apache-2.0" in text
        imported = imports_of(tmp_path / "one" / name)
        assert not [module for module in imported if module.partition(".")[0] == "lxmert"]
        assert {module for module in imported if module.startswith(".")} <= {
            f".{file.removesuffix('.py')}" for file in ORDER
        }


def test_another_folder_may_take_what_is_written(small_model: LxmertForQuestionAnswering, tmp_path: Path) -> None:
    small_model.save_pretrained(tmp_path / "checkpoint")
    before = (tmp_path / "checkpoint" / "config.json").read_bytes()
    written = export_remote_code(tmp_path / "checkpoint", tmp_path / "page")
    assert written == [tmp_path / "page" / name for name in [*ORDER, "config.json"]]
    assert (tmp_path / "checkpoint" / "config.json").read_bytes() == before
    config = read(tmp_path / "page" / "config.json")
    assert config["auto_map"]["AutoModelForVisualQuestionAnswering"] == "modeling_lxmert.LxmertForQuestionAnswering"
    assert config["custom_pipelines"]["visual-question-answering"]["impl"].startswith("pipeline_lxmert.")


def test_only_heads_that_answer_bring_the_pipeline(small_config: Any, tmp_path: Path) -> None:
    LxmertForVisualReasoning(small_config()).save_pretrained(tmp_path)
    export_remote_code(tmp_path)
    assert "custom_pipelines" not in read(tmp_path / "config.json")


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no config.json"):
        export_remote_code(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="model_type 'bert'"):
        export_remote_code(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_an_extractor_of_somebody_else_is_refused(small_model: LxmertForQuestionAnswering, tmp_path: Path) -> None:
    small_model.save_pretrained(tmp_path)
    settings = {"region_extractor": {"region_extractor_type": "TheirExtractor"}}
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="'TheirExtractor', which is none of the package"):
        export_remote_code(tmp_path)
    assert not list(tmp_path.glob("*.py"))
