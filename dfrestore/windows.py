"""From which part of the picture a network takes its statistics, as a checkpoint and ``--window`` say it.

``global``: from the whole picture, as the papers do. ``384``: from windows of 384 pixels. ``384@2``: at level 2 of the
network from such windows, at its other levels from the whole picture; ``384@1,2`` for several levels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dfrestore.errors import UsageError

LEAST_WINDOW = 8  # pixels
MOST_WINDOW = 1 << 20
WindowSetting = int | str
"""A side in pixels, or one of the other forms above."""
GLOBAL: Literal["global"] = "global"


@dataclass(frozen=True)
class Windows:
    """side: of the windows, in pixels of the picture. levels: of the network that have windows, from 1, the finest;
    empty: all.
    """

    side: int
    levels: tuple[int, ...] = ()

    def at(self, level: int) -> int | None:
        """The windows' side in pixels of the picture at a level; None for the whole picture."""
        return self.side if not self.levels or level in self.levels else None

    @property
    def setting(self) -> WindowSetting:
        """What :func:`parse` reads back to an equal value."""
        return f"{self.side}@{','.join(map(str, self.levels))}" if self.levels else self.side


def parse(setting: object) -> Windows | None:
    """``global`` (None), a side in pixels, or ``SIDE@LEVEL,LEVEL``. Raises ValueError."""
    text = str(setting) if isinstance(setting, (int, str)) and not isinstance(setting, bool) else ""
    if text.lower() == GLOBAL:
        return None
    found = re.fullmatch(r"([0-9]{1,7})(?:@([1-9](?:,[1-9])*))?", text)
    if found is None or not LEAST_WINDOW <= int(found[1]) <= MOST_WINDOW:
        raise ValueError(
            f"{setting} is neither '{GLOBAL}' nor a number of pixels from {LEAST_WINDOW}, alone or with levels (384@2)"
        )
    return Windows(int(found[1]), tuple(sorted({int(n) for n in (found[2] or "").split(",") if n})))


def normalised(setting: object) -> WindowSetting:
    """The same in one form. Raises ValueError."""
    windows = parse(setting)
    return GLOBAL if windows is None else windows.setting


def requested_window(setting: object, name: str) -> WindowSetting:
    """:func:`normalised` for what a user gave under this name. Raises UsageError."""
    try:
        return normalised(setting)
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None


def described(setting: WindowSetting) -> str:
    """The setting for people."""
    windows = parse(setting)
    if windows is None:
        return "global (the whole picture)"
    levels = ", ".join(map(str, windows.levels))
    where = f" at level{'s' * (len(windows.levels) > 1)} {levels}" if levels else ""
    return f"{windows.side} pixels{where}"
