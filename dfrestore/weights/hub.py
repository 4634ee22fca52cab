"""Names on the Hugging Face Hub: ``hf://ORG/REPO/FILE[@REVISION]``, and the repositories that are published to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dfrestore.errors import UsageError

SCHEME = "hf://"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")
_MAX_REPO = 96
_WEB = re.compile(r"https?://[^/]+/")
_OTHER_KINDS = ("datasets", "spaces")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubAddress:
    """repo: ``ORG/REPO``. file: path in the repository. revision: commit, tag or branch, None when not given."""

    repo: str
    file: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}/{self.file}" + (f"@{self.revision}" if self.revision else "")


def parse_address(text: str) -> HubAddress:
    """``hf://ORG/REPO/FILE[@REVISION]`` in parts. Raises :class:`UsageError` for anything else."""
    path, at, revision = text.removeprefix(SCHEME).partition("@")
    parts = path.split("/")
    if not text.startswith(SCHEME) or len(parts) < 3 or not all(_PART.fullmatch(part) for part in parts):
        raise UsageError(f"'{text}' is not hf://ORG/REPO/FILE[@REVISION]")
    if at and (not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        raise UsageError(f"'{text}': '{revision}' is not a revision (a commit, a tag or a branch)")
    if not parts[-1].endswith(".safetensors"):
        raise UsageError(f"'{text}': only .safetensors files are fetched; download others and convert them")
    return HubAddress("/".join(parts[:2]), "/".join(parts[2:]), revision or None)


def check_repo(text: str) -> str:
    """``ORG/NAME`` of a model repository, as the Hub allows it. Raises :class:`UsageError`."""
    parts = text.split("/")
    if parts[0] in _OTHER_KINDS and len(parts) == 3:
        raise UsageError(f"'{text}' is a repository for {parts[0]}; models are published to ORG/NAME")
    is_name = all(_PART.fullmatch(part) and not part.endswith((".", "-")) for part in parts)
    if len(parts) != 2 or not is_name or "--" in text or ".." in text or text.endswith(".git") or len(text) > _MAX_REPO:
        plain = _WEB.sub("", text.removeprefix(SCHEME)).rstrip("/")
        hint = f": did you mean '{plain}'?" if plain != text and plain.count("/") == 1 else ""
        raise UsageError(f"'{text}' is not ORG/NAME, the name of a repository on the Hub{hint}")
    return text


def check_branch(text: str) -> str:
    """A branch that files can be committed to. Raises :class:`UsageError`."""
    if not _REVISION.fullmatch(text) or ".." in text or "//" in text or text.endswith(("/", ".", ".lock")):
        raise UsageError(f"'{text}' is not the name of a branch")
    if text.startswith("refs/") or _COMMIT.fullmatch(text):
        raise UsageError(f"'{text}' is not a branch; give the name of one, such as main")
    return text
