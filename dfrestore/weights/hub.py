"""Addresses of files on the Hugging Face Hub: ``hf://ORG/REPO/FILE[@REVISION]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dfrestore.errors import WeightsError

SCHEME = "hf://"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubAddress:
    """repo: ``ORG/REPO``. file: path in the repository. revision: commit, tag or branch, None when not given."""

    repo: str
    file: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}/{self.file}" + (f"@{self.revision}" if self.revision else "")

    @property
    def is_commit(self) -> bool:
        """Whether the revision is a full commit hash, so that the file can never change."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None


def parse_address(text: str) -> HubAddress:
    """``hf://ORG/REPO/FILE[@REVISION]`` in parts. Raises :class:`WeightsError` for anything else."""
    path, at, revision = text.removeprefix(SCHEME).partition("@")
    parts = path.split("/")
    if not text.startswith(SCHEME) or len(parts) < 3 or not all(_PART.fullmatch(part) for part in parts):
        raise WeightsError(f"'{text}' is not hf://ORG/REPO/FILE[@REVISION]")
    if at and (not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        raise WeightsError(f"'{text}': '{revision}' is not a revision (a commit, a tag or a branch)")
    if not parts[-1].endswith(".safetensors"):
        raise WeightsError(f"'{text}': only .safetensors files are fetched; download others and convert them")
    return HubAddress("/".join(parts[:2]), "/".join(parts[2:]), revision or None)
