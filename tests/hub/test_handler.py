"""The endpoint's handler, asked over HTTP by the client that people have, and by people who mean no good."""

import base64
import io
import json
import re
import shutil
import struct
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError as ClientError
from PIL import Image

from lxmert.hub import handler
from lxmert.hub.handler import BadRequestError, EndpointHandler
from lxmert.hub.serve import MOST_BYTES, make_server
from tests.conftest import ROOT

NLVR = ROOT / "checkpoints" / "nlvr"
BOXES = ROOT / "docs" / "images" / "three_boxes.png"
SENTENCE, OTHER = "There is a box with two yellow circles.", "There is no black triangle."
ENCODED = base64.b64encode(BOXES.read_bytes()).decode()
GOOD = {"inputs": {"image": ENCODED, "question": SENTENCE}}


@pytest.fixture(scope="module")
def answer() -> EndpointHandler:
    return EndpointHandler(str(NLVR))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = make_server(NLVR)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def post(url: str, body: bytes) -> tuple[int, Any]:
    """Status and content of the answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose head speaks of so many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> InferenceClient:
    """As in a program that may go online; it asks this machine only."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return InferenceClient(model=url)


@pytest.mark.parametrize("image", [str(BOXES), BOXES.read_bytes()], ids=["path", "bytes"])
def test_the_client_of_the_hub_is_answered(image: Any, client: InferenceClient) -> None:
    found = client.visual_question_answering(image, SENTENCE)
    assert [one.answer for one in found] == ["true", "false"]
    assert found[0].score > 0.9
    assert sum(one.score for one in found) == pytest.approx(1, abs=1e-4)
    found = client.visual_question_answering(image, OTHER, top_k=1)
    assert [one.answer for one in found] == ["false"]


def test_the_nested_form_is_answered(url: str) -> None:
    status, found = post(url, json.dumps(GOOD | {"parameters": {"top_k": 1}}).encode())
    assert status == 200
    assert [one["answer"] for one in found] == ["true"]
    many = {"inputs": {"image": f"data:image/png;base64,{ENCODED}", "question": [SENTENCE, OTHER]}}
    status, found = post(url, json.dumps(many).encode())
    assert [one[0]["answer"] for one in found] == ["true", "false"]
    status, found = post(url, json.dumps(GOOD | {"parameters": {"top_k": 1, "explain": True}}).encode())
    words = found[0]["words"]
    assert max(words, key=lambda one: one["score"])["word"] == "circles"
    assert found[0]["regions"][0]["box"].keys() == {"xmin", "ymin", "xmax", "ymax"}


def test_a_picture_that_the_toolkit_has_decoded_is_taken(answer: EndpointHandler) -> None:
    assert answer({"inputs": Image.open(BOXES), "question": SENTENCE})[0]["answer"] == "true"
    assert answer({"inputs": {"image": Image.open(BOXES), "question": SENTENCE}})[0]["answer"] == "true"


BAD: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "There is no question.*Send"),
    "a list": ([1, 2], "must be a JSON object"),
    "a text": ("hello", "must be a JSON object"),
    "no image": ({"inputs": {"question": SENTENCE}}, "There is no image.*Send"),
    "no question": ({"inputs": {"image": ENCODED}}, "There is no question.*Send"),
    "an empty question": ({"inputs": {"image": ENCODED, "question": "  "}}, "question is empty"),
    "half a character": ({"inputs": {"image": ENCODED, "question": "\ud800?"}}, "half a surrogate pair.*ud800"),
    "a number as question": ({"inputs": {"image": ENCODED, "question": 5}}, "must be a text or a list of texts, got 5"),
    "no questions": ({"inputs": {"image": ENCODED, "question": []}}, "1 to 32 questions, got 0"),
    "many questions": ({"inputs": {"image": ENCODED, "question": ["a?"] * 33}}, "1 to 32 questions, got 33"),
    "a long question": ({"inputs": {"image": ENCODED, "question": "a" * 501}}, "at most 500 characters, got 501"),
    "many words": ({"inputs": {"image": ENCODED, "question": "a " * 100}}, "102 tokens.*the limit is 64"),
    "no words": ({"inputs": {"image": ENCODED, "question": "\u200b"}}, "without a token"),
    "an unknown key": ({"inputs": {"img": ENCODED, "question": SENTENCE}}, "Unknown keys: 'img' in \"inputs\""),
    "a question in two places": (GOOD | {"question": OTHER, "foo": 1}, "'foo', 'question' beside \"inputs\""),
    "parameters inside": (
        {"inputs": {"image": ENCODED, "question": SENTENCE, "parameters": {"top_k": 1}}},
        "'parameters' in \"inputs\"; known there are image, question",
    ),
    "an unknown key of the flat form": (
        {"inputs": ENCODED, "question": SENTENCE, "top_k": 1},
        "'top_k' in the request",
    ),
    "an address": (
        {"inputs": {"image": "https://example.org/a.png", "question": SENTENCE}},
        "addresses are not fetched",
    ),
    "an address of this machine": (
        {"inputs": "http://169.254.169.254/latest", "question": SENTENCE},
        "addresses are not fetched",
    ),
    "a file address": ({"inputs": {"image": "file:///etc/passwd", "question": SENTENCE}}, "paths are not opened"),
    "a path": ({"inputs": {"image": str(BOXES), "question": SENTENCE}}, "paths are not opened"),
    "a path that is base64": (
        {"inputs": {"image": "/etc/passwd0", "question": SENTENCE}},
        "no picture that can be read",
    ),
    "a list of images": ({"inputs": {"image": [ENCODED], "question": SENTENCE}}, "There is no image"),
    "no base64": ({"inputs": {"image": "ä" * 20, "question": SENTENCE}}, "must be an image file as base64"),
    "no picture": ({"inputs": {"image": encoded(b"hello there"), "question": SENTENCE}}, "no picture that can be read"),
    "half a picture": (
        {"inputs": {"image": encoded(BOXES.read_bytes()[:300]), "question": SENTENCE}},
        "No image can be read from image: .*truncated",
    ),
    "a picture's first bytes": (
        {"inputs": {"image": encoded(BOXES.read_bytes()[:20]), "question": SENTENCE}},
        "no picture that can be read: it is none of PNG.* or broken or cut off",
    ),
    "PostScript": (
        {"inputs": {"image": encoded(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "question": SENTENCE}},
        "no picture that can be read",
    ),
    "many pixels": (
        {"inputs": {"image": encoded(png_that_claims(9000, 9000)), "question": SENTENCE}},
        "9000 x 9000 pixels: send one of at most 25,000,000",
    ),
    "a bomb": (
        {"inputs": {"image": encoded(png_that_claims(60000, 60000)), "question": SENTENCE}},
        "more than 25,000,000 pixels",
    ),
    "a long picture": (
        {"inputs": {"image": encoded(png_that_claims(20000, 1)), "question": SENTENCE}},
        "10,000 a side",
    ),
    "few bytes for the pixels": (
        {"inputs": {"image": encoded(png_that_claims(3000, 3000)), "question": SENTENCE}},
        "No image can be read from image",
    ),
    "many bytes": ({"inputs": {"image": "A" * 14_000_000, "question": SENTENCE}}, "larger than 10 MiB"),
    "parameters as a list": (GOOD | {"parameters": [1]}, "parameters must be an object"),
    "an unknown parameter": (
        GOOD | {"parameters": {"topk": 1}},
        "Unknown parameters: 'topk'; known are top_k, explain",
    ),
    "no answers": (GOOD | {"parameters": {"top_k": 0}}, "top_k must be a whole number from 1"),
    "top_k as a text": (GOOD | {"parameters": {"top_k": "5"}}, "top_k must be a whole number.*got '5'"),
    "top_k as true": (GOOD | {"parameters": {"top_k": True}}, "top_k must be a whole number"),
    "very many answers": (GOOD | {"parameters": {"top_k": 10**9}}, "top_k must be a whole number"),
    "many explanations": (
        {"inputs": {"image": ENCODED, "question": [SENTENCE] * 17}, "parameters": {"top_k": 2, "explain": True}},
        "top_k times the number of questions may be 32 at most, got 2 x 17",
    ),
    "explain as a text": (GOOD | {"parameters": {"explain": "yes"}}, "explain must be true or false"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_told_why_and_the_next_is_answered(name: str, answer: EndpointHandler) -> None:
    request, words = BAD[name]
    with pytest.raises(BadRequestError, match=words) as caught:
        answer(request)
    assert len(str(caught.value)) < 600
    assert "Traceback" not in str(caught.value)
    assert "/etc/passwd\n" not in str(caught.value)
    assert answer(GOOD)[0]["answer"] == "true"


def test_one_answer_is_explained_unless_more_are_asked_for(answer: EndpointHandler) -> None:
    assert len(answer(GOOD | {"parameters": {"explain": True}})) == 1
    assert len(answer(GOOD | {"parameters": {"explain": False}})) == 2
    assert len(answer(GOOD | {"parameters": {"explain": True, "top_k": 2}})) == 2


def test_bad_requests_over_the_wire_are_told_why(url: str, client: InferenceClient) -> None:
    for request, words in (BAD["a path"], BAD["a bomb"], BAD["a text"], BAD["half a picture"]):
        status, found = post(url, json.dumps(request).encode())
        assert status == 400
        assert found.keys() == {"error"}
        assert re.search(words, found["error"])
        assert "Traceback" not in found["error"]
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        status, found = post(url, body)
        assert (status, list(found)) == (400, ["error"])
    status, found = post(url, b" " * (MOST_BYTES + 1))
    assert status == 413
    assert "larger than" in found["error"]
    with pytest.raises(ClientError, match="no picture that can be read"):
        client.visual_question_answering(b"no picture", SENTENCE)
    status, found = post(url, json.dumps(GOOD).encode())
    assert status == 200


def test_what_goes_wrong_inside_is_not_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret /home/path")

    monkeypatch.setattr(handler, "_checked_parameters", broken)
    status, found = post(url, json.dumps(GOOD).encode())
    assert status == 500
    assert "secret" not in found["error"]
    monkeypatch.undo()
    assert post(url, json.dumps(GOOD).encode())[0] == 200


def test_the_server_says_that_it_is_there(url: str) -> None:
    with urllib.request.urlopen(url) as response:
        assert json.load(response) == {"status": "ok"}


def test_the_handler_of_the_repository_answers(tmp_path: Path) -> None:
    """The file stands on its own: copied beside a checkpoint it is what is run."""
    folder = tmp_path / "model"
    shutil.copytree(NLVR, folder)
    source = Path(handler.__file__).read_text()
    (folder / "handler.py").write_text(source.replace("MAX_CHARACTERS = 500", "MAX_CHARACTERS = 20"))
    server = make_server(folder)
    server.server_close()
    requests: Any = server.RequestHandlerClass
    own = next(cell.cell_contents for cell in requests.do_POST.__closure__ if hasattr(cell.cell_contents, "pipeline"))
    with pytest.raises(ValueError, match="at most 20 characters"):
        own(GOOD)
    short = {"inputs": {"image": ENCODED, "question": "There is a circle."}}
    assert own(short)[0]["answer"] == "true"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP"])
def test_common_formats_are_read(kind: str, answer: EndpointHandler) -> None:
    file = io.BytesIO()
    Image.open(BOXES).convert("RGB").save(file, kind, quality=95)
    request = {"inputs": {"image": encoded(file.getvalue()), "question": SENTENCE}}
    assert {one["answer"] for one in answer(request)} == {"true", "false"}
