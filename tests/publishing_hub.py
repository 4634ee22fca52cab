"""A Hugging Face Hub on 127.0.0.1 that also takes what is published: repositories, branches, LFS objects, commits.

The answers are those that the client of the real Hub asks for in ``HfApi.model_info``, ``create_repo``,
``create_branch`` and ``create_commit`` (without Xet storage).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import hub_server
import pytest
from hub_server import Hub, HubHandler

TOKEN = "hf_aTokenThatNobodyMaySee"
FIRST = "1" * 40  # the commit that a new repository has


@dataclass
class PublishingHub(Hub):
    """One repository, which does not exist at first. trees: commit -> its files. objects: what LFS storage holds.

    may_write: whether the token may. answers: part of a path -> (status, words) given instead. bodies: path -> what
    was last sent there. tokens: the Authorization header of each request.
    """

    repo: str = "org/name"
    revisions: dict[str, str] = field(default_factory=dict)
    exists: bool = False
    private: bool = False
    kind: str = "model"
    may_write: bool = True
    trees: dict[str, dict[str, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    tokens: list[str | None] = field(default_factory=list)

    def handler(self) -> type[HubHandler]:
        return PublishingHandler

    def tree(self, revision: str) -> dict[str, bytes]:
        return self.trees[self.revisions[revision]]

    def create(self, private: bool = False) -> None:
        self.exists, self.private = True, private
        self.revisions |= {"main": FIRST, FIRST: FIRST}
        self.trees[FIRST] = {".gitattributes": b"*.safetensors filter=lfs\n"}

    def commit(self, branch: str, changes: dict[str, bytes]) -> str:
        tree = {**self.tree(branch), **changes}
        name = hashlib.sha1(repr((self.revisions[branch], sorted(tree.items()))).encode()).hexdigest()
        self.trees[name] = tree
        self.revisions |= {branch: name, name: name}
        return name


def served(tmp_path: Path, patch: pytest.MonkeyPatch) -> Iterator[PublishingHub]:
    """A running hub, the client pointed at it, and a user with a token, an empty cache and an empty configuration."""
    # The client reads this variable once, when it is imported.
    patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    patch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path / "config"))
    patch.setenv("HF_TOKEN", TOKEN)
    yield from hub_server.served(PublishingHub(), tmp_path / "cache", patch)


class PublishingHandler(HubHandler):
    """The routes of the API; anything else is a download."""

    def hub(self) -> PublishingHub:
        raise NotImplementedError

    def do_GET(self) -> None:
        if self.path.startswith("/api/"):
            self._dispatch()
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self._dispatch()

    def do_PUT(self) -> None:
        self._dispatch()

    def _dispatch(self) -> None:
        hub, path = self.hub(), unquote(self.path)
        hub.requests.append(f"{self.command} {path}")
        hub.tokens.append(self.headers.get("Authorization"))
        hub.bodies[path] = body = self._body()
        for part, (status, words) in hub.answers.items():
            if part in path:
                return self._json({"error": words, "errors": [{"message": words}]}, status)
        if not path.startswith("/storage/") and hub.tokens[-1] != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        repo = re.escape(hub.repo)
        routes: dict[str, Callable[..., None]] = {
            "POST /api/repos/create": self._create,
            "POST /api/validate-yaml": self._validate,
            f"GET /api/models/{repo}": self._info,
            f"GET /api/models/{repo}/revision/(.+)": self._info,
            f"POST /api/models/{repo}/branch/(.+)": self._branch,
            f"POST /api/models/{repo}/preupload/(.+)": self._preupload,
            f"POST /api/models/{repo}/commit/(.+)": self._commit,
            f"POST /{repo}\\.git/info/lfs/objects/batch": self._batch,
            "PUT /storage/([0-9a-f]{64})": self._store,
        }
        for pattern, answer in routes.items():
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                return answer(hub, body, *found.groups())
        return self._json({"error": "Repository not found"}, 404, "RepoNotFound")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _json(self, content: Any, status: int = 200, code: str = "") -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _create(self, hub: PublishingHub, body: bytes) -> None:
        wanted = json.loads(body)
        if not hub.may_write:
            return self._json({"error": "You don't have the rights to create a model there"}, 403)
        folder = "" if hub.kind == "model" else f"{hub.kind}s/"
        answer = {"url": f"{hub.url}/{folder}{wanted['organization']}/{wanted['name']}"}
        if hub.exists:
            return self._json({**answer, "error": "You already created this model repo"}, 409)
        hub.create(wanted.get("visibility") == "private" or wanted.get("private", False))
        return self._json(answer)

    def _info(self, hub: PublishingHub, body: bytes, revision: str = "main") -> None:
        if not hub.exists:
            return self._json({"error": "Repository not found"}, 404, "RepoNotFound")
        sha = hub.revisions[revision]
        return self._json(
            {"id": hub.repo, "modelId": hub.repo, "private": hub.private, "sha": sha, "tags": [], "siblings": []}
        )

    def _validate(self, hub: PublishingHub, body: bytes) -> None:
        _, block, _ = f"{json.loads(body)['content']}\n---\n---\n".split("---\n", 2)
        self._json({"errors": [], "warnings": [] if "license:" in block else [{"message": "no license"}]})

    def _branch(self, hub: PublishingHub, body: bytes, branch: str) -> None:
        if branch in hub.revisions:
            return self._json({"error": "Reference already exists"}, 409)
        hub.revisions[branch] = hub.revisions["main"]
        return self._json({})

    def _preupload(self, hub: PublishingHub, body: bytes, branch: str) -> None:
        if not hub.may_write:
            return self._json({"error": "You don't have write access"}, 403)
        if branch not in hub.revisions:
            return self._json({"error": "Invalid rev id"}, 404, "RevisionNotFound")
        files = [self._mode(hub, branch, item["path"]) for item in json.loads(body)["files"]]
        return self._json({"files": files})

    def _mode(self, hub: PublishingHub, branch: str, path: str) -> dict[str, Any]:
        large, old = path.endswith(".safetensors"), hub.tree(branch).get(path)
        entry: dict[str, Any] = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if old is not None:
            blob = b"blob %d\0" % len(old) + old
            entry["oid"] = hashlib.sha256(old).hexdigest() if large else hashlib.sha1(blob).hexdigest()
        return entry

    def _batch(self, hub: PublishingHub, body: bytes) -> None:
        objects = []
        for item in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{hub.url}/storage/{item['oid']}"}}
            objects.append(item if item["oid"] in hub.objects else {**item, "actions": upload})
        self._json({"transfer": "basic", "objects": objects})

    def _store(self, hub: PublishingHub, body: bytes, name: str) -> None:
        if hashlib.sha256(body).hexdigest() != name:
            return self._json({"error": "another content than its name says"}, 400)
        hub.objects[name] = body
        return self._json({})

    def _commit(self, hub: PublishingHub, body: bytes, branch: str) -> None:
        changes = {}
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                changes[value["path"]] = hub.objects[value["oid"]]
        name = hub.commit(branch, changes)
        self._json({"success": True, "commitOid": name, "commitUrl": f"{hub.url}/{hub.repo}/commit/{name}"})
