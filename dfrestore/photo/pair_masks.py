"""Finding the masks that belong to pairs of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dfrestore.photo.pair_names import scene, without_mask_word
from dfrestore.photo.pairs import Matching, Pair, Pictures, grouped, pictures_in

_FOLDERS = ("mask", "masks")


def masks_in(place: Path) -> Pictures | Path:
    """The masks in a folder and below it; a file itself. UsageError where there is neither."""
    return place if place.is_file() else pictures_in(place)


def masks_of_set(root: Path) -> Pictures:
    """The masks in the folders ``mask`` and ``masks`` of a data set, named like its pairs (``scene/0001``)."""
    found: Pictures = {}
    for folder in sorted(path for path in root.rglob("*") if path.name.lower() in _FOLDERS and path.is_dir()):
        above = folder.parent.relative_to(root)
        if not any(part.startswith(".") for part in above.parts):
            found |= {(above / key).as_posix(): path for key, path in pictures_in(folder).items()}
    return found


def with_masks(matching: Matching, masks: Mapping[str, Path] | Path) -> Matching:
    """The pairs with their masks; those without one are left out, and their inputs are ``without_mask``.

    A single file is the mask of all. Else a pair takes those of its name, alone or with ``_mask`` or ``_mask003`` after
    it, or where there are none those whose names differ from its own by role words. A picture that is the mask of
    another one in its folder is no pair of its own.
    """
    if isinstance(masks, Path):
        return replace(matching, pairs=tuple(replace(pair, masks=(masks,)) for pair in matching.pairs))
    by_name = grouped(masks, lambda name: (without_mask_word(name), None))
    by_scene = grouped(masks, lambda name: (scene(without_mask_word(name)), None))
    scenes = Counter(_scene_of(pair) for pair in matching.pairs)

    def own(pair: Pair) -> tuple[Path, ...]:
        keys = {pair.name, *(key for key, _ in by_name.get(_key(pair.name, pair.name.rpartition("/")[2]), ()))}
        found = {masks[key] for key in keys if key in masks} - {pair.input, pair.target}
        if not found and scenes[_scene_of(pair)] == 1:
            found = {masks[key] for key, _ in by_scene.get(_scene_of(pair), ())} - {pair.input, pair.target}
        return tuple(sorted(found))

    pairs = [replace(pair, masks=own(pair)) for pair in matching.pairs]
    taken = {path for pair in pairs for path in pair.masks}
    pairs = [pair for pair in pairs if pair.target not in taken]
    without = tuple(pair.input for pair in pairs if not pair.masks)
    return replace(matching, pairs=tuple(pair for pair in pairs if pair.masks), without_mask=without)


def _scene_of(pair: Pair) -> str:
    return _key(pair.name, scene(pair.name.rpartition("/")[2]))


def _key(name: str, found: str) -> str:
    """As :func:`~dfrestore.photo.pairs.grouped` names its groups."""
    return f"{name.rpartition('/')[0]}/{found}"
