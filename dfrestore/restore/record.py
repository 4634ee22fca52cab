"""The record of finished outputs, and what it says of a job: ``.dfrestore.jsonl`` in the folder of a run over folders.

For files that were named it is one in the cache folder: nobody wants such a file beside each photo, and the photo
itself, whose metadata stay as they are, cannot hold it. Where it is lost, an existing output is refused as any other.

A record is append-only, with one JSON object per line; the last line about an output counts. Torn or foreign lines are
skipped. Several processes may append to one record: each line is one write, at the end, under a lock.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dfrestore import strict_json
from dfrestore.files import cache_folder, locked
from dfrestore.restore.mask_files import blaming_mask
from dfrestore.restore.planning import Job
from dfrestore.restore.recorded import NAME

Verdict = Literal["todo", "done", "foreign", "other-settings", "other-input", "edited", "preview"]

PREVIEW = "-preview"
"""What the settings' hash of a preview ends in: none counts as a finished result, and the next one may replace it."""


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file is still the same one."""

    path: str
    size: int
    mtime_ns: int

    @property
    def content(self) -> tuple[int, int]:
        """The same for a copy of the file."""
        return self.size, self.mtime_ns

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Raises OSError."""
        status = path.stat()
        return cls(os.path.abspath(path), status.st_size, status.st_mtime_ns)  # noqa: PTH100 (keeps links)


def stamp_of_mask(path: Path) -> Stamp:
    """Raises PhotoReadError that names the mask."""
    with blaming_mask(path):
        return Stamp.of(path)


@dataclass(frozen=True)
class Entry:
    """One finished output: the input (and masks) it was made from, the settings' hash, and its own size in bytes."""

    input: Stamp
    settings: str
    bytes: int
    masks: tuple[Stamp, ...] = ()


def settings_hash(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits for whatever decides the content of an output besides its input."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Record:
    """The record of one folder: read once, and again on :meth:`refresh`; appended to.

    most_bytes: how long it may get before the older half of its lines goes.
    """

    most_bytes: int | None = None

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self.folder = folder
        self.path = folder / name
        self._lock = threading.Lock()  # between what reads ahead and what writes
        self.refresh()

    def refresh(self) -> None:
        """Read it as it is now."""
        with self._lock:
            self._entries = _read(self.path)

    def get(self, output: Path) -> Entry | None:
        return self._entries.get(self._key(output))

    def add(
        self, output: Path, source: Stamp, settings: str, bytes: int | None = None, masks: Sequence[Stamp] = ()
    ) -> None:
        """Append one finished output and flush it to disk. Raises OSError.

        bytes: its size, if it is complete but not yet renamed; until then the output counts as still to do.
        """
        entry = Entry(source, settings, output.stat().st_size if bytes is None else bytes, tuple(masks))
        key = self._key(output)
        line = {
            "output": key,
            "input": source.path,
            "size": source.size,
            "mtime_ns": source.mtime_ns,
            "settings": settings,
            "bytes": entry.bytes,
        }
        if masks:
            line["masks"] = [[mask.path, mask.size, mask.mtime_ns] for mask in masks]
        # ASCII only: names that are not Unicode survive as lone surrogates.
        data = strict_json.dumps(line).encode("ascii") + b"\n"
        if self.path.exists() and not self.path.is_file():
            raise OSError(errno.EINVAL, "not a regular file", str(self.path))
        with self._lock, self.path.open("ab+", buffering=0) as file:
            with locked(file.fileno()):
                if file.seek(0, os.SEEK_END) and not _ends_with_newline(file):
                    data = b"\n" + data  # a torn line of a killed run must not swallow this one
                if self.most_bytes is not None and file.tell() > self.most_bytes:
                    data = _newer_half(file) + data
                    file.truncate(0)
                while data:  # more than one write only where the disk is full, which the next one says
                    data = data[file.write(data) :]
            os.fsync(file.fileno())
            self._entries[key] = entry

    def _key(self, output: Path) -> str:
        return output.relative_to(self.folder).as_posix()


class OwnRecord(Record):
    """Of outputs made of files that were named, wherever they lie; a cache folder that cannot be written has none."""

    most_bytes = 1 << 20

    def __init__(self) -> None:
        super().__init__(cache_folder(), "finished.jsonl")

    def add(
        self, output: Path, source: Stamp, settings: str, bytes: int | None = None, masks: Sequence[Stamp] = ()
    ) -> None:
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            super().add(output, source, settings, bytes, masks)

    def get(self, output: Path) -> Entry | None:
        """None also where another file has come to lie there since."""
        entry = super().get(output)
        with contextlib.suppress(OSError):
            return entry if entry is not None and output.stat().st_size == entry.bytes else None
        return None

    def _key(self, output: Path) -> str:
        return os.path.abspath(output)  # noqa: PTH100 (keeps links)


def verdict(job: Job, record: Record | None, settings: str) -> Verdict:
    """Whether a job is still to do, and if not, why its output is left as it is.

    ``done``: made from this input with these settings. ``foreign``: not in the record. ``other-settings``,
    ``other-input``: made differently. ``edited``: the input changed, but so did the output since we wrote it.
    ``preview``: another preview of the same photo, as we wrote it, which this one may replace. A changed input or mask
    is ``todo``. Raises OSError when the input cannot be looked at, PhotoReadError for a mask.
    """
    if not os.path.lexists(job.output):
        return "todo"
    entry = record.get(job.output) if record else None
    if entry is None:
        return "foreign"
    now, masks = Stamp.of(job.input), [stamp_of_mask(mask) for mask in job.masks]
    same_masks = [mask.content for mask in masks] == [mask.content for mask in entry.masks]
    same_content = now.content == entry.input.content and same_masks
    same_path = now.path == entry.input.path
    if same_content and entry.settings == settings:
        return "done"
    as_written = job.output.stat().st_size == entry.bytes
    if same_path and as_written and settings.endswith(PREVIEW) and entry.settings.endswith(PREVIEW):
        return "preview"
    if bool(masks) != bool(entry.masks):
        return "other-settings"
    if not same_content and not same_path:
        return "other-input"
    if entry.settings != settings:
        return "other-settings"
    return "todo" if as_written else "edited"


def _read(path: Path) -> dict[str, Entry]:
    try:
        lines = path.read_bytes().splitlines() if path.is_file() else []  # a pipe of that name would never end
    except OSError:
        return {}
    entries: dict[str, Entry] = {}
    for line in lines:
        try:
            item = json.loads(line)
            stamp = _stamp(item["input"], item["size"], item["mtime_ns"])
            masks = tuple(_stamp(*mask) for mask in item.get("masks", ()))
            entries[str(item["output"])] = Entry(stamp, str(item["settings"]), int(item["bytes"]), masks)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            continue
    return entries


def _stamp(path: object, size: Any, mtime_ns: Any) -> Stamp:
    return Stamp(str(path), int(size), int(mtime_ns))


def _newer_half(file: Any) -> bytes:
    file.seek(0)
    lines: list[bytes] = file.read().splitlines(keepends=True)
    return b"".join(lines[len(lines) // 2 :])


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
