"""Try an endpoint's handler on this machine: `python -m lxmert.hub.serve FOLDER`, then ask it as any endpoint."""

import argparse
import importlib.util
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lxmert.hub import handler as own_handler

MOST_BYTES = 2 * own_handler.MAX_IMAGE_BYTES * 4 // 3 + 2**20  # `InferenceClient` sends the image twice
SECONDS = 30  # that a caller may be silent
WAITING = 128  # callers that may wait to be let in


class _Server(ThreadingHTTPServer):
    request_queue_size = WAITING

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a caller that left in one line, anything else whole."""
        if isinstance(error := sys.exc_info()[1], ConnectionError):
            print(f"{client_address[0]} left before the answer ({type(error).__name__})", file=sys.stderr)
        else:
            super().handle_error(request, client_address)


def make_server(path: str | Path, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server of a checkpoint, not yet running; `serve_forever` runs it.

    It does what Hugging Face's endpoints do with a `handler.py`: requests as JSON by POST, answers as JSON, what the
    handler raises for the caller as {"error": text} with the status 400. Requests are answered one after the other.

    Args:
        path: folder of the checkpoint; its own handler.py is executed and answers where it has one, else the package's.
        host: address to listen at.
        port: 0 for any that is free; `server_address` tells.

    Raises:
        FileNotFoundError: no folder, or none with a model's config.json and weights.
        ValueError: a model that cannot be loaded.
        OSError: an address that cannot be listened at.
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
            size = int(length[:20])  # Python reads no number of thousands of digits
            if size > MOST_BYTES:
                if size <= 4 * MOST_BYTES:
                    self._skip(size)  # callers listen when they have sent all
                return self._send(413, {"error": f"The request is larger than {MOST_BYTES:,} bytes."})
            try:
                data = json.loads(self.rfile.read(size))
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

    try:
        return _Server((host, port), Requests)
    except (OSError, OverflowError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise OSError(
            f"Cannot listen at {host}, port {port}: {reason}. Give another one; port 0 takes a free one."
        ) from error


def _handler_of(path: Path) -> Any:
    if not (path / "config.json").is_file():
        what = "holds no model: it has no config.json" if path.is_dir() else "is no folder on this machine"
        raise FileNotFoundError(f"{path} {what}. Give a folder that save_pretrained wrote; models are not downloaded.")
    if not any(path.glob("*.safetensors")) and not any(path.glob("*.bin")):
        raise FileNotFoundError(f"{path} holds no weights. Give the whole folder that save_pretrained wrote.")
    module: Any = own_handler
    if (path / "handler.py").is_file():
        spec = importlib.util.spec_from_file_location("endpoint_handler", path / "handler.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    try:
        return module.EndpointHandler(str(path))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0].removesuffix(" See the original errors:").rstrip(".")
        raise ValueError(
            f"The model in {path} cannot be loaded: {reason}. Give a folder that answers questions about images."
        ) from error


def main() -> None:
    """Serve a checkpoint until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("path", help="folder of the checkpoint; a handler.py in it is executed")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=8080, help="port to listen at")
    arguments = parser.parse_args()
    try:
        server = make_server(arguments.path, arguments.host, arguments.port)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    url = f"http://{arguments.host}:{server.server_address[1]}"
    print(f'huggingface_hub.InferenceClient(model="{url}").visual_question_answering("picture.png", "what is it?")')
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
