"""A model hub on this machine that cuts, lies and redirects as a test asks; and the files of a small model for it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/tiny-smolvlm"


class Hub:
    """What the server has, `files` by path, and how it behaves.

    `cuts`: it stops after so many bytes, once for each number; `claims`: lengths it states instead of the true ones;
    `bad`: paths whose bytes are wrong, as often as said; `redirects`: path to address; `statuses`: path to answers
    given before the true one; `ranges`: whether it does parts. `asked` keeps paths and ranges.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.claims: dict[str, int] = {}
        self.bad: dict[str, int] = {}
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, list[int]] = {}
        self.ranges = True
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    def add_model(self, folder: Path, repo: str = REPO, revision: str = "main") -> None:
        """Every file of `folder` as the hub shows a repository: graphs with sha256, small files with git's hash."""
        tree: list[dict[str, Any]] = [{"type": "directory", "path": "onnx", "oid": "0" * 40, "size": 0}]
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            name, data = path.relative_to(folder).as_posix(), path.read_bytes()
            blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": blob}
            if name.endswith(".onnx"):
                sha256 = hashlib.sha256(data).hexdigest()
                entry |= {"oid": "f" * 40, "lfs": {"oid": sha256, "size": len(data), "pointerSize": 134}}
            tree.append(entry)
            self.files[f"/{repo}/resolve/{COMMIT}/{name}"] = data
        self.files[f"/api/models/{repo}/revision/{revision}"] = json.dumps({"sha": COMMIT}).encode()
        self.files[f"/api/models/{repo}/tree/{COMMIT}"] = json.dumps(tree).encode()

    def add_folder(self, folder: Path, at: str) -> None:
        """The files of `folder` under the path `at`."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.files[f"{at}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()

    def path(self, name: str) -> str:
        """Where a file of the model lies."""
        return f"/{REPO}/resolve/{COMMIT}/{name}"

    def fetched(self) -> list[str]:
        """Names of the model's files that were asked for, in order."""
        return [path.rpartition(f"{COMMIT}/")[2] for path, _ in self.asked if f"resolve/{COMMIT}/" in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        wanted = self.headers.get("Range", "")
        hub.asked.append((path, wanted))
        if hub.statuses.get(path):
            self._say(hub.statuses[path].pop(0))
        elif path in hub.redirects:
            self._say(302, Location=hub.redirects[path])
        elif path not in hub.files:
            self._say(404)
        else:
            self._send(path, wanted)

    def _send(self, path: str, wanted: str) -> None:
        hub = self.hub
        data = hub.files[path]
        if hub.bad.get(path, 0) > 0:
            hub.bad[path] -= 1
            data = bytes(255 - one for one in data)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and hub.ranges else 0
        rest = data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(hub.claims.get(path, len(rest))))
        self.end_headers()
        if hub.cuts and len(rest) > hub.cuts[0]:
            rest = rest[: hub.cuts.pop(0)]
            self.close_connection = True
        self.wfile.write(rest)

    def _say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that went away is what some tests are about."""


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub that runs until the block ends; its `url` is http://127.0.0.1:PORT."""
    hub = Hub()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
