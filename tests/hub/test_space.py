"""The Space in a real browser: a picture goes in, an answer and its reasons come out, nothing leaves the machine."""

import importlib.util
import os
import re
import runpy
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lxmert.hub.space_folder import write_space
from tests.browser import SCREENSHOTS, needs_chromium
from tests.conftest import ROOT

BOXES = ROOT / "docs" / "images" / "three_boxes.png"
NLVR = ROOT / "checkpoints" / "nlvr"
SENTENCE, FALSE = "There is a box with two yellow circles.", "There is no black triangle."
PATIENCE = 60_000  # milliseconds, on a busy machine

pytestmark = [
    needs_chromium,
    pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="pip install gradio==6.31.0"),
]

# Runs the app and writes down every name that it looks up and every address that it connects to.
WATCHED = """
import runpy, socket
look_up, connect = socket.getaddrinfo, socket.socket.connect
def watched_look_up(host, *rest, **more):
    print("ASKED", host, flush=True)
    return look_up(host, *rest, **more)
def watched_connect(self, address):
    print("ASKED", address[0] if isinstance(address, tuple) else "127.0.0.1", flush=True)
    return connect(self, address)
socket.getaddrinfo, socket.socket.connect = watched_look_up, watched_connect
runpy.run_path("app.py", run_name="__main__")
"""
HERE = {"127.0.0.1", "localhost", "0.0.0.0", "::1", "None"}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the Space of `checkpoints/nlvr`, as it would lie on the Hub."""
    folder = write_space(tmp_path_factory.mktemp("space") / "files", str(NLVR), "nlvr")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder.parent / "log.txt"
    given = {"GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": str(folder.parent / "cache")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO")} | given
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", WATCHED], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(url)
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait()
    text = log.read_text()
    # gradio itself opens each file first, and writes into the log what it cannot open
    errors = set(re.findall(r"^([\w.]+(?:Error|Exception))\b", text, re.MULTILINE))
    assert errors <= {"PIL.UnidentifiedImageError", "gradio.exceptions.ComponentProcessingError"}, text
    assert set(re.findall(r"^ASKED (\S+)$", text, re.MULTILINE)) <= HERE


class Visit:
    """A page of the Space, and what a visitor does there."""

    def __init__(self, page: Any):
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def upload(self, content: Any) -> None:
        """Put a file into the picture box, in place of what is there."""
        self.page.locator("#picture [aria-label=Clear], #picture [aria-label='Remove Image']").first.click()
        self.page.locator("#picture input[type=file]").set_input_files(content)
        self.page.wait_for_selector("#picture img")

    def ask(self, question: str) -> None:
        """Type the question and press the button."""
        self.page.locator("#question textarea").fill(question)
        self.page.locator("#ask").click()

    def answers(self, best: str) -> dict[str, float]:
        """Answers with their percentages, once this one is the best."""
        self.page.wait_for_selector(f".bar.best .name:text-is('{best}')")
        names = self.page.locator(".bar .name").all_inner_texts()
        shares = self.page.locator(".bar .share").all_inner_texts()
        return {name: float(share.rstrip("%")) for name, share in zip(names, shares, strict=True)}

    def words(self) -> dict[str, float]:
        """Each word with its share of colour."""
        found = self.page.eval_on_selector_all(
            ".word", "all => all.map(one => [one.innerText, +getComputedStyle(one).getPropertyValue('--share')])"
        )
        return dict(found)

    def is_told(self, words: str) -> bool:
        """Whether a message with these words appears, and nothing else."""
        self.page.wait_for_selector(f"#answers .message:has-text('{words}')")
        return not self.page.locator("#why").is_visible()


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browser: Any, space: str) -> Iterator[Visitor]:
    """Opens the Space; it must ask no other machine and have no errors."""
    visits: list[Visit] = []

    def open_page(width: int = 1280, height: int = 1000, scheme: str = "light") -> Visit:
        visit = Visit(browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme))
        visits.append(visit)
        visit.page.goto(space)
        visit.answers("true")
        visit.page.wait_for_selector("#seen img")
        return visit

    yield open_page
    for one in visits:
        assert [url for url in one.requests if not url.startswith((space, "data:", "blob:"))] == []
        assert one.complaints == []
        one.page.close()


def test_answers_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session's last answer holds regions and relevances: for a while, and for so many sessions."""
    gradio = pytest.importorskip("gradio")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # the app sets its own
    monkeypatch.setenv("LXMERT_MODEL", str(NLVR))
    monkeypatch.syspath_prepend(str(ROOT / "hub" / "space"))
    launched: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(gradio.Blocks, "launch", lambda page, **settings: launched.append((page, settings)))
    app = runpy.run_path(str(ROOT / "hub" / "space" / "app.py"), run_name="app")
    app["main"]()
    page, settings = launched[0]
    states = [block for block in page.blocks.values() if isinstance(block, gradio.State)]
    assert [state.time_to_live for state in states if state.value is None] == [900]
    assert settings["state_session_capacity"] == 200
    said, *rest = app["Demo"].choose(None, None, "true")
    assert "no longer kept. Press Ask once more" in said
    assert rest == ["", None]


def test_the_first_example_is_answered_already(visit: Visitor) -> None:
    opened = visit()
    assert opened.page.title() == "Ask a picture"
    shares = opened.answers("true")
    assert shares["true"] > 90
    assert sum(shares.values()) == pytest.approx(100, abs=0.2)
    assert opened.page.locator("#question textarea").input_value() == SENTENCE


def test_a_picture_is_uploaded_asked_about_and_explained(visit: Visitor) -> None:
    opened = visit()
    opened.upload(BOXES)
    opened.ask(FALSE)
    shares = opened.answers("false")
    assert shares["false"] > 90
    opened.page.wait_for_selector("h3:text-is('Why “false”?')")
    words = opened.words()
    assert list(words) == ["There", "is", "no", "black", "triangle", "."]
    assert max(words.values()) == 1
    assert max(words, key=lambda word: words[word]) in ("no", "black", "triangle")
    regions = opened.page.locator(".regions li").all_inner_texts()
    assert any(region.startswith("black triangle") for region in regions)
    source = opened.page.locator("#seen img").get_attribute("src")
    with urllib.request.urlopen(source) as file, Image.open(file) as drawn:
        colours = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    assert drawn.size == (900, 225)
    assert len(np.unique(colours, axis=0)) > 50, "outlines and shades"
    opened.page.locator("#choice label", has_text="true").click()
    opened.page.wait_for_selector("h3:text-is('Why “true”?')")
    assert opened.words() != words
    opened.page.screenshot(path=SCREENSHOTS / "space_light.png", full_page=True)


def test_examples_are_a_click_away(visit: Visitor) -> None:
    opened = visit()
    opened.page.locator("#examples tr", has_text="There is a blue square touching the base.").click()
    assert opened.answers("false")["false"] > 90
    assert "blue square" in opened.page.locator("#question textarea").input_value()
    opened.page.wait_for_selector("h3:text-is('Why “false”?')")


def test_questions_that_cannot_be_answered_get_a_message(visit: Visitor) -> None:
    opened = visit()
    for question, words in (
        ("   ", "What would you like to know?"),
        ("a " * 100, "this model reads 64 word pieces, these are 102"),
        ("\u200b", "What would you like to know?"),
        ("a" * 301, "at most 300 characters; these are 301"),
    ):
        opened.ask(question)
        assert opened.is_told(words)
    opened.ask(SENTENCE)
    assert opened.answers("true")["true"] > 90
    opened.page.wait_for_selector("#why", state="visible")


def test_files_that_are_no_pictures_get_a_message(visit: Visitor, tmp_path: Path) -> None:
    opened = visit()
    half = BOXES.read_bytes()[:500]
    opened.upload({"name": "half.png", "mimeType": "image/png", "buffer": half})
    opened.ask(SENTENCE)
    assert opened.is_told("cannot be read as a picture")
    opened.page.screenshot(path=SCREENSHOTS / "space_message.png", full_page=True)
    opened.page.reload()
    opened.answers("true")
    opened.upload({"name": "text.png", "mimeType": "image/png", "buffer": b"no picture at all"})
    opened.ask(SENTENCE)
    assert opened.is_told("cannot be read as a picture")
    opened.page.screenshot(path=SCREENSHOTS / "space_no_picture.png", full_page=True)
    Image.new("1", (6000, 5000)).save(tmp_path / "large.png")
    opened.upload(tmp_path / "large.png")
    opened.ask(SENTENCE)
    assert opened.is_told("too large: at most 25 million pixels")
    opened.upload(BOXES)
    opened.ask(SENTENCE)
    assert opened.answers("true")["true"] > 90


def test_texts_are_shown_as_they_stand(visit: Visitor) -> None:
    opened = visit()
    opened.ask("There is <img src=x onerror='window.broken=1'> a box.")
    opened.page.wait_for_selector(".word:text-is('onerror')")
    assert opened.page.evaluate("window.broken") is None
    assert opened.page.locator(".words img").count() == 0


def test_without_a_picture_it_says_what_to_do(visit: Visitor) -> None:
    opened = visit()
    opened.page.locator("#picture [aria-label=Clear], #picture [aria-label='Remove Image']").first.click()
    opened.ask(SENTENCE)
    assert opened.is_told("Drop a picture")


def test_narrow_screens_scroll_down_only(visit: Visitor) -> None:
    opened = visit(390, 844)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    ask, answers, examples = (
        opened.page.locator(name).bounding_box()["y"] for name in ("#ask", "#answers", "#examples")
    )
    assert ask < answers < examples
    assert opened.page.locator("#seen img").bounding_box()["width"] > 280
    opened.page.screenshot(path=SCREENSHOTS / "space_narrow.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(scheme: str, visit: Visitor) -> None:
    opened = visit(scheme=scheme)
    opened.page.screenshot(path=SCREENSHOTS / f"space_{scheme}.png", full_page=True)
    pairs = opened.page.eval_on_selector_all(
        "header h1, header p, .bar .name, .bar .share, #words h3, p.told, .word, .regions li, #choice label span",
        """all => all.filter(one => one.checkVisibility() && one.innerText.trim()).map(one => {
            const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
            const rgb = (colour) => {
                canvas.clearRect(0, 0, 1, 1);
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
            };
            let behind = one;
            while (rgb(getComputedStyle(behind).backgroundColor)[3] < 255 && behind.parentElement)
                behind = behind.parentElement;
            return [rgb(getComputedStyle(one).color), rgb(getComputedStyle(behind).backgroundColor), one.innerText];
        })""",
    )
    assert len(pairs) > 15
    for text, behind, name in pairs:
        light, dark = sorted(map(luminance, (text, behind)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, text, behind)


def luminance(colour: list[int]) -> float:
    """Relative luminance of WCAG 2."""
    parts = np.array(colour[:3]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
