"""A Space for a published model, on the stand-in Hub."""

import io
import json
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard
from PIL import Image

from lxmert.hub import CardDetails, publish_space
from tests.hub.conftest import Client
from tests.hub.stand_in_hub import StandInHub

DETAILS = CardDetails("mit", title="Ask about colours")
NAME = "spaces/someone/ask"


@pytest.fixture(scope="module")
def published(_hub: StandInHub, client: Client, colours: Path) -> StandInHub:
    example = [(colours / "pictures" / "25.png", "what color is it?")]
    client(publish_space, "someone/ask", "someone/colours", DETAILS, example, dry_run=False, token="hf_writer")
    return _hub


def test_it_shows_the_model(published: StandInHub, colours: Path) -> None:
    settings = json.loads(published.read(NAME, "space.json"))
    assert settings["model"] == "someone/colours"
    assert settings["examples"] == [{"image": "examples/0.png", "question": "what color is it?"}]
    with Image.open(io.BytesIO(published.read(NAME, "examples/0.png"))) as shown:
        assert list(shown.convert("RGB").get_flattened_data()) == list(
            Image.open(colours / "pictures" / "25.png").get_flattened_data()
        )
    card = SpaceCard(published.read(NAME, "README.md").decode())
    assert (card.data.sdk, card.data.app_file, card.data.models) == ("gradio", "app.py", ["someone/colours"])
    assert (card.data.license, card.data.title) == ("mit", "Ask about colours")
    files = published.repositories[NAME].commits[published.repositories[NAME].head].keys()
    assert {"app.py", "requirements.txt", "style.css", "lxmert/__init__.py", "lxmert/hub/pipeline.py"} <= files
    assert not [name for name in files if name.endswith((".pyi", ".pyc"))]


def test_publishing_again_replaces_what_is_ours(published: StandInHub, client: Client, colours: Path) -> None:
    published.edit(NAME, "lxmert/of_a_former_version.py", b"")
    example = [(colours / "pictures" / "26.png", "what color is it?")]
    details = CardDetails("mit", title="Ask again")
    plan = client(
        publish_space, "someone/ask", "someone/colours", details, example, update=True, dry_run=False, token="hf_writer"
    )
    assert plan.removed == ("lxmert/of_a_former_version.py",)
    assert SpaceCard(published.read(NAME, "README.md").decode()).data.title == "Ask again"


def test_a_dry_run_and_a_missing_picture(client: Client, hub: StandInHub, tmp_path: Path) -> None:
    plan = client(publish_space, "someone/dry", "someone/colours", DETAILS, "nlvr")
    assert "(public space)" in str(plan)
    assert "spaces/someone/dry" not in hub.repositories
    with pytest.raises(FileNotFoundError, match="nowhere.png"):
        client(publish_space, "someone/dry", "someone/colours", DETAILS, [(tmp_path / "nowhere.png", "what?")])
    with pytest.raises(ValueError, match="model must be OWNER/NAME"):
        client(publish_space, "someone/dry", "colours", DETAILS, "nlvr")
