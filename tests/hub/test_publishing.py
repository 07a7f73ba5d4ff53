"""Checkpoints to the stand-in Hub and back, by the real client, and everything that can go wrong on the way."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from safetensors.torch import load_file, save_file

from lxmert import LxmertProcessor
from lxmert.hub import CardDetails, publish
from lxmert.hub.card_mark import is_edited
from tests.conftest import ROOT
from tests.hub import clients
from tests.hub.conftest import Client
from tests.hub.stand_in_hub import StandInHub

MIT = CardDetails("mit")
TOKEN = "hf_writer"
SENT = {"dry_run": False, "token": TOKEN}
QUESTION = "what color is it?"
CODE = {f"{part}_lxmert.py" for part in ("configuration", "modeling", "pipeline", "processing")}
FILES = {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "tokenizer_config.json"}
PAGE = FILES | CODE | {"README.md", "handler.py", "training_curve.png"}


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of one's own, without the run around it."""
    return shutil.copytree(checkpoint, tmp_path / "copy")


@pytest.fixture(scope="session")
def published(_hub: StandInHub, client: Client, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was made for the page of someone/colours, which is on the Hub now."""
    prepared = tmp_path_factory.mktemp("prepared")
    client(publish, checkpoint, "someone/colours", MIT, examples=[picture_of(checkpoint)], prepared=prepared, **SENT)
    return prepared


def picture_of(checkpoint: Path) -> tuple[str, str]:
    return str(checkpoint.parent / "pictures" / "25.png"), QUESTION


def change(checkpoint: Path) -> None:
    """Other weights, which no test has sent before."""
    file = checkpoint / "model.safetensors"
    shift = torch.rand((), generator=torch.Generator().manual_seed(len(str(file)) + sum(map(ord, str(file)))))
    weights = {name: tensor * (1.5 + shift) for name, tensor in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})


def writes(hub: StandInHub) -> list[str]:
    return [path for method, path in hub.requests if method in ("POST", "PUT") and path != "api/validate-yaml"]


def test_the_client_talks_to_the_stand_in(client: Client, hub: StandInHub) -> None:
    assert client(clients.endpoint) == (hub.url, True)


def test_a_dry_run_sends_nothing_and_shows_all(
    client: Client, hub: StandInHub, checkpoint: Path, tmp_path: Path
) -> None:
    plan = client(publish, checkpoint, "someone/dry", MIT, prepared=tmp_path)
    assert plan.sizes.keys() == PAGE
    assert plan.sizes["model.safetensors"] == (checkpoint / "model.safetensors").stat().st_size
    assert plan.sizes["README.md"] == (tmp_path / "README.md").stat().st_size
    assert not writes(hub)
    assert ("POST", "api/validate-yaml") in hub.requests
    assert "models/someone/dry" not in hub.repositories
    assert plan.commit_url is None
    shown = str(plan)
    assert f"{plan.sizes['model.safetensors']:,}  model.safetensors" in shown
    assert "(public model)" in shown
    assert "A dry run: nothing was sent." in shown


def test_one_commit_with_the_same_bytes(published: Path, hub: StandInHub, checkpoint: Path) -> None:
    repository = hub.repositories["models/someone/colours"]
    assert not repository.private
    assert repository.titles == ["initial commit", "Publish with lxmert"]
    assert repository.commits[repository.head].keys() == PAGE | {"widget/0.png", ".gitattributes"}
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        assert hub.read("models/someone/colours", name) == (checkpoint / name).read_bytes()
    for name in ("README.md", "config.json", "training_curve.png", *CODE):
        assert hub.read("models/someone/colours", name) == (published / name).read_bytes()


def test_what_is_downloaded_answers_alike(published: Path, client: Client, checkpoint: Path) -> None:
    picture, _ = picture_of(checkpoint)
    here, there = (client(clients.logits, str(name), picture, QUESTION) for name in (checkpoint, "someone/colours"))
    assert torch.equal(here, there)
    inputs = dict(LxmertProcessor.from_pretrained(checkpoint)(text=QUESTION, images=picture, return_tensors="pt"))
    torch.testing.assert_close(client(clients.stock_logits, "someone/colours", inputs), here, atol=1e-5, rtol=0)
    (cached,) = client(clients.cached_files, "models--someone--colours/snapshots/*/model.safetensors")
    assert Path(cached).read_bytes() == (checkpoint / "model.safetensors").read_bytes()


def test_the_snippets_of_the_card_run(published: Path, client: Client, checkpoint: Path, tmp_path: Path) -> None:
    shutil.copyfile(picture_of(checkpoint)[0], tmp_path / "picture.png")
    snippets = re.findall(r"```python\n(.*?)```", (published / "README.md").read_text(), re.DOTALL)
    assert len(snippets) == 3
    printed = [client(clients.run_code, snippet, str(tmp_path)) for snippet in snippets]
    answer = printed[0].strip()
    assert answer in ("red", "blue", "black")
    assert f"'answer': '{answer}'" in printed[1]
    assert printed[2].strip() in ("red", "blue", "black")
    widget = ModelCard.load(published / "README.md").data.widget
    assert widget[0]["output"][0]["label"] == answer
    assert widget[0]["src"] == "widget/0.png"


def test_a_revision_gives_what_was_published_then(client: Client, hub: StandInHub, copy: Path) -> None:
    picture = str(ROOT / "docs" / "images" / "three_boxes.png")
    client(publish, copy, "someone/twice", MIT, **SENT)
    first, before = hub.repositories["models/someone/twice"].head, client(clients.logits, str(copy), picture, QUESTION)
    change(copy)
    with pytest.raises(FileExistsError, match=r"someone/twice is on the Hub and holds 12 files; .*--update"):
        client(publish, copy, "someone/twice", MIT, **SENT)
    hub.edit("models/someone/twice", "model-00001-of-00002.safetensors", b"of a larger model")
    plan = client(publish, copy, "someone/twice", MIT, update=True, **SENT)
    assert plan.removed == ("model-00001-of-00002.safetensors",)
    assert "model-00001-of-00002.safetensors" not in hub.repositories["models/someone/twice"].files("main")
    after = client(clients.logits, "someone/twice", picture, QUESTION)
    assert not torch.allclose(before, after)
    assert torch.equal(client(clients.logits, "someone/twice", picture, QUESTION, revision=first), before)
    with pytest.raises(OSError, match="nowhere"):
        client(clients.logits, "someone/twice", picture, QUESTION, revision="nowhere")


def test_private_is_private(client: Client, hub: StandInHub, copy: Path) -> None:
    picture = str(ROOT / "docs" / "images" / "three_boxes.png")
    plan = client(publish, copy, "someone/hidden", MIT, private=True, **SENT)
    assert hub.repositories["models/someone/hidden"].private
    assert "(private model)" in str(plan)
    with pytest.raises(OSError, match="someone/hidden"):
        client(clients.logits, "someone/hidden", picture, QUESTION)
    here = client(clients.logits, str(copy), picture, QUESTION)
    assert torch.equal(client(clients.logits, "someone/hidden", picture, QUESTION, token=TOKEN), here)
    again = client(publish, copy, "someone/hidden", MIT, update=True, **SENT)
    assert again.private
    assert "It is private already and stays so." in again.notes


def test_a_public_repository_is_not_taken_for_private(client: Client, hub: StandInHub, copy: Path) -> None:
    client(publish, copy, "someone/open", MIT, **SENT)
    head = hub.repositories["models/someone/open"].head
    with pytest.raises(PermissionError, match="someone/open is public already.*nothing was published"):
        client(publish, copy, "someone/open", MIT, private=True, update=True, **SENT)
    assert hub.repositories["models/someone/open"].head == head


def test_a_card_edited_on_the_hub_stays(client: Client, hub: StandInHub, copy: Path) -> None:
    name = "models/someone/edited"
    client(publish, copy, "someone/edited", MIT, **SENT)
    made = hub.read(name, "README.md")
    edited = made.replace(b"## Limits", b"## Limits, as I know them")
    hub.edit(name, "README.md", edited)
    (copy / "LICENSE").write_text("what one may do")
    plan = client(publish, copy, "someone/edited", MIT, update=True, **SENT)
    assert hub.read(name, "README.md") == edited
    assert hub.read(name, "LICENSE") == b"what one may do"
    assert any("edited by a person and stays as it is" in note for note in plan.notes)
    client(publish, copy, "someone/edited", MIT, update=True, force=True, **SENT)
    assert hub.read(name, "README.md") == made
    client(publish, copy, "someone/edited", CardDetails("mit", title="Colours"), update=True, **SENT)
    assert b"# Colours" in hub.read(name, "README.md"), "a card of ours is replaced without asking"


def test_a_card_edited_here_is_published(client: Client, hub: StandInHub, copy: Path) -> None:
    card = copy / "README.md"
    text = card.read_text().replace("library_name", "license: mit\nlibrary_name") + "\nI wrote this.\n"
    card.write_text(text)
    plan = client(publish, copy, "someone/own-card", **SENT)
    assert hub.read("models/someone/own-card", "README.md") == text.encode()
    assert any("published as it is" in note for note in plan.notes)
    with pytest.raises(ValueError, match="names the licence mit, but license is 'apache-2.0'.*delete the file"):
        client(publish, copy, "someone/own-card", CardDetails("apache-2.0"))
    assert card.read_text() == text


def test_the_leaderboards_file(client: Client, hub: StandInHub, checkpoint: Path) -> None:
    details = CardDetails("mit", benchmark="someone/shapes:colour")
    client(publish, checkpoint, "someone/judged", details, **SENT)
    (entry,) = parse_eval_result_entries(yaml.safe_load(hub.read("models/someone/judged", ".eval_results/shapes.yaml")))
    report = json.loads((checkpoint.parent / "report" / "report.json").read_text())
    assert (entry.dataset_id, entry.task_id) == ("someone/shapes", "colour")
    assert entry.value == round(report["figures"]["accuracy"], 4)


@pytest.mark.parametrize(
    ("repo_id", "options", "kind", "message"),
    [
        ("someone/new", {"token": None}, PermissionError, "There is no token of the Hub.*hf auth login"),
        ("someone/new", {"token": "hf_wrong"}, PermissionError, "wants a valid token.*hf auth login"),
        ("else/new", {}, PermissionError, "may not do this with else/new.*namespace else.*name of your own"),
        ("reader/new", {"token": "hf_reader"}, PermissionError, "may not do this with reader/new"),
        ("new", {}, ValueError, "repo_id must be OWNER/NAME.*got 'new'"),
        ("someone/a--b", {}, ValueError, "repo_id must be OWNER/NAME.*got 'someone/a--b'"),
        ("someone/new", {"details": CardDetails("mitt")}, ValueError, "refuses the card.*must be one of.*got mitt"),
        ("someone/new", {"details": None}, ValueError, "license is not given: .*--license.*apache-2.0"),
        ("someone/new", {"evaluations": ["nowhere"]}, FileNotFoundError, "nowhere is not there: name a folder"),
    ],
)
def test_what_is_refused_in_one_line(
    client: Client, hub: StandInHub, copy: Path, repo_id: str, options: Any, kind: type, message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        client(publish, copy, repo_id, **({"details": MIT} | SENT | options))
    assert "\n" not in str(caught.value)
    assert f"models/{repo_id}" not in hub.repositories


def test_a_network_gone_in_the_middle_leaves_nothing_half(client: Client, hub: StandInHub, copy: Path) -> None:
    name = "models/someone/broken"
    change(copy)
    hub.trouble = lambda method, path: 0 if "/commit/" in path else None
    with pytest.raises(
        ConnectionError, match="the connection broke.*nothing was published. Run the same again"
    ) as caught:
        client(publish, copy, "someone/broken", MIT, **SENT)
    assert "\n" not in str(caught.value)
    assert hub.repositories[name].files("main").keys() == {".gitattributes"}
    assert any(path.startswith("lfs/") for path in writes(hub)), "it had begun"
    hub.trouble = lambda method, path: None
    hub.requests.clear()
    client(publish, copy, "someone/broken", MIT, **SENT)
    assert hub.read(name, "model.safetensors") == (copy / "model.safetensors").read_bytes()
    assert not any(path.startswith("lfs/") for path in writes(hub)), "what the Hub had received was sent twice"


def test_a_broken_upload_is_tried_again(client: Client, hub: StandInHub, copy: Path) -> None:
    change(copy)
    broken = []

    def once(method: str, path: str) -> int | None:
        if method == "PUT" and not broken:
            broken.append(path)
            return 0
        return None

    hub.trouble = once
    client(publish, copy, "someone/again", MIT, **SENT)
    assert writes(hub).count(broken[0]) == 2
    assert hub.read("models/someone/again", "model.safetensors") == (copy / "model.safetensors").read_bytes()


def test_a_change_meanwhile_is_not_run_over(client: Client, hub: StandInHub, copy: Path) -> None:
    name = "models/someone/busy"
    client(publish, copy, "someone/busy", MIT, **SENT)

    def edit(method: str, path: str) -> None:
        if path.endswith("/preupload/main") and hub.repositories[name].titles[-1] != "Update NOTES.md":
            hub.edit(name, "NOTES.md", b"mine")

    hub.trouble = edit
    (copy / "LICENSE").write_text("what one may do")
    with pytest.raises(FileExistsError, match="Somebody changed someone/busy meanwhile; nothing was published"):
        client(publish, copy, "someone/busy", MIT, update=True, **SENT)
    assert "LICENSE" not in hub.repositories[name].files("main")


def test_a_hub_that_fails(client: Client, hub: StandInHub, copy: Path) -> None:
    hub.trouble = lambda method, path: 501
    with pytest.raises(ConnectionError, match="The Hub fails or is busy.*nothing was published"):
        client(publish, copy, "someone/down", MIT, **SENT)
    plan = client(publish, copy, "someone/down", MIT)
    assert any("is not known" in note for note in plan.notes), "a dry run needs no Hub"


@pytest.mark.slow
def test_the_example(client: Client, hub: StandInHub, checkpoint: Path, tmp_path: Path) -> None:
    program = str(ROOT / "examples" / "7_publish_to_hub.py")
    command = (str(checkpoint), "someone/by-example", "--license", "mit", "--example", *picture_of(checkpoint))
    looked = client(clients.example, program, str(tmp_path), *command)
    assert "A dry run: nothing was sent." in looked
    card = (tmp_path / "runs" / "publish" / "by-example" / "README.md").read_text()
    assert not is_edited(card)
    with pytest.raises(PermissionError, match="no token"):
        client(clients.example, program, str(tmp_path), *command, "--send")
    assert "models/someone/by-example" not in hub.repositories
