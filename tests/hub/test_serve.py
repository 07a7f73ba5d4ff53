"""The server of a handler: many callers, callers that leave, and what keeps it from starting."""

import json
import shutil
import socket
import struct
import threading
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lxmert.hub import serve
from tests.conftest import ROOT

NLVR = ROOT / "checkpoints" / "nlvr"
CALLERS = 60


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """Answers each request with itself."""
    monkeypatch.setattr(serve, "_handler_of", lambda path: lambda data: data)
    server = serve.make_server("any")
    yield server
    server.server_close()


@pytest.fixture
def running(server: ThreadingHTTPServer) -> Iterator[tuple[str, int]]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield ("127.0.0.1", server.server_address[1])
    server.shutdown()
    thread.join()


def test_callers_wait_until_they_are_let_in(server: ThreadingHTTPServer) -> None:
    """Before the server takes the first, all have been connected."""
    address = ("127.0.0.1", server.server_address[1])
    callers = [socket.create_connection(address, timeout=0.5) for _ in range(CALLERS)]
    for caller in callers:
        caller.close()


@pytest.mark.parametrize("length", ["9" * 5000, "9" * 30, str(4 * serve.MOST_BYTES + 1)])
def test_any_length_gets_an_answer(length: str, running: tuple[str, int]) -> None:
    with socket.create_connection(running, timeout=10) as caller:
        caller.sendall(f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
        assert b" 413 " in caller.makefile("rb").readline()


def test_a_caller_that_leaves_is_one_line_in_the_log(
    running: tuple[str, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = threading.Event()
    finish = ThreadingHTTPServer.shutdown_request

    def finished(self: ThreadingHTTPServer, request: Any) -> None:
        finish(self, request)
        done.set()

    monkeypatch.setattr(ThreadingHTTPServer, "shutdown_request", finished)
    caller = socket.create_connection(running)
    caller.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
    caller.close()
    assert done.wait(10)
    log = capsys.readouterr().err
    assert "127.0.0.1 left before the answer (ConnectionResetError)" in log
    assert "Traceback" not in log
    request = urllib.request.Request(f"http://127.0.0.1:{running[1]}", json.dumps([1]).encode())
    with urllib.request.urlopen(request) as response:
        assert json.load(response) == [1]


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, Path]:
    """Folders that cannot be served."""
    folders = {name: tmp_path / name for name in ("empty", "weightless", "other")}
    folders["empty"].mkdir()
    shutil.copytree(NLVR, folders["other"])
    shutil.copytree(NLVR, folders["weightless"], ignore=shutil.ignore_patterns("*.safetensors"))
    settings = json.loads((NLVR / "config.json").read_text())
    settings["model_type"] = "no such type"
    (folders["other"] / "config.json").write_text(json.dumps(settings))
    return folders | {"absent": tmp_path / "absent"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "is no folder on this machine. Give a folder"),
        ("empty", "holds no model: it has no config.json. Give a folder"),
        ("weightless", "holds no weights. Give the whole folder"),
        ("other", "cannot be loaded: .*Give a folder that answers questions"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    name: str, words: str, broken: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["serve", str(broken[name]), "--port", "0"])
    with pytest.raises(SystemExit, match=words) as caught:
        serve.main()
    assert str(caught.value).count("\n") == 0
    assert str(broken[name]) in str(caught.value)


def test_a_port_that_is_taken_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_handler_of", lambda path: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (taken.getsockname()[1], 70_000):
            monkeypatch.setattr("sys.argv", ["serve", "any", "--port", str(port)])
            with pytest.raises(SystemExit, match=rf"^Cannot listen at 127.0.0.1, port {port}: .*[^.]\. Give another"):
                serve.main()


def test_help_says_that_code_is_executed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["serve", "--help"])
    with pytest.raises(SystemExit):
        serve.main()
    assert "a handler.py in it is executed" in capsys.readouterr().out
