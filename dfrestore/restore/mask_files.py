"""Which mask files serve which photos: found by their names, told from the photos beside them, read and united.

For the photo ``NAME`` a folder of masks holds ``NAME.EXT``, ``NAME_mask.EXT``, ``NAME-mask.EXT``, or
``NAME_mask001.EXT`` and so on, in folders below it like those of the photos.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

from dfrestore.errors import PhotoReadError, UsageError, nearest_beside
from dfrestore.photo import MAX_PIXELS, Photo
from dfrestore.photo.mask import Strength, fitted, read_mask
from dfrestore.photo.mask_source import united
from dfrestore.restore.naming import identity, is_folder
from dfrestore.restore.scan import scan_folder

_MARKED = re.compile(r"(.+)(_mask[0-9]*|-mask)", re.DOTALL)

# How surely a mask is meant for a photo, the surest first. The last: an input is called like the mask itself.
_BY_MARK, _BY_OWN_NAME, _BY_MARK_OF_ANOTHER = range(3)

_Key: TypeAlias = tuple[str, str]
"""(folder below the top, stem): what a photo and a mask of its name have in common."""

_Kinds: TypeAlias = dict[tuple[int, str], list[Path]]
"""(how surely, mark) -> masks of one photo; more than one where only the ending, or upper and lower case, differs."""


@dataclass(frozen=True)
class FoundMasks:
    """masks: for each input, in their order, its mask files; none for those in failures: (input, what is wrong).

    notes: one line each, for people.
    """

    masks: tuple[tuple[Path, ...], ...]
    failures: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()


def photo_stem(stem: str) -> str | None:
    """``photo_mask``, ``photo_mask001``, ``photo-mask`` -> ``photo``: what a mask's name says it is for, else None."""
    found = _MARKED.fullmatch(stem)
    return found.group(1) if found else None


def without_masks(pictures: Sequence[Path], folder: Path, masks: Path) -> list[Path]:
    """The photos among the pictures found in an input folder, where ``--mask`` names ``masks``.

    Left out are the mask file itself, and where the folder is that of the masks, those named after a photo beside
    them. A folder of masks below is for ``scan_folder`` to leave out.
    """
    if not is_folder(masks):
        return [path for path in pictures if not _is_same(path, masks)]
    if identity(masks) != identity(folder):
        return list(pictures)
    beside = {(path.parent, _folded(path.stem)) for path in pictures}
    return [path for path in pictures if (path.parent, photo_stem(_folded(path.stem))) not in beside]


def find_masks(inputs: Sequence[tuple[Path, Path | None]], masks: Path) -> FoundMasks:
    """The mask files of each input. inputs: (path, the input folder it was found in; None for a file that was named).

    One mask file serves all. In a folder, masks whose names are marked (``_mask``, ...) are taken together; where there
    are none, the one of the photo's own name is. Names are compared exactly, and without regard to case where nothing
    is found so. Raises UsageError: nothing there, no pictures in the folder.
    """
    _check_there(masks)
    if not is_folder(masks):
        return _one_for_all(inputs, masks)
    scan = scan_folder(masks)
    if scan.barred and scan.barred[0][0] == masks:
        raise UsageError(f"--mask {scan.barred[0][1]}")
    files = sorted(scan.pictures + scan.results, key=str)
    if not files:
        raise UsageError(f"--mask {masks}: no pictures in this folder")
    search = _Search(masks, files, inputs)
    found: list[tuple[Path, ...]] = []
    failures: list[tuple[Path, str]] = []
    passed: list[Path] = []
    for (path, _), key in zip(inputs, search.photo_keys, strict=True):
        kinds = search.kinds(key)
        surest = min((how for how, _ in kinds), default=_BY_MARK)
        chosen = [same for (how, _), same in kinds.items() if how == surest]
        why = _several_of_a_kind(path, chosen) if chosen else search.why_none(path, key)
        if why is not None:
            failures.append((path, why))
        elif surest == _BY_MARK:
            passed += kinds.get((_BY_OWN_NAME, ""), [])
        found.append(() if why is not None else tuple(mask for same in chosen for mask in same))
    notes = [why for _, why in scan.barred]
    if failures and scan.unread:
        notes.append(f"{scan.unread[0]}: of a kind that is not read as a mask; convert it to PNG")
    return FoundMasks(tuple(found), tuple(failures), (*notes, *_passed_over(passed)))


def _one_for_all(inputs: Sequence[tuple[Path, Path | None]], mask: Path) -> FoundMasks:
    itself = [_is_same(path, mask) for path, _ in inputs]
    failures = ((path, f"{path}: is the mask; leave it out of the INPUTs") for path, _ in inputs)
    return FoundMasks(
        tuple(() if same else (mask,) for same in itself),
        tuple(failure for failure, same in zip(failures, itself, strict=True) if same),
    )


class _Identities(dict[Path, str]):
    """Folder -> a text that is the same for all paths to it; the disk is asked once for each."""

    def __missing__(self, folder: Path) -> str:
        self[folder] = identity(folder)
        return self[folder]


class _Search:
    """The masks of one folder, by the photos that their names are for."""

    def __init__(self, top: Path, files: Sequence[Path], inputs: Sequence[tuple[Path, Path | None]]) -> None:
        self._top, self._files, self._folders = top, files, _Identities()
        self.photo_keys = _keys(inputs)
        self._own_names = frozenset(self.photo_keys)
        self._photos = {self._place(path) for path, _ in inputs}

    def kinds(self, key: _Key) -> Mapping[tuple[int, str], list[Path]]:
        """All masks that may be meant for a photo."""
        return self._exact.get(key) or self._regardless_of_case.get(_folded_key(key)) or {}

    def why_none(self, path: Path, key: _Key) -> str:
        name = Path(*key)
        beside = self._folders[path.parent] == self._folders[self._top / key[0]]
        own = "" if beside else f"{name}.png, "
        hint = "; leave it out if it is a mask itself" if beside and photo_stem(key[1]) else ""
        return f"no mask for {path} in {self._top}: expected {own}{name}_mask.png or {name}_mask001.png{hint}"

    @cached_property
    def _exact(self) -> dict[_Key, _Kinds]:
        return self._indexed(folded=False)

    @cached_property
    def _regardless_of_case(self) -> dict[_Key, _Kinds]:
        return self._indexed(folded=True)

    def _indexed(self, *, folded: bool) -> dict[_Key, _Kinds]:
        index: dict[_Key, _Kinds] = {}
        for mask, key in zip(self._files, _keys((mask, self._top) for mask in self._files), strict=True):
            below, stem = _folded_key(key) if folded else key
            if self._place(mask) not in self._photos:  # a photo is not its own mask
                index.setdefault((below, stem), {}).setdefault((_BY_OWN_NAME, ""), []).append(mask)
            if (found := _MARKED.fullmatch(stem)) is not None:
                how = _BY_MARK_OF_ANOTHER if key in self._own_names else _BY_MARK
                index.setdefault((below, found.group(1)), {}).setdefault((how, found.group(2)), []).append(mask)
        return index

    def _place(self, path: Path) -> tuple[str, str]:
        return self._folders[path.parent], path.name


def _keys(paths: Iterable[tuple[Path, Path | None]]) -> list[_Key]:
    """Of (path, top it lies below); without a top: as if it lay directly in it."""
    known: dict[tuple[Path, Path | None], str] = {}
    keys = []
    for path, top in paths:
        parent = path.parent
        below = known.get((parent, top))
        if below is None:
            below = known[parent, top] = "" if top is None or parent == top else str(parent.relative_to(top))
        keys.append((below, path.stem))
    return keys


def _folded(text: str) -> str:
    """The same for names that differ in upper and lower case, or in how accents are put together, alone."""
    return unicodedata.normalize("NFC", text.casefold())


def _folded_key(key: _Key) -> _Key:
    return _folded(key[0]), _folded(key[1])


def _several_of_a_kind(path: Path, chosen: Iterable[Sequence[Path]]) -> str | None:
    for same in chosen:
        if len(same) > 1:
            return f"{path}: both {same[0]} and {same[1]} could be its mask; keep one of them"
    return None


def _passed_over(files: Sequence[Path]) -> Iterator[str]:
    if files:
        others = "" if len(files) == 1 else f" and {len(files) - 1} more"
        yield f"{files[0]}{others} not taken as a mask, for its photo has others whose names are marked as masks"


def _is_same(path: Path, mask: Path) -> bool:
    """Whether both are one file, under one name."""
    try:
        return _folded(path.name) == _folded(mask.name) and path.samefile(mask)
    except OSError:
        return False


def _check_there(masks: Path) -> None:
    try:
        masks.stat()
    except (FileNotFoundError, NotADirectoryError):
        if masks.is_symlink():
            raise UsageError(f"--mask {masks}: leads nowhere (a link to {masks.readlink()})") from None
        raise UsageError(f"--mask {masks}: no such file or folder{nearest_beside(masks)}") from None
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be searched
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"--mask {masks}: cannot be reached ({why})") from None


@contextmanager
def blaming_mask(path: Path) -> Iterator[None]:
    """An OSError of the block becomes a PhotoReadError that names the mask, or its photo would be blamed for it."""
    try:
        yield
    except OSError as error:
        raise PhotoReadError(f"{path}: the mask cannot be read ({error.strerror or error})") from error


def read_masks(
    paths: Sequence[Path],
    photo: Photo,
    *,
    max_pixels: int = MAX_PIXELS,
    soft: bool | Literal["always"] = False,
) -> tuple[Strength, tuple[str, ...]]:
    """The masks of a photo, each fitted to it, united; and notes on how they were understood, one line each.

    soft: see ``read_mask``. Raises FileFailure that names the mask.
    """
    notes: list[str] = []

    def read(path: Path) -> Strength:
        with blaming_mask(path):
            mask = read_mask(path, max_pixels=max_pixels, soft=soft)
        strength, note = fitted(mask.strength, photo, str(path))
        told = (*mask.notes, *([note] if note else []))
        notes.extend(f"{path.name}: {line}" if len(paths) > 1 else line for line in told)
        return strength

    return united(map(read, paths)), tuple(notes)
