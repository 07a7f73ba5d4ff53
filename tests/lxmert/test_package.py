"""The package as a whole: what it exports, who imports whom, and that it installs."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForVisualQuestionAnswering,
    AutoModelForZeroShotImageClassification,
)

import lxmert
from tests.conftest import ROOT

# Each folder and the folders of ours that it may import.
MAY_IMPORT = {
    "configuration": set(),
    "modeling_lxmert": {"configuration"},
    "processing": {"configuration"},
    "detection": {"configuration", "processing"},
    "evaluation": {"processing"},
    "scenes": set(),
    "training": {"configuration", "modeling_lxmert", "processing", "scenes", "detection", "evaluation"},
    "visualization": {"configuration", "modeling_lxmert", "processing"},
    "engines": {"configuration", "modeling_lxmert", "processing"},
    "hub": {
        "configuration",
        "modeling_lxmert",
        "processing",
        "scenes",
        "detection",
        "evaluation",
        "training",
        "visualization",
    },
}


def imports_of(file: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_go_one_way(folder: str) -> None:
    files = list((ROOT / folder).glob("*.py"))
    assert files
    for file in files:
        ours = {name.split(".")[1] for name in imports_of(file) if name.startswith("lxmert.")}
        assert ours <= MAY_IMPORT[folder] | {folder}, file
        assert "lxmert" not in imports_of(file), f"{file} imports the façade"


def test_examples_are_short_and_import_only_the_package() -> None:
    files = sorted((ROOT / "examples").glob("*.py"))
    assert files
    for file in files:
        assert len(file.read_text().splitlines()) <= 70, file
        ours = [name for name in imports_of(file) if name.split(".")[0] in MAY_IMPORT]
        assert not ours, file


def test_all_folders_are_packaged() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert folders == MAY_IMPORT.keys() | {"lxmert"}
    packages = (ROOT / "setup.cfg").read_text()
    assert all(f"lxmert.{folder} = {folder}" in packages for folder in MAY_IMPORT)


def test_the_front_door_is_what_it_says() -> None:
    assert lxmert.__all__ == sorted(lxmert.__all__)
    assert all(hasattr(lxmert, name) for name in lxmert.__all__)
    assert {name for name in vars(lxmert) if name.startswith("Lxmert")} <= set(lxmert.__all__)


def test_auto_classes_know_ours() -> None:
    config = AutoConfig.for_model("lxmert")
    assert type(config) is lxmert.LxmertConfig
    small = lxmert.LxmertConfig(hidden_size=8, num_attention_heads=1, vocab_size=9, visual_feat_dim=2, l_layers=1)
    assert type(AutoModel.from_config(small)) is lxmert.LxmertModel
    assert type(AutoModelForPreTraining.from_config(small)) is lxmert.LxmertForPreTraining
    for auto in (AutoModelForQuestionAnswering, AutoModelForVisualQuestionAnswering):
        assert type(auto.from_config(small)) is lxmert.LxmertForQuestionAnswering
    assert type(AutoModelForSequenceClassification.from_config(small)) is lxmert.LxmertForVisualReasoning
    assert type(AutoModelForZeroShotImageClassification.from_config(small)) is lxmert.LxmertForImageAndTextRetrieval


def run(*command: object, cwd: Path, path: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_wheel_brings_one_name_and_works_elsewhere(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    built = run(
        *pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path
    )
    wheels = list(tmp_path.glob("*.whl"))
    assert len(wheels) == 1, built
    with zipfile.ZipFile(wheels[0]) as archive:
        names = set(archive.namelist())
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"lxmert"}
    page = {file.name for file in (ROOT / "visualization").iterdir() if file.suffix in (".html", ".css", ".js")}
    assert page
    assert {f"lxmert/visualization/{name}" for name in page} <= names

    site = tmp_path / "site"
    run(*pip, "install", "--no-deps", "--no-index", "--target", site, wheels[0], cwd=tmp_path)
    code = (
        "import lxmert, lxmert.training, lxmert.visualization, lxmert.evaluation;"
        "config = lxmert.LxmertConfig(hidden_size=8, num_attention_heads=1, vocab_size=9, visual_feat_dim=2);"
        "print(lxmert.__file__, lxmert.processing.__file__, lxmert.LxmertModel(config).config.model_type)"
    )
    # elsewhere, and from the checkout's root, where the folder lxmert/ lies before the installed one
    facade, processing, kind = run(sys.executable, "-c", code, cwd=tmp_path, path=site).split()
    assert Path(facade).is_relative_to(site)
    assert Path(processing).is_relative_to(site)
    assert kind == "lxmert"
    assert run(sys.executable, "-c", code, cwd=ROOT).split()[2] == "lxmert"
