"""The files of a Space: complete, pinned, and each where the app looks for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import RepoCard
from PIL import Image

from lxmert.hub import space_folder
from lxmert.hub.space_folder import APP, OWN_EXAMPLES, SUB_PACKAGES, prepare_space, write_space
from tests.conftest import ROOT

NLVR = ROOT / "checkpoints" / "nlvr"
PIN = re.compile(r"([\w-]+)==(\S+)")


def pins(path: Path) -> dict[str, str]:
    return {name.lower(): version for name, version in PIN.findall(path.read_text())}


def test_every_file_has_a_place(tmp_path: Path) -> None:
    files = prepare_space(tmp_path, "somebody/lxmert-nlvr", "nlvr")
    assert all(path.is_file() for path in files.values())
    assert {"README.md", "app.py", "answer_views.py", "style.css", "requirements.txt", "space.json"} <= files.keys()
    assert {"lxmert/__init__.py", "lxmert/visualization/explorer.css", "lxmert/hub/pipeline.py"} <= files.keys()
    assert not [name for name in files if name.startswith("lxmert/training/") or name.endswith((".pyc", "publish.py"))]
    assert sum(path.stat().st_size for path in files.values()) < 2_000_000
    settings = json.loads(files["space.json"].read_text())
    assert settings["model"] == "somebody/lxmert-nlvr"
    assert [one["question"] for one in settings["examples"]] == [text for _, text in OWN_EXAMPLES["nlvr"][1]]
    assert all(one["image"] in files for one in settings["examples"])


def test_the_card_is_what_the_hub_reads(tmp_path: Path) -> None:
    files = prepare_space(tmp_path, "somebody/lxmert-nlvr", "nlvr", title="True or false?", license="cc-by-4.0")
    data = RepoCard.load(files["README.md"]).data.to_dict()
    assert (data["title"], data["license"], data["models"]) == ("True or false?", "cc-by-4.0", ["somebody/lxmert-nlvr"])
    assert (data["sdk"], data["app_file"]) == ("gradio", "app.py")
    assert data["sdk_version"] == pins(APP / "requirements.txt")["gradio"]
    assert len(data["short_description"]) <= 60


def test_versions_are_those_that_were_tried() -> None:
    tried, wanted = pins(ROOT / "constraints.txt"), pins(APP / "requirements.txt")
    lines = (APP / "requirements.txt").read_text().splitlines()
    assert all(PIN.fullmatch(line) for line in lines if line and not line.startswith(("#", "--")))
    different = {name for name, version in wanted.items() if tried.get(name, version) != version}
    assert not different
    assert int(wanted["pillow"].split(".")[0]) < 13


def test_own_examples_come_along_made_small(tmp_path: Path) -> None:
    Image.effect_noise((2000, 1000), 90).save(tmp_path / "photo.png")
    files = prepare_space(tmp_path / "space", "a/b", [(tmp_path / "photo.png", "what is this?")], hint="Noise.")
    with Image.open(files["examples/0.png"]) as copy:
        assert (copy.size, copy.mode) == ((640, 320), "RGB")
    settings = json.loads(files["space.json"].read_text())
    assert settings["examples"] == [{"image": "examples/0.png", "question": "what is this?"}]
    assert settings["hint"] == "Noise."


def test_what_an_editor_leaves_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SUB_PACKAGES:
        (tmp_path / name).mkdir()
        for file in ("module.py", "module.py~", ".module.py", "notes.txt", "page.html"):
            (tmp_path / name / file).write_text("")
    monkeypatch.setattr(space_folder, "PACKAGE", tmp_path)
    kept = {name for name in space_folder._package_files() if name.startswith("lxmert/processing/")}
    assert kept == {"lxmert/processing/module.py", "lxmert/processing/page.html"}


@pytest.mark.parametrize("name", OWN_EXAMPLES)
def test_sets_that_come_along_are_there_and_small(name: str) -> None:
    for picture, _ in OWN_EXAMPLES[name][1]:  # type: ignore[index]
        assert (APP / "examples" / name / picture).stat().st_size < 4000


def test_the_settings_in_the_checkout_fit_the_sets() -> None:
    settings = json.loads((APP / "space.json").read_text())
    assert (APP / settings["model"]).resolve() == NLVR
    pairs = [(one["image"].removeprefix("examples/nlvr/"), one["question"]) for one in settings["examples"]]
    assert (settings["hint"], tuple(pairs)) == OWN_EXAMPLES["nlvr"]


def test_wrong_wishes_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="examples must be nlvr or easy_vqa"):
        prepare_space(tmp_path, "a/b", "vqa")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="examples is empty"):
        prepare_space(tmp_path, "a/b", [])
    with pytest.raises(ValueError, match="empty question as number 0"):
        prepare_space(tmp_path, "a/b", [(APP / "examples" / "nlvr" / "towers.png", " ")])
    with pytest.raises(FileNotFoundError, match="no.png"):
        prepare_space(tmp_path, "a/b", [("no.png", "what?")])
    with pytest.raises(ValueError, match="title must have 1 to 60 characters"):
        prepare_space(tmp_path, "a/b", "nlvr", title="x" * 61)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something already"):
        write_space(tmp_path / "full", "a/b", "nlvr")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_the_package_beside_the_app_works_alone(tmp_path: Path) -> None:
    """As on a Space, where nothing of ours is installed."""
    folder = write_space(tmp_path / "space", str(NLVR), "nlvr")
    code = (
        "import sys\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
        f"sys.path = [{str(folder)!r}] + [path for path in sys.path if path != {str(ROOT)!r}]\n"
        "import answer_views, lxmert\n"
        "from lxmert.visualization import explain\n"
        f"model = lxmert.LxmertForQuestionAnswering.from_pretrained({str(NLVR)!r})\n"
        f"processor = lxmert.LxmertProcessor.from_pretrained({str(NLVR)!r})\n"
        "found = explain(model, processor, 'examples/0.png', 'There is a <b>yellow</b> circle.', methods='generic')\n"
        "print(lxmert.__file__, lxmert.processing.__file__)\n"
        "print(answer_views.bars(found), answer_views.words(found, 'true'), answer_views.regions(found, 'true'))\n"
        "print(answer_views.picture(found, 'true').size)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    places, page, size = done.stdout.strip().splitlines()
    assert all(Path(place).is_relative_to(folder) for place in places.split())
    assert "<b>yellow" not in page
    assert "&lt;" in page
    assert page.count('class="bar') == 2
    assert "yellow circle" in page
    assert size == "(900, 225)"
