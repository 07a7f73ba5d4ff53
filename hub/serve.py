"""Try an endpoint's handler on this machine: `python -m lxmert.hub.serve FOLDER`, then ask it as any endpoint."""

import argparse
import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lxmert.hub import handler as own_handler

MOST_BYTES = 2 * own_handler.MAX_IMAGE_BYTES * 4 // 3 + 2**20  # `InferenceClient` sends the image twice
SECONDS = 30  # that a caller may be silent


def make_server(path: str | Path, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server of a checkpoint, not yet running; `serve_forever` runs it.

    It does what Hugging Face's endpoints do with a `handler.py`: requests as JSON by POST, answers as JSON, what the
    handler raises for the caller as {"error": text} with the status 400. Requests are answered one after the other.

    Args:
        path: folder of the checkpoint; its own handler.py answers where it has one, else the package's.
        host: address to listen at.
        port: 0 for any that is free; `server_address` tells.
    """
    answer = _handler_of(Path(path))
    turn = threading.Lock()

    class Requests(BaseHTTPRequestHandler):
        timeout = SECONDS

        def do_GET(self) -> None:
            """Say that the server is there."""
            self._send(200, {"status": "ok"})

        def do_POST(self) -> None:
            """Answer a question."""
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal():
                return self._send(411, {"error": "The request must say its length."})
            if int(length) > MOST_BYTES:
                self._skip(min(int(length), 4 * MOST_BYTES))  # callers listen when they have sent all
                return self._send(413, {"error": f"The request is larger than {MOST_BYTES:,} bytes."})
            try:
                data = json.loads(self.rfile.read(int(length)))
            except (ValueError, RecursionError):
                return self._send(400, {"error": f"The request is no JSON. {own_handler.FORMS}"})
            try:
                with turn:
                    found = answer(data)
            except ValueError as error:
                return self._send(400, {"error": str(error)})
            except Exception as error:
                self.log_error("%s: %s", type(error).__name__, error)
                return self._send(500, {"error": "The model could not answer this; the server's log says why."})
            return self._send(200, found)

        def _skip(self, length: int) -> None:
            while length > 0 and (part := self.rfile.read(min(length, 2**20))):
                length -= len(part)

        def _send(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer((host, port), Requests)


def _handler_of(path: Path) -> Any:
    module: Any = own_handler
    if (path / "handler.py").is_file():
        spec = importlib.util.spec_from_file_location("endpoint_handler", path / "handler.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.EndpointHandler(str(path))


def main() -> None:
    """Serve a checkpoint until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("path", help="folder of the checkpoint")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=8080, help="port to listen at")
    arguments = parser.parse_args()
    server = make_server(arguments.path, arguments.host, arguments.port)
    url = f"http://{arguments.host}:{server.server_address[1]}"
    print(f'huggingface_hub.InferenceClient(model="{url}").visual_question_answering("picture.png", "what is it?")')
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
