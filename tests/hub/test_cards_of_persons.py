"""Cards that a person edited, here, on the Hub, in the prepared folder: none is lost, none lacks its pictures."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from lxmert.hub import CardDetails, license_of, publish, publish_space
from lxmert.hub.card_mark import as_copy, is_edited, is_intact, with_mark
from tests.hub.conftest import Client
from tests.hub.stand_in_hub import StandInHub

MIT = CardDetails("mit")
SENT = {"dry_run": False, "token": "hf_writer"}
OWN = "---\nlicense: mit\n---\n\n# Mine\n\n![](training_curve.png)\n"
QUESTION = "what color is it?"


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of one's own, with the run's history beside it."""
    shutil.copyfile(checkpoint.parent / "history.json", tmp_path / "history.json")
    return shutil.copytree(checkpoint, tmp_path / "best")


def picture_of(checkpoint: Path, number: int = 25) -> tuple[str, str]:
    return str(checkpoint.parent / "pictures" / f"{number}.png"), QUESTION


@pytest.mark.parametrize("inside", ["", "page"])
def test_the_checkpoints_folder_is_not_written_to(copy: Path, inside: str) -> None:
    (copy / "README.md").write_text(OWN)
    before = {path: path.read_bytes() for path in copy.iterdir()}
    with pytest.raises(ValueError, match="prepared must be a folder of its own"):
        publish(copy, "someone/own", MIT, prepared=copy / ".." / copy.name / inside)
    with pytest.raises(ValueError, match="prepared must be a folder of its own"):
        publish_space("someone/ask", "someone/own", MIT, "nlvr", prepared=copy / "space")
    assert {path: path.read_bytes() for path in copy.iterdir()} == before


def test_a_card_edited_in_the_prepared_folder_is_not_lost(client: Client, copy: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    for _ in range(2):
        client(publish, copy, "someone/prepared", MIT, prepared=page)
    edited = (page / "README.md").read_text().replace("## Limits", "## Limits, as I know them")
    (page / "README.md").write_text(edited)
    with pytest.raises(FileExistsError, match="README.md was edited by a person.*overwritten.*move it into"):
        client(publish, copy, "someone/prepared", MIT, prepared=page)
    assert (page / "README.md").read_text() == edited
    shutil.move(page / "README.md", copy / "README.md")
    plan = client(publish, copy, "someone/prepared", MIT, prepared=page)
    assert any("published as it is" in note for note in plan.notes)
    assert (page / "README.md").read_text().startswith(edited.rstrip())
    (copy / "README.md").write_text(edited + "\nAnd more.\n")
    client(publish, copy, "someone/prepared", MIT, prepared=page)
    assert "And more." in (page / "README.md").read_text()


def test_a_copy_is_known_and_is_still_a_persons_card() -> None:
    assert is_intact(with_mark(OWN))
    assert is_intact(as_copy(OWN))
    assert is_edited(as_copy(OWN))
    assert not is_intact(as_copy(OWN).replace("Mine", "Ours"))
    assert not is_intact(OWN)


def test_a_card_edited_here_replaces_one_edited_there(client: Client, hub: StandInHub, copy: Path) -> None:
    name = "models/someone/corrected"
    (copy / "README.md").write_text(OWN)
    client(publish, copy, "someone/corrected", MIT, **SENT)
    (copy / "README.md").write_text(OWN.replace("# Mine", "# Mine, corrected"))
    plan = client(publish, copy, "someone/corrected", MIT, update=True, **SENT)
    assert any("--force" in note for note in plan.notes)
    assert hub.read(name, "README.md") == OWN.encode()
    (copy.parent / "history.json").unlink()
    plan = client(publish, copy, "someone/corrected", MIT, update=True, force=True, **SENT)
    assert hub.read(name, "README.md") == (copy / "README.md").read_bytes()
    assert not plan.removed, "the curve, which the card shows"


def test_pictures_of_a_card_kept_on_the_hub_stay(client: Client, hub: StandInHub, copy: Path, checkpoint: Path) -> None:
    name = "models/someone/pictures"
    examples = [picture_of(checkpoint, number) for number in (25, 26)]
    client(publish, copy, "someone/pictures", MIT, examples=examples, **SENT)
    before = {path: hub.read(name, path) for path in ("widget/0.png", "widget/1.png", "training_curve.png")}
    hub.edit(name, "README.md", hub.read(name, "README.md") + b"\nMine.\n")
    (copy / "LICENSE").write_text("what one may do")
    plan = client(publish, copy, "someone/pictures", MIT, examples=[picture_of(checkpoint, 27)], update=True, **SENT)
    assert not plan.removed
    assert {path: hub.read(name, path) for path in before} == before
    assert hub.read(name, "LICENSE") == b"what one may do"


def test_a_card_on_the_hub_in_another_encoding_stays(client: Client, hub: StandInHub, copy: Path) -> None:
    client(publish, copy, "someone/latin", MIT, **SENT)
    hub.edit("models/someone/latin", "README.md", "# Größe".encode("latin-1"))
    (copy / "LICENSE").write_text("what one may do")
    client(publish, copy, "someone/latin", MIT, update=True, **SENT)
    assert hub.read("models/someone/latin", "README.md") == "# Größe".encode("latin-1")
    assert hub.read("models/someone/latin", "LICENSE") == b"what one may do"


def test_what_a_kept_card_does_not_show_stays_here(client: Client, copy: Path, checkpoint: Path) -> None:
    (copy / "README.md").write_text(OWN)
    details = CardDetails("mit", title="Colours", language="de")
    plan = client(publish, copy, "someone/kept", details, examples=[picture_of(checkpoint)])
    assert "training_curve.png" in plan.files
    assert "widget/0.png" not in plan.files
    assert any("does not take what was given as title, language, examples." in note for note in plan.notes)
    assert any("--evaluation" in note for note in plan.notes), "the other notes are kept"


def test_what_an_earlier_publication_left_goes(client: Client, hub: StandInHub, copy: Path, checkpoint: Path) -> None:
    name = "models/someone/left"
    client(publish, copy, "someone/left", MIT, examples=[picture_of(checkpoint)], **SENT)
    for path in ("vocab.txt", "LICENSE", "NOTES.md"):
        hub.edit(name, path, b"here before")
    (copy.parent / "history.json").unlink()
    plan = client(publish, copy, "someone/left", MIT, update=True, **SENT)
    assert plan.removed == ("training_curve.png", "vocab.txt", "widget/0.png")
    assert {"LICENSE", "NOTES.md"} <= hub.repositories[name].files("main").keys()  # type: ignore[union-attr]


def test_pictures_tell_nothing_but_their_pixels(client: Client, hub: StandInHub, copy: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    Image.new("RGB", (1200, 900), "white").save(tmp_path / "photo.JPEG", exif=exif)
    Image.open(tmp_path / "photo.JPEG").crop((0, 0, 900, 900)).save(tmp_path / "photo.JPEG", exif=exif)
    client(publish, copy, "someone/photo", MIT, examples=[(tmp_path / "photo.JPEG", QUESTION)], **SENT)
    (tmp_path / "back.png").write_bytes(hub.read("models/someone/photo", "widget/0.png"))
    with Image.open(tmp_path / "back.png") as back:
        assert (back.format, back.size, dict(back.getexif())) == ("PNG", (640, 640), {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"---\nlicense: [mit\n---\n\n# Mine\n", "The metadata at the head of .*README.md cannot be read"),
        (b"---\n- mit\n---\n\n# Mine\n", "The metadata at the head of .*README.md cannot be read"),
        ("---\nlicense: mit\n---\n\n# Größe\n".encode("latin-1"), "README.md is not in UTF-8"),
    ],
)
def test_a_card_that_cannot_be_read(copy: Path, content: bytes, message: str) -> None:
    (copy / "README.md").write_bytes(content)
    for details in (None, MIT):
        with pytest.raises(ValueError, match=message) as caught:
            publish(copy, "someone/unreadable", details)
        assert "\n" not in str(caught.value)


def test_the_licence_of_a_folder(copy: Path) -> None:
    assert license_of(copy) == ""
    (copy / "README.md").write_text(OWN)
    assert license_of(copy) == "mit"
