"""Finding the degraded and the clean picture that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dfrestore.errors import UsageError
from dfrestore.photo.formats import is_candidate
from dfrestore.photo.pair_names import (
    large_folder,
    scale_between_separators,
    scene,
    scene_and_scale,
    side_of_file,
    small_folder,
)
from dfrestore.tasks import pair_folders

# Folder names of the usual data sets: degraded, clean. Compared without case.
LAYOUTS = pair_folders()

Pictures = dict[str, Path]
"""Relative path without extension -> picture."""
NameRule = Callable[[str], "tuple[str, int | None]"]
"""A file's name -> its scene, and the scale that it states."""


@dataclass(frozen=True)
class Pair:
    """Two pictures of one scene. name: the stem, with the folder before it where there are several.

    input: the same file as target where the degraded picture is made from it. masks: of what is missing in it; several
    are one together.
    """

    name: str
    input: Path
    target: Path
    masks: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Matching:
    """Pairs in order of name, and the pictures that found no partner. without_mask: inputs that need one."""

    pairs: tuple[Pair, ...]
    lonely_inputs: tuple[Path, ...] = ()
    lonely_targets: tuple[Path, ...] = ()
    without_mask: tuple[Path, ...] = ()


def match_folders(inputs: Path, targets: Path, *, scale: int = 1) -> Matching:
    """Pair the pictures of two folders (and of their subfolders) by relative path without extension.

    What finds no partner that way is tried again without the role words of its name (``norain-001`` and
    ``rain-001``), then without a scale too (``img_001_SRF_4_LR`` and ``img_001``). scale: of several inputs of one
    scene, the one that states it is taken. UsageError where a folder is missing or two pictures of one folder share
    their name.
    """
    return _matched(pictures_in(inputs), pictures_in(targets), scale)


def find_pairs(root: Path, *, scale: int = 1) -> Matching:
    """All pairs of a data set: ``root/input`` with ``root/target`` or another of :data:`LAYOUTS`.

    Where ``root`` itself has no such folders, its subfolders are searched, at any depth, and names carry the
    folder (``scene/0001``). scale: the inputs are so many times smaller; then ``lr_x4`` with ``hr``, ``LRbicx4`` with
    ``GTmod12``, ``LR_bicubic/X4`` with ``HR``, and folders of ``*_LR`` and ``*_HR`` are found too. UsageError where
    nothing is found, naming the layouts that are known.
    """
    root = Path(root)
    _require_folder(root)
    found = list(_layouts(root, scale))
    if not found:
        known = ", ".join(f"{degraded}/ with {clean}/" for degraded, clean in LAYOUTS)
        if scale > 1:
            known = f"lr_x{scale}/ with hr/, LRbicx{scale}/ with GTmod12/, {known}"
        what = f"folders of pairs of scale {scale}" if scale > 1 else "folders of pairs"
        raise UsageError(f"{root}: no {what} in here; expected {known}")
    pairs: list[Pair] = []
    lonely_inputs: list[Path] = []
    lonely_targets: list[Path] = []
    for folder, ours, theirs in found:
        matching = _matched(ours, theirs, scale)
        prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"
        pairs += [Pair(prefix + pair.name, pair.input, pair.target) for pair in matching.pairs]
        lonely_inputs += matching.lonely_inputs
        lonely_targets += matching.lonely_targets
    return Matching(tuple(pairs), tuple(lonely_inputs), tuple(lonely_targets))


def clean_pairs(folder: Path) -> Matching:
    """The pictures in and below a folder, each as both sides of a pair: its input is made from it.

    In the order in which ``dfrestore degrade`` takes them, that of the PNG files it makes. UsageError as
    :func:`match_folders`.
    """
    pictures = sorted(pictures_in(Path(folder)).items(), key=lambda item: Path(f"{item[0]}.png").parts)
    return Matching(tuple(Pair(key, path, path) for key, path in pictures))


def clean_folder(root: Path) -> Path | None:
    """The folder of clean pictures of a data set, such as ``root/target``."""
    below = _below(root)
    return next((below[clean] for _, clean in LAYOUTS if clean in below), None)


def small_pictures(root: Path, scale: int) -> Path:
    """The folder below ``root`` whose pictures are so many times smaller, such as ``root/lr_x4``, or ``root``."""
    return _small_folder(_below(root), scale) or root


def pictures_in(folder: Path) -> Pictures:
    """All pictures in and below ``folder``. UsageError as :func:`match_folders`."""
    _require_folder(folder)
    found: Pictures = {}
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


def grouped(keys: Iterable[str], rule: NameRule) -> dict[str, list[tuple[str, int | None]]]:
    """Keys, each with the scale of its name, by folder and scene; names without any scene are left out."""
    groups: dict[str, list[tuple[str, int | None]]] = {}
    for key in keys:
        parent, _, name = key.rpartition("/")
        found, scale = rule(name)
        if found:
            groups.setdefault(f"{parent}/{found}", []).append((key, scale))
    return groups


def _matched(ours: Pictures, theirs: Pictures, scale: int) -> Matching:
    """Takes what is paired out of both."""
    pairs = [Pair(key, ours.pop(key), theirs.pop(key)) for key in ours.keys() & theirs.keys()]
    rules: tuple[NameRule, ...] = (lambda name: (scene(name), None), scene_and_scale)
    for rule in rules:
        same = list(_same_scene(ours, theirs, rule, scale))
        pairs += [Pair(key, ours.pop(key), theirs.pop(other)) for key, other in same]
    pairs.sort(key=lambda pair: pair.name)
    return Matching(tuple(pairs), tuple(sorted(ours.values())), tuple(sorted(theirs.values())))


def _same_scene(ours: Pictures, theirs: Pictures, rule: NameRule, scale: int) -> Iterator[tuple[str, str]]:
    """Keys of both sides that are alone in having their scene, and do not state different scales."""
    degraded, clean = grouped(ours, rule), grouped(theirs, rule)
    for found in degraded.keys() & clean.keys():
        stated = [item for item in degraded[found] if item[1] == scale] or degraded[found]
        if len(stated) == len(clean[found]) == 1:
            (key, one), (other, two) = stated[0], clean[found][0]
            if one is None or two is None or one == two:
                yield key, other


def _layouts(folder: Path, scale: int) -> Iterator[tuple[Path, Pictures, Pictures]]:
    """(folder, degraded, clean) for ``folder`` or else for each folder below it that holds a layout."""
    below = _below(folder)
    names = list(_usual_layouts(below))
    if scale > 1:
        names = [*_scaled_layouts(below, scale), *names]
    if names:
        small, large = names[0]
        yield folder, pictures_in(small), pictures_in(large)
        return
    if scale > 1:
        small_ones, large_ones = _sides_of_one_folder(folder)
        if small_ones and large_ones:
            yield folder, small_ones, large_ones
            return
    for name, entry in below.items():
        if scale == 1 or scale_between_separators(name) in (None, scale):  # not image_SRF_2 where 4 is wanted
            yield from _layouts(entry, scale)


def _usual_layouts(below: dict[str, Path]) -> Iterator[tuple[Path, Path]]:
    for degraded, clean in LAYOUTS:
        if degraded in below and clean in below:
            yield below[degraded], below[clean]


def _scaled_layouts(below: dict[str, Path], scale: int) -> Iterator[tuple[Path, Path]]:
    small = _small_folder(below, scale)
    if small is None:
        return
    for stated in (scale, None):
        for name, path in below.items():
            if large_folder(name) == (True, stated) and path != small:
                yield small, path


def _small_folder(below: dict[str, Path], scale: int) -> Path | None:
    """``lr_x4``, or ``X4`` in a folder like ``LR_bicubic``, or a folder like ``lr`` that has none of other scales."""
    for name, path in below.items():
        if small_folder(name) == (True, scale):
            return path
    for name, path in below.items():
        if small_folder(name) == (True, None):
            inside = {stated: entry for key, entry in _below(path).items() if (stated := small_folder(key)[1])}
            if not inside or scale in inside:
                return inside.get(scale, path)
    return None


def _sides_of_one_folder(folder: Path) -> tuple[Pictures, Pictures]:
    """The pictures named ``*_LR`` and ``*_HR`` of a folder, without its subfolders."""
    names = {path.stem: path for path in sorted(folder.iterdir()) if is_candidate(path) and path.is_file()}
    small, large = ({key: path for key, path in names.items() if side_of_file(key) == side} for side in ("lr", "hr"))
    return small, large


def _below(folder: Path) -> dict[str, Path]:
    """The folders in a folder, by their names in small letters."""
    return {entry.name.lower(): entry for entry in sorted(folder.iterdir()) if _is_open_folder(entry)}


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder" if folder.exists() else f"{folder}: no such folder")


def _is_open_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")
