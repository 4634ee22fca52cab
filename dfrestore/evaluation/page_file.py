"""The file of a report: photos come one at a time and wait on disk; the page appears at the end, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from dfrestore.errors import PhotoWriteError
from dfrestore.evaluation import html
from dfrestore.evaluation.shots import Role
from dfrestore.files import atomic_file, remedy

_HEAD_BYTES = 4096


def is_report(path: Path) -> bool:
    """Whether the file is a report of ours, which the next one may replace."""
    try:
        with path.open("rb") as file:
            return html.GENERATOR.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


class PageFile:
    """Photos in any order, then :meth:`finish`. Closing it, or the end of the process, leaves nothing else behind.

    reduced: whether a photo is shown smaller than it is. Raises PhotoWriteError, as all of its methods do.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self.overwrite = overwrite
        self.reduced = False
        self._places: list[tuple[int, int, int]] = []  # (number, start, length) of each article
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # no name, so that a killed run leaves none; in this folder, for it has the room that the page will need
            self._spool = cast(BinaryIO, tempfile.TemporaryFile(dir=path.parent))  # noqa: SIM115 (closed with this)
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> PageFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def photos(self) -> int:
        return len(self._places)

    def add(self, entry: html.Entry, labels: Mapping[Role, str] = html.LABELS) -> None:
        """One photo; the page has them in order of their numbers."""
        article = html.photo(entry, labels).encode()
        try:
            start = self._spool.seek(0, os.SEEK_END)
            self._spool.write(article)
            self._spool.flush()
        except OSError as error:
            raise self._failure(error) from error
        self._places.append((entry.number, start, len(article)))
        self.reduced |= entry.shots is not None and entry.shots.shown != entry.shots.size

    def finish(self, about: html.About) -> int:
        """Write the page; returns its size in bytes. A report that stands there is replaced."""
        before, after = html.frame(about, self.photos, self.reduced)
        try:
            with atomic_file(self.path, overwrite=self.overwrite or is_report(self.path)) as file:
                file.write(before.encode())
                for _, start, length in sorted(self._places):
                    self._spool.seek(start)
                    file.write(self._spool.read(length))
                file.write(after.encode())
                return file.tell()
        except FileExistsError:
            raise PhotoWriteError(f"{self.path}: exists already, and is no report; choose another --report") from None
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        self._spool.close()

    def _failure(self, error: OSError) -> PhotoWriteError:
        return PhotoWriteError(f"{self.path}: cannot be written ({error.strerror or error}); {remedy(error)}")
