"""A Hugging Face Hub on 127.0.0.1 that knows what a download asks for, and can be made to fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """files: path -> content of the one repository. breaks: after how many bytes the next GETs break off."""

    repo: str = "org/repo"
    files: dict[str, bytes] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT, "v1": COMMIT, COMMIT: COMMIT})
    breaks: list[int] = field(default_factory=list)
    honour_ranges: bool = True
    status: int | None = None
    requests: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""

    def start(self) -> None:
        hub = self

        class Handler(self.handler()):  # type: ignore[misc]
            def hub(self) -> Hub:
                return hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def handler(self) -> type[HubHandler]:
        return HubHandler

    def tree(self, revision: str) -> dict[str, bytes]:
        """The files of a revision; here, all have the same."""
        return self.files

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


H = TypeVar("H", bound=Hub)


def served(hub: H, cache: Path, patch: pytest.MonkeyPatch) -> Iterator[H]:
    """The hub, running, with the client pointed at it, and a cache of its own."""
    hub.start()
    patch.setenv("HF_ENDPOINT", hub.url)
    patch.setenv("HF_HUB_CACHE", str(cache))
    patch.setenv("NO_PROXY", "127.0.0.1")
    patch.delenv("HF_HUB_OFFLINE", raising=False)
    patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)  # as commands have it; read at import
    yield hub
    hub.stop()


class HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def hub(self) -> Hub:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        hub = self.hub()
        hub.requests.append(f"{self.command} {self.path}")
        if hub.status is not None:
            return self._refuse(hub.status, "")
        repo, found, rest = self.path.lstrip("/").partition("/resolve/")
        if not found or repo != hub.repo:
            return self._refuse(404, "RepoNotFound")
        revision, _, name = rest.partition("/")
        if revision not in hub.revisions:
            return self._refuse(404, "RevisionNotFound")
        files = hub.tree(revision)
        if name not in files:
            return self._refuse(404, "EntryNotFound")
        self._send(hub, files[name], hub.revisions[revision], with_body)
        return None

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, hub: Hub, data: bytes, commit: str, with_body: bool) -> None:
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and hub.honour_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if with_body:
            hub.ranges.append(asked)
            body = data[start:]
            if hub.breaks:
                body = body[: hub.breaks.pop(0)]
                self.close_connection = True
            self.wfile.write(body)
