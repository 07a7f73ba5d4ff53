"""What is refused before the Hub is asked, and what it answers, each in one line with a next step."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lxmert.hub import CardDetails, download_regions, publish
from lxmert.hub.card_mark import with_mark
from lxmert.hub.plain_errors import check_token
from tests.conftest import ROOT
from tests.hub import clients
from tests.hub.conftest import Client
from tests.hub.stand_in_hub import StandInHub

MIT = CardDetails("mit")
SENT = {"dry_run": False, "token": "hf_writer"}
PROGRAM = str(ROOT / "examples" / "7_publish_to_hub.py")


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "copy")


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (404, FileNotFoundError, "does not find.*Look at its page"),
        (409, FileExistsError, "already, perhaps private.*Take another name"),
        (413, ValueError, "too large.*Send less"),
        (418, ConnectionError, "status 418.*status.huggingface.co"),
        (422, ValueError, "refuses someone/troubled.*Change what it names"),
    ],
)
def test_what_the_hub_answers(
    client: Client, hub: StandInHub, copy: Path, status: int, kind: type, message: str
) -> None:
    hub.trouble = lambda method, path: status if path == "api/repos/create" else None
    with pytest.raises(kind, match=message) as caught:
        client(publish, copy, "someone/troubled", MIT, **SENT)
    assert "\n" not in str(caught.value)
    assert "nothing was published" in str(caught.value)


def test_a_revision_that_is_not_there(client: Client, hub: StandInHub, store: Any, tmp_path: Path) -> None:
    client(publish, store.path, "someone/revisions", MIT, **SENT)
    with pytest.raises(FileNotFoundError, match="no such revision.*Name a commit, branch or tag"):
        client(download_regions, "someone/revisions", tmp_path / "back", revision="nowhere")


def test_a_token_that_cannot_be_sent(copy: Path) -> None:
    for token in ("hf_wörter", "hf_a\nb", "hf_x y"):
        with pytest.raises(ValueError, match="The token of the Hub has characters") as caught:
            publish(copy, "someone/token", MIT, token=token)
        assert token[3:] not in str(caught.value)
    check_token("hf_writer")


def test_lists_are_lists(copy: Path) -> None:
    with pytest.raises(TypeError, match="evaluations must be a list"):
        publish(copy, "someone/lists", MIT, evaluations="runs/evaluate")
    with pytest.raises(TypeError, match="examples must be a list"):
        publish(copy, "someone/lists", MIT, examples="picture.png")  # type: ignore[arg-type]


def test_a_prepared_folder_that_cannot_be_made(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"file.*; nothing was published. Make room.*--prepared"):
            publish(copy, "someone/file", MIT, prepared=place)


def test_a_full_disk_while_preparing(client: Client, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing was published. Make room") as caught:
        client(clients.with_little_space, 500, publish, copy, "someone/full", MIT, prepared=tmp_path / "page")
    assert "\n" not in str(caught.value)


def test_a_dry_run_without_the_hub(client: Client, hub: StandInHub, copy: Path) -> None:
    hub.trouble = lambda method, path: 501
    (note,) = [note for note in client(publish, copy, "someone/away", MIT).notes if "is not known" in note]
    assert "Run the same again" not in note
    assert "nothing was published" not in note


def test_links_and_licences(client: Client, copy: Path, tmp_path: Path) -> None:
    (copy / "LICENSES").mkdir()
    (copy / "LICENSE.txt").write_text("what one may do")
    assert "LICENSE.txt" in client(publish, copy, "someone/links", MIT).files
    os.replace(copy / "tokenizer.json", tmp_path / "elsewhere.json")
    (copy / "tokenizer.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ValueError, match=r"tokenizer.json is a link to .*elsewhere.json, outside the folder"):
        publish(copy, "someone/links", MIT)


def test_what_a_region_store_does_not_take(client: Client, store: Any) -> None:
    details = CardDetails("mit", title="Regions", limits="Few.")
    plan = client(publish, store.path, "someone/untaken", details, evaluations=["nowhere"])
    assert "A region store's page does not take limits, evaluations." in plan.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--license", "mit"], "examples is empty"),
        (["--license", "mit", "--title", "x" * 61], "title must have 1 to 60 characters"),
        ([], "license is not given"),
    ],
)
def test_a_space_that_cannot_be_made_is_told_first(
    client: Client, hub: StandInHub, copy: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    space = ("--space", "someone/s", "--send")
    with pytest.raises(ValueError, match=message):
        client(clients.example, PROGRAM, str(tmp_path), str(copy), "someone/first", *options, *space)
    assert not [path for method, path in hub.requests if method == "POST"]


def test_options_go_with_the_licence_of_the_card(client: Client, copy: Path, tmp_path: Path) -> None:
    (copy / "README.md").write_text(with_mark("---\nlicense: mit\n---\n\n# Colours\n"))
    client(clients.example, PROGRAM, str(tmp_path), str(copy), "someone/own", "--title", "Shades", "--hours", "3")
    made = (tmp_path / "runs" / "publish" / "own" / "README.md").read_text()
    assert "# Shades" in made
    assert "Training took 3 hours." in made
