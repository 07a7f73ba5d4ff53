"""A stand-in for the Hub: an HTTP server that speaks the routes of huggingface_hub 2.4 and keeps what it gets on disk.

Each repository is a history of commits, each a table from paths to blobs. Files of 1 KB and more go the LFS way, others
inside the commit, so that small models take both. `stand_in_routes` answers; `trouble` stands for what goes wrong.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Blob:
    """One file of a commit."""

    sha256: str
    git_id: str
    size: int
    lfs: bool


@dataclass
class Repository:
    """A repository and its history; the newest commit is main."""

    private: bool
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def add(self, files: dict[str, Blob], title: str) -> str:
        oid = hashlib.sha1(json.dumps([len(self.commits), title, sorted(files)]).encode()).hexdigest()
        self.commits[oid] = files
        self.titles.append(title)
        return oid

    def files(self, revision: str) -> dict[str, Blob] | None:
        return self.commits.get(self.head if revision == "main" else revision)


class StandInHub:
    """The server; a context manager.

    Args:
        folder: for what it gets.
        handler: of requests, `stand_in_routes.Handler`.

    Attributes:
        repositories: by kind and name, such as "models/someone/lxmert".
        requests: method and path of all that was asked.
        trouble: called with method and path before a request is served; what it returns (a status) is answered
            instead, and 0 breaks the connection.
    """

    def __init__(self, folder: Path, handler: type[BaseHTTPRequestHandler]):
        self.folder = folder
        (folder / "blobs").mkdir(parents=True)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.trouble: Callable[[str, str], int | None] = lambda method, path: None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        # Large files come from another host, as on the Hub: the client must not send its token there.
        self.cdn = f"http://localhost:{self.server.server_port}/cdn"

    def __enter__(self) -> "StandInHub":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def keep(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs" / sha256).write_bytes(content)
        return sha256

    def blob(self, content: bytes, lfs: bool) -> Blob:
        git_id = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return Blob(self.keep(content), git_id, len(content), lfs)

    def content(self, sha256: str) -> bytes | None:
        path = self.folder / "blobs" / sha256
        return path.read_bytes() if path.is_file() else None

    def read(self, name: str, path: str) -> bytes:
        """A file of a repository's main branch."""
        repository = self.repositories[name]
        content = self.content(repository.commits[repository.head][path].sha256)
        assert content is not None
        return content

    def edit(self, name: str, path: str, content: bytes) -> None:
        """Change a file as a person does in the browser."""
        repository = self.repositories[name]
        files = repository.commits[repository.head] | {path: self.blob(content, False)}
        repository.add(files, f"Update {path}")
