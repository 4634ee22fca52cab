"""One exception family for everything a user can meet.

    DfrestoreError            base; carries the process exit code that the CLI uses
    ├── UsageError            2    an unknown name or impossible value, an input that does not exist, colliding outputs
    ├── StartError            3    cannot start: what is known is not to be had here, nothing to train on
    │   ├── WeightsError      3    a checkpoint that is known and not here, damaged, unsafe or of another kind
    │   └── DeviceError       3    a device or precision that this machine does not have
    └── FileFailure           1    one input failed; the rest of a batch goes on
        ├── PhotoReadError    1    not a picture, damaged, too large, a format that is not allowed
        ├── PhotoWriteError   1    the output could not be written; nothing is left under its name
        ├── BadResultError    1    the network's output was not finite, or constant
        └── OutOfMemoryFailure 1   the picture does not fit, even in the smallest plan

Every message is one line that says what happened, on which file, and what to do about it.
Messages never contain a line break: text taken from files is escaped by :func:`one_line`. Nor do they grow without
bound with what a file says: the middle of a very long one is left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

_LONGEST = 4000  # the longest path there is, or nearly


class DfrestoreError(Exception):
    """Base of all errors that are shown to a user as one line."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        text = one_line(message)
        super().__init__(text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}")


class UsageError(DfrestoreError):
    """The request itself is wrong; nothing was touched."""

    exit_code = 2


class StartError(DfrestoreError):
    """The request is fine but the work cannot begin on this machine."""

    exit_code = 3


class WeightsError(StartError):
    """A checkpoint that is missing, damaged, unsafe, or of another kind than the command needs."""


class DeviceError(StartError):
    """A device or a precision that this machine does not have."""


class FileFailure(DfrestoreError):
    """One input failed; a batch goes on with the next."""

    exit_code = 1


class PhotoReadError(FileFailure):
    """Not a picture, damaged, too large, or of a format that is not read."""


class PhotoWriteError(FileFailure):
    """The output could not be written; nothing is left under its final name."""


class BadResultError(FileFailure):
    """The network's output was not finite, or constant where the input was not."""


class OutOfMemoryFailure(FileFailure):
    """The picture does not fit into memory, even in the smallest plan."""


def one_line(text: object) -> str:
    """``text`` with control characters (line breaks too) escaped, fit for one terminal line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def first_three(items: Sequence[object]) -> str:
    """``a.png, b.png, c.png, ...``."""
    return ", ".join(str(item) for item in items[:3]) + (", ..." if len(items) > 3 else "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``": did you mean 'compact'?"`` when a known name is close to ``name``, else ``""``."""
    near = _nearest(name, list(known))
    return f": did you mean '{near}'?" if near is not None else ""


def nearest_beside(missing: Path) -> str:
    """:func:`did_you_mean` for a file that is not there, among the names in its folder.

    Endings are not compared, that both are photos makes no name like another; of equal names the same ending counts.
    """
    try:
        names = sorted(path.name for path in missing.parent.iterdir())
        names.sort(key=lambda name: Path(name).suffix != missing.suffix)
    except OSError:
        return ""
    by_stem = {Path(name).stem: name for name in reversed(names)}
    near = missing.stem if missing.stem in by_stem else _nearest(missing.stem, list(by_stem))
    return f": did you mean '{by_stem[near]}'?" if near is not None else ""


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that a slip of the fingers turns into ``name``, or that begins with it."""
    if len(name) > 100:  # no slip, and costly to compare
        return None
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.65)
    near = near or [word for word in known if len(name) >= 3 and word.startswith(name)]
    return near[0] if near else None
