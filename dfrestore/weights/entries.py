"""What a registry holds: models with all that is known of them, defaults, authors' files, aliases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Scores = Mapping[str, tuple[Mapping[str, Any], ...]]


@dataclass(frozen=True)
class ModelEntry:
    """One model of a registry.

    name: ``TASK/NAME``. source: ``bundled:FILE``, ``hf://ORG/REPO/FILE@REV``, or a path (the user's file only).
    folder: where a bundled file or a relative path is looked for. registry: the file that names the model.
    scores: a table's name -> its rows, each with the command that made it. size in bytes, 0 when not stated. scale: how
    many times it enlarges, where it stands in for the task's default that enlarges more; else 0. base: the full name of
    the model that it builds on, or "".
    """

    name: str
    task: str
    method: str
    source: str
    folder: Path
    registry: Path
    packaged: bool
    size: int = 0
    sha256: str | None = None
    licence: str = ""
    data: str = ""
    scores: Scores = field(default_factory=dict)
    note: str = ""
    minutes: float = 0
    command: str = ""
    scale: int = 0
    base: str = ""

    @property
    def short_name(self) -> str:
        """The name without its task: ``compact``."""
        return self.name.partition("/")[2]

    @property
    def local_path(self) -> Path | None:
        """Where the file lies on this machine when the source is not a download, else None."""
        if self.source.startswith("hf://"):
            return None
        return self.folder / self.source.removeprefix("bundled:")


@dataclass(frozen=True)
class Original:
    """An authors' own file, which is not shipped: users download and convert it.

    name: ``TASK/METHOD``, the name of the converted model. file: its name in the folder at ``url``. project: the page
    of its authors. licence: the one they state, or that they state none.
    """

    name: str
    file: str
    url: str
    project: str
    licence: str

    @property
    def task(self) -> str:
        """What it restores: the part of the name before the slash."""
        return self.name.partition("/")[0]

    @property
    def short_name(self) -> str:
        """The name without its task."""
        return self.name.partition("/")[2]


@dataclass(frozen=True)
class Registry:
    """models: full name -> entry. defaults: task -> full name (which need not exist: no model may have shipped).

    originals: full name -> where to get the authors' file. aliases: another name -> the short name of a model; a model
    that has that name itself comes first.
    """

    models: Mapping[str, ModelEntry]
    defaults: Mapping[str, str]
    originals: Mapping[str, Original] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> frozenset[str]:
        """Those that have a default model."""
        return frozenset(task for task, name in self.defaults.items() if name in self.models)

    def of_content(self, sha256: str) -> list[ModelEntry]:
        """The models whose file has this digest."""
        return [entry for entry in self.models.values() if entry.sha256 == sha256]
