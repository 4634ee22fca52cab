"""Finding the degraded and the clean picture that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dfrestore.errors import UsageError
from dfrestore.photo.formats import is_candidate
from dfrestore.tasks import pair_folders, role_words

# Folder names of the usual data sets: degraded, clean. Compared without case.
LAYOUTS = pair_folders()
# Words in file names that tell which picture of a pair it is: norain-001 and rain-001, or a_derain and a.
ROLES = role_words()


@dataclass(frozen=True)
class Pair:
    """Two pictures of one scene. name: the stem, with the folder before it where there are several."""

    name: str
    input: Path
    target: Path


@dataclass(frozen=True)
class Matching:
    """Pairs in order of name, and the pictures that found no partner."""

    pairs: tuple[Pair, ...]
    lonely_inputs: tuple[Path, ...]
    lonely_targets: tuple[Path, ...]


def match_folders(inputs: Path, targets: Path) -> Matching:
    """Pair the pictures of two folders (and of their subfolders) by relative path without extension.

    What finds no partner that way is tried again without the role words of its name (``norain-001`` and
    ``rain-001``). UsageError where a folder is missing or two pictures of one folder share their name.
    """
    ours, theirs = _pictures(inputs), _pictures(targets)
    common = ours.keys() & theirs.keys()
    keys = [(key, ours.pop(key), theirs.pop(key)) for key in common]
    ours_by_role, theirs_by_role = _by_role(ours), _by_role(theirs)
    for role in ours_by_role.keys() & theirs_by_role.keys():
        if len(ours_by_role[role]) == len(theirs_by_role[role]) == 1:
            (key,), (other,) = ours_by_role[role], theirs_by_role[role]
            keys.append((key, ours.pop(key), theirs.pop(other)))
    pairs = sorted((Pair(*entry) for entry in keys), key=lambda pair: pair.name)
    return Matching(tuple(pairs), tuple(sorted(ours.values())), tuple(sorted(theirs.values())))


def find_pairs(root: Path) -> Matching:
    """All pairs of a data set: ``root/input`` with ``root/target`` or another of :data:`LAYOUTS`.

    Where ``root`` itself has no such folders, its subfolders are searched, at any depth, and names carry the
    folder (``scene/0001``). UsageError where nothing is found, naming the layouts that are known.
    """
    root = Path(root)
    _require_folder(root)
    found = list(_layouts(root))
    if not found:
        known = ", ".join(f"{degraded}/ with {clean}/" for degraded, clean in LAYOUTS)
        raise UsageError(f"{root}: no folders of pairs in here; expected {known}")
    pairs: list[Pair] = []
    lonely_inputs: list[Path] = []
    lonely_targets: list[Path] = []
    for folder, inputs, targets in found:
        matching = match_folders(inputs, targets)
        prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"
        pairs += [Pair(prefix + pair.name, pair.input, pair.target) for pair in matching.pairs]
        lonely_inputs += matching.lonely_inputs
        lonely_targets += matching.lonely_targets
    return Matching(tuple(pairs), tuple(lonely_inputs), tuple(lonely_targets))


def _layouts(folder: Path) -> Iterable[tuple[Path, Path, Path]]:
    """(folder, degraded, clean) for ``folder`` or else for each folder below it that holds a layout."""
    below = {entry.name.lower(): entry for entry in sorted(folder.iterdir()) if _is_open_folder(entry)}
    for degraded, clean in LAYOUTS:
        if degraded in below and clean in below:
            yield folder, below[degraded], below[clean]
            return
    for entry in below.values():
        yield from _layouts(entry)


def _pictures(folder: Path) -> dict[str, Path]:
    """Relative path without extension -> picture, for all pictures in and below ``folder``."""
    _require_folder(folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not is_candidate(path) or any(part.startswith(".") for part in relative.parts):
            continue
        key = relative.with_suffix("").as_posix()
        if key in found:
            raise UsageError(f"{folder}: {found[key].name} and {path.name} have the same name; keep one of them")
        if path.is_file():
            found[key] = path
    return found


def _by_role(keys: Iterable[str]) -> dict[str, list[str]]:
    """Keys grouped by their name without its role words; a name of nothing but role words is left out."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        parent, _, name = key.rpartition("/")
        words = [word for word in re.split(r"[-_. ]+", name.lower()) if word not in ROLES]
        if words:
            groups.setdefault(f"{parent}/{'_'.join(words)}", []).append(key)
    return groups


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder" if folder.exists() else f"{folder}: no such folder")


def _is_open_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")
