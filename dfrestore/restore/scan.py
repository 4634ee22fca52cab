"""A walk through a folder: which of its files are pictures to take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
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
    results, folders that cannot be listed.
    """

    pictures: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    barred: list[tuple[Path, str]] = field(default_factory=list)


def scan_folder(
    folder: Path, *, recursive: bool = True, leave_out: Iterable[Path] = (), template: NameTemplate | None = None
) -> Scan:
    """The pictures of a folder in order of their names, without hidden files, sidecars and our own results.

    Links to folders are followed, except those that lead back to a folder above; of those inside a linked folder only
    the first to each folder, for folders that link to each other have more ways through them than can be walked.
    ``leave_out``: folders below that are not entered (where results go). template: of results beside their inputs.
    """
    scan = Scan()
    closed = frozenset(map(file_of, leave_out)) - {None}
    for path, names in _walk(folder, recursive, closed, scan.barred):
        candidates = [name for name in names if is_candidate(name)]
        stems = {Path(name).stem for name in candidates}
        named = {made for stem in stems if (made := template.of(stem)) != stem} if template is not None else set()
        for name in candidates:
            ours = Path(name).stem.removesuffix(PREVIEW) in named or original_stem(Path(name)) in stems
            (scan.results if ours else scan.pictures).append(path / name)
        scan.unread += (path / name for name in names if is_unread(name))
    return scan


def _walk(
    top: Path, recursive: bool, closed: frozenset[tuple[int, int] | None], barred: list[tuple[Path, str]]
) -> Iterator[tuple[Path, list[str]]]:
    """(folder, names of its files) from the top down. barred: filled with the folders that the system does not let us
    list.
    """
    entered: set[str] = set()  # by a link
    # folder, its real path, those of the folders it was reached by, reached by so many links
    waiting: list[tuple[Path, str, frozenset[str], int]] = [(top, os.path.realpath(top), frozenset(), 0)]
    while waiting:
        folder, real, above, links = waiting.pop()
        if real in above or (links > 1 and real in entered) or (closed and above and file_of(folder) in closed):
            continue
        if links:
            entered.add(real)
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            barred.append((folder, f"{folder}: cannot be listed ({error.strerror or error})"))
            continue
        yield folder, [entry.name for entry in found if _is(entry.is_file)]
        below = [entry for entry in found if recursive and _is_open_folder(entry)]
        for entry in reversed(below):
            # resolving takes a look at each folder of a path: for links only
            its = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)  # noqa: PTH118
            waiting.append((folder / entry.name, its, above | {real}, links + entry.is_symlink()))


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
