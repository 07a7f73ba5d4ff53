"""The routes of the stand-in Hub, one request at a time."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub.stand_in_hub import Blob, Repository, StandInHub

USERS = {"hf_writer": "someone", "hf_reader": "reader"}  # the second may not write
LFS_FROM = 1024  # bytes
LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "other", "unknown"}
PAGE = 50  # files in one answer of a tree


class Handler(BaseHTTPRequestHandler):
    """Answers as the Hub does; `hub` is given by a subclass."""

    hub: StandInHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path).strip("/")
        self.hub.requests.append((self.command, path))
        trouble = self.hub.trouble(self.command, path)
        if trouble == 0:
            self.connection.shutdown(2)
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        if trouble is not None:
            self._say(trouble, {"error": "the stand-in was told to fail"})
            return
        self.query = parse_qs(parts.query)
        self.user = USERS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if self.headers.get("Authorization") and self.user is None:
            self._fail(401, "Invalid credentials in Authorization header")
        elif path == "api/validate-yaml":
            self._validate(json.loads(body))
        elif path == "api/whoami-v2":
            self._say(200, {"name": self.user, "type": "user"}) if self.user else self._fail(401, "Who are you?")
        elif path == "api/repos/create":
            self._create(json.loads(body))
        elif path.startswith(("lfs/", "cdn/")):
            self._lfs(path.split("/")[1], body)
        else:
            self._route(path, body)

    def _route(self, path: str, body: bytes) -> None:
        """What is about one repository."""
        kind = path.split("/")[0] if path.startswith(("datasets/", "spaces/")) else "models"
        match path.removeprefix(f"{kind}/").split("/"):
            case ["api", kind, owner, name, *rest]:
                self._repository(f"{kind}/{owner}/{name}", rest, body)
            case [owner, name, "info", "lfs", "objects", "batch"]:
                self._batch(f"{kind}/{owner}/{name.removesuffix('.git')}", json.loads(body))
            case [owner, name, "resolve", revision, *rest]:
                self._resolve(f"{kind}/{owner}/{name}", revision, "/".join(rest))
            case _:
                self._fail(404, "no such page")

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    # answers

    def _say(self, status: int, content: Any = None, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _fail(self, status: int, message: str, code: str | None = None) -> None:
        headers = {"X_Error_Message": message} | ({"X_Error_Code": code} if code else {})
        self._say(status, {"error": message}, **headers)

    def _find(self, name: str, write: bool = False) -> Repository | None:
        """The repository, if it is there and may be seen; otherwise the failure is answered."""
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and self.user != name.split("/")[1]):
            known = self.user is not None
            self._fail(404 if known else 401, "Repository not found", "RepoNotFound")
            return None
        if write and self.user != name.split("/")[1]:
            self._fail(403 if self.user else 401, f"You don't have the rights to write to {name}")
            return None
        return repository

    # routes

    def _validate(self, asked: dict[str, Any]) -> None:
        errors, warnings = [], []
        _, fence, rest = asked["content"].partition("---\n")
        try:
            data = yaml.safe_load(rest.partition("\n---")[0]) if fence else {}
        except yaml.YAMLError as error:
            data, errors = {}, [{"message": str(error)}]
        if not data:
            warnings.append({"message": "empty or missing yaml metadata in repo card"})
        licenses = data.get("license", [])
        for name in licenses if isinstance(licenses, list) else [licenses]:
            if name not in LICENSES:
                errors.append({"message": f'"license" must be one of [{", ".join(sorted(LICENSES))}], got {name}'})
        for entry in data.get("model-index", []):
            for result in entry.get("results", []):
                if not {"task", "dataset", "metrics"} <= result.keys() or "type" not in result["task"]:
                    errors.append({"message": '"model-index[0].results[0]" lacks task, dataset or metrics'})
        for example in data.get("widget", []):
            if asked["repoType"] == "model" and not {"text", "src"} <= example.keys():
                errors.append({"message": '"widget[0]" of visual question answering needs text and src'})
        self._say(400 if errors else 200, {"errors": errors, "warnings": warnings})

    def _create(self, asked: dict[str, Any]) -> None:
        kind, owner = asked.get("type", "model"), asked["organization"] or self.user
        name = f"{kind}s/{owner}/{asked['name']}"
        if self.user is None:
            self._fail(401, "Log in to create a repository")
        elif self.user != owner or self.user == "reader":
            self._fail(403, f"You don't have the rights to create a {kind} under the namespace {owner}")
        elif name in self.hub.repositories:
            self._say(409, {"error": f"You already created this {kind} repo", "url": f"{self.hub.url}/{name}"})
        else:
            repository = Repository(private=asked.get("visibility") == "private")
            repository.add({".gitattributes": self.hub.blob(b"*.safetensors filter=lfs\n", False)}, "initial commit")
            self.hub.repositories[name] = repository
            self._say(200, {"url": f"{self.hub.url}/{name.removeprefix('models/')}"})

    def _repository(self, name: str, rest: list[str], body: bytes) -> None:
        action = rest[0] if rest else "revision"
        repository = self._find(name, write=action in ("preupload", "commit"))
        if repository is None:
            return
        revision = rest[1] if len(rest) > 1 else "main"
        files = repository.files(revision)
        if files is None:
            self._fail(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        elif action == "revision":
            oid = repository.head if revision == "main" else revision
            siblings = [{"rfilename": path} for path in files]
            info = {"id": name.split("/", 1)[1], "sha": oid, "private": repository.private, "siblings": siblings}
            self._say(200, info | {"tags": [], "downloads": 0, "likes": 0, "gated": False, "disabled": False})
        elif action == "preupload":
            asked = json.loads(body)["files"]
            self._say(200, {"files": [self._way_of(file["path"], file["size"], files) for file in asked]})
        elif action == "commit":
            self._commit(name, repository, [json.loads(line) for line in body.splitlines()])
        elif action in ("tree", "paths-info"):
            paths = parse_qs(body.decode()).get("paths", []) if action == "paths-info" else []
            self._tree("/".join(rest[2:]), files, paths, json.loads(body)["paths"] if body[:1] == b"{" else paths)
        else:
            self._fail(404, f"no route {action}")

    def _way_of(self, path: str, size: int, files: dict[str, Blob]) -> dict[str, Any]:
        there = files.get(path)
        oid = None if there is None else there.sha256 if there.lfs else there.git_id
        return {
            "path": path,
            "uploadMode": "lfs" if size >= LFS_FROM and not path.endswith((".md", ".py", ".json")) else "regular",
            "shouldIgnore": False,
            "oid": oid,
        }

    def _commit(self, name: str, repository: Repository, lines: list[dict[str, Any]]) -> None:
        header, files = lines[0]["value"], dict(repository.commits[repository.head])
        if header.get("parentCommit") not in (None, repository.head):
            self._fail(412, "A commit has happened since. Please refresh and try again.")
            return
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = self.hub.blob(base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                content = self.hub.content(value["oid"])
                if content is None:
                    self._fail(400, f"LFS object {value['oid']} was never uploaded")
                    return
                files[value["path"]] = self.hub.blob(content, True)
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.add(files, header["summary"])
        page = f"{self.hub.url}/{name.removeprefix('models/')}/commit/{oid}"
        self._say(200, {"success": True, "commitOid": oid, "commitUrl": page, "pullRequestUrl": None})

    def _batch(self, name: str, asked: dict[str, Any]) -> None:
        if self._find(name, write=True) is None:
            return
        objects = []
        for each in asked["objects"]:
            there = self.hub.content(each["oid"]) is not None
            actions = {} if there else {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
            objects.append(each | actions)
        self._say(200, {"transfer": "basic", "objects": objects})

    def _lfs(self, sha256: str, body: bytes) -> None:
        if self.headers.get("Authorization"):
            self._fail(400, "a token was sent to the storage of large files")
        elif self.command == "PUT":
            right = hashlib.sha256(body).hexdigest() == sha256
            self.hub.keep(body) if right else None
            self._say(200 if right else 400, b"")
        elif (content := self.hub.content(sha256)) is None:
            self._fail(404, "no such object")
        else:
            self._send(content, {"ETag": f'"{sha256}"'})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._find(name)
        if repository is None:
            return
        files = repository.files(revision)
        if files is None:
            self._fail(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            return
        commit = {"X-Repo-Commit": repository.head if revision == "main" else revision}
        if (blob := files.get(path)) is None:
            self._say(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", **commit)
        elif blob.lfs:
            linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
            self._say(302, b"", Location=f"{self.hub.cdn}/{blob.sha256}", **linked, **commit)
        else:
            content = self.hub.content(blob.sha256)
            assert content is not None
            self._send(content, {"ETag": f'"{blob.git_id}"', **commit})

    def _send(self, content: bytes, headers: dict[str, str]) -> None:
        """A file, or the part of it that was asked for."""
        asked = self.headers.get("Range", "").removeprefix("bytes=")
        if not asked:
            self._say(200, content, **headers, Accept_Ranges="bytes")
            return
        start, _, end = asked.partition("-")
        first, last = int(start), int(end) if end else len(content) - 1
        part = content[first : last + 1]
        self._say(206, part, **headers, Content_Range=f"bytes {first}-{first + len(part) - 1}/{len(content)}")

    def _tree(self, folder: str, files: dict[str, Blob], _: list[str], only: list[str]) -> None:
        inside = {path: blob for path, blob in files.items() if not folder or path.startswith(f"{folder}/")}
        if folder and not inside:
            self._fail(404, f"{folder} does not exist", "EntryNotFound")
            return
        entries: dict[str, dict[str, Any]] = {}
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("1", "true") or bool(only)
        for path, blob in inside.items():
            below = path[len(folder) + 1 if folder else 0 :]
            parents = below.split("/")[:-1]
            for i in range(len(parents) if recursive else min(1, len(parents))):
                name = "/".join(([folder] if folder else []) + parents[: i + 1])
                entries[name] = {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
            if recursive or not parents:
                lfs = {"lfs": {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}} if blob.lfs else {}
                entries[path] = {"type": "file", "path": path, "oid": blob.git_id, "size": blob.size, **lfs}
        shown = [entry for path, entry in sorted(entries.items()) if not only or path in only]
        if self.query.get("expand", ["false"])[0].lower() in ("1", "true"):
            commit = {"id": "0" * 40, "title": "a commit", "date": datetime.now(UTC).isoformat()}
            shown = [entry | {"lastCommit": commit} for entry in shown]
        start = int(self.query.get("cursor", ["0"])[0])
        headers = {}
        if only == [] and start + PAGE < len(shown):
            address = f"{self.hub.url}{urlsplit(self.path).path}?cursor={start + PAGE}"
            headers = {"Link": f'<{address}&recursive={recursive}>; rel="next"'}
        self._say(200, shown if only else shown[start : start + PAGE], **headers)
