"""What a method is: how its authors' files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recognised:
    """An authors' file, understood. network, sampling, default_steps, stage: for the checkpoint's header.

    rename: name in the file -> name in the network; what is missing in it is left out. Two names in the file may be
    one in the network: their values must be equal. project: its authors' address.
    """

    network: Mapping[str, Any]
    sampling: Mapping[str, Any]
    default_steps: int
    rename: Mapping[str, str]
    project: str
    stage: str = ""
