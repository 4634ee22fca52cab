"""A walk through a folder: which of its files are pictures to take."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dfrestore.photo import is_candidate, is_unread
from dfrestore.restore.name_template import NameTemplate
from dfrestore.restore.naming import PREVIEW, original_stem

# Folders of generated thumbnails (Synology) and of resource forks in archives.
_SIDECAR_FOLDERS = frozenset({"@eaDir", "__MACOSX"})


@dataclass
class Scan:
    """What a walk through one folder finds: pictures to take, those that are not read (JPEG XL, PSD, ...), our own
    results, folders that cannot be listed, links not followed: those that lead ``above``, to a folder on the way to
    them or over it, and those to a folder that is walked ``anyway``.
    """

    pictures: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    barred: list[tuple[Path, str]] = field(default_factory=list)
    above: list[Path] = field(default_factory=list)
    anyway: list[Path] = field(default_factory=list)


def scan_folder(
    folder: Path, *, recursive: bool = True, leave_out: Iterable[Path] = (), template: NameTemplate | None = None
) -> Scan:
    """The pictures of a folder in order of their names, without hidden files, sidecars and our own results.

    Links to folders are followed, except those that lead to a folder above. Each folder is walked once, by its own name
    where it lies below, else by the first link to it. ``leave_out``: folders below that are not entered (where results
    go). template: of results beside their inputs.
    """
    scan = Scan()
    closed = frozenset(map(file_of, leave_out)) - {None}
    for path, names in _walk(folder, recursive, closed, scan):
        candidates = [name for name in names if is_candidate(name)]
        stems = {Path(name).stem for name in candidates}
        named = {made for stem in stems if (made := template.of(stem)) != stem} if template is not None else set()
        for name in candidates:
            ours = Path(name).stem.removesuffix(PREVIEW) in named or original_stem(Path(name)) in stems
            (scan.results if ours else scan.pictures).append(path / name)
        scan.unread += (path / name for name in names if is_unread(name))
    return scan


@dataclass(frozen=True)
class _Folder:
    """A folder of the walk. way: the real paths of the folders that it was reached by."""

    path: Path
    real: str
    way: frozenset[str] = frozenset()

    def below(self, entry: os.DirEntry[str]) -> _Folder:
        # resolving takes a look at each folder of a path: for links only
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(self.real, entry.name)  # noqa: PTH118
        return _Folder(self.path / entry.name, real, self.way | {self.real})

    @property
    def leads_above(self) -> bool:
        """Whether it is, or holds, one of the folders on the way to it."""
        held = self.real.rstrip(os.sep) + os.sep
        return self.real in self.way or any(path.startswith(held) for path in self.way)


def _walk(
    top: Path, recursive: bool, closed: frozenset[tuple[int, int] | None], scan: Scan
) -> list[tuple[Path, list[str]]]:
    """(folder, names of its files) from the top down, in order of their names. Fills the lists of folders of scan."""
    found: list[tuple[Path, list[str]]] = []
    walked: set[str] = set()
    links = deque([_Folder(top, os.path.realpath(top))])  # followed after what lies below the folders walked so far
    while links:
        waiting = [links.popleft()]
        if waiting[0].real in walked:
            scan.anyway.append(waiting[0].path)
        while waiting:
            folder = waiting.pop()
            if folder.real in walked or (closed and folder.way and file_of(folder.path) in closed):
                continue
            walked.add(folder.real)
            try:
                with os.scandir(folder.path) as listed:
                    entries = sorted(listed, key=lambda entry: entry.name)
            except OSError as error:
                scan.barred.append((folder.path, f"{folder.path}: cannot be listed ({error.strerror or error})"))
                continue
            found.append((folder.path, [entry.name for entry in entries if _is(entry.is_file)]))
            for entry in entries if recursive else ():
                if not _is_open_folder(entry):
                    continue
                below = folder.below(entry)
                if not entry.is_symlink():
                    waiting.append(below)
                elif below.leads_above:
                    scan.above.append(below.path)
                else:
                    links.append(below)
    return sorted(found, key=lambda one: one[0].parts)


def _is_open_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name not in _SIDECAR_FOLDERS and _is(entry.is_dir)


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link that leads to itself
        return False


def file_of(path: Path) -> tuple[int, int] | None:
    """What tells one file from another whatever its names: hard links, or a file system that ignores case."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None
