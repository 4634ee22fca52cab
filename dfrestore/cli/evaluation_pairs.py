"""What ``dfrestore evaluate`` measures: which options go together, and the pairs that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dfrestore.cli.degrade import PRESETS
from dfrestore.cli.options import check_task, completer
from dfrestore.errors import UsageError, did_you_mean
from dfrestore.tasks import TASKS

if TYPE_CHECKING:
    from dfrestore.evaluation import Open
    from dfrestore.photo.pairs import Matching

# The degradation that each task undoes, as dfrestore.degrade.KINDS has it (a test keeps both equal; it needs torch).
KIND_OF_TASK: Mapping[str, str] = {
    "derain": "rain",
    "denoise": "noise",
    "deblur": "blur",
    "dejpeg": "jpeg",
    "dehaze": "haze",
    "desnow": "snow",
    "raindrop": "drops",
    "defocus": "defocus",
    "upscale": "lowres",
    "inpaint": "holes",
}


@dataclass(frozen=True)
class Asked:
    """The options that say what is measured. folders: RESTORED and TARGET, or none."""

    folders: tuple[Path, ...]
    task: str | None
    data: Path | None = None
    targets: Path | None = None
    clean: Path | None = None
    preset: str | None = None
    masks: Path | None = None

    @property
    def restores(self) -> bool:
        """Whether a model is run."""
        return not self.folders

    @property
    def enlarges(self) -> bool:
        """Whether the pairs follow from the model's scale."""
        return self.restores and self.task is not None and TASKS[self.task].scale

    @property
    def has_holes(self) -> bool:
        """Whether every pair has a mask."""
        return self.masks is not None or (self.restores and self.task is not None and TASKS[self.task].mask)


@dataclass(frozen=True)
class Found:
    """The pairs, how they are opened, and what to tell of them beside the numbers."""

    matching: Matching
    opener: Open
    about: dict[str, Any]


def complete_presets(context: typer.Context, incomplete: str) -> list[str]:
    """The presets of the task's degradation, those of all where no task is named yet."""
    words = (str(context.params.get("task")), *map(str, context.params.get("folders") or ()), *map(str, context.args))
    kinds = [KIND_OF_TASK[word] for word in words if word in KIND_OF_TASK] or list(KIND_OF_TASK.values())
    return completer(*dict.fromkeys(name for kind in kinds for name in PRESETS[kind]))(incomplete)


def checked(asked: Asked, model: str | None, base: Path | None, steps: int | None) -> Asked:
    """The options, a single word for the task taken as ``--task``. Raises UsageError for those that do not fit."""
    if len(asked.folders) == 1 and asked.task is None and str(asked.folders[0]) in TASKS:
        return checked(replace(asked, folders=(), task=str(asked.folders[0])), model, base, steps)
    if asked.folders:
        _check_folders(asked, model, base, steps)
    elif asked.task is None or (asked.data is None and asked.clean is None):
        raise UsageError("give two folders, RESTORED and TARGET, or --task with --data or --clean")
    else:
        _check_restoring(asked, asked.task)
    for folder in (asked.data, asked.targets, asked.clean):  # before a model is loaded, which takes a while
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{folder}: not a folder" if folder.exists() else f"{folder}: no such folder")
    if asked.masks is not None and not asked.masks.exists():
        raise UsageError(f"{asked.masks}: no such file or folder")
    return asked


def find(asked: Asked, scale: int) -> Found:
    """The pairs that the options name. scale: how many times the model enlarges. Raises UsageError."""
    from dfrestore.evaluation import open_hollowed, open_pair
    from dfrestore.photo.pair_masks import masks_in, masks_of_set, with_masks
    from dfrestore.photo.pairs import clean_pairs, match_folders

    as_they_are: Open = open_pair
    masks = None if asked.masks is None else masks_in(asked.masks)
    told = {"masks": asked.masks} if asked.masks is not None else {}
    if asked.folders:
        restored, target = asked.folders
        matching, opener = match_folders(restored, target), as_they_are
        about: dict[str, Any] = {"restored": restored, "target": target}
    elif asked.data is not None:
        matching, opener = _of_data(asked, asked.data, scale)
        about = {"data": asked.data} | ({"targets": asked.targets} if asked.targets is not None else {})
        if masks is None and asked.has_holes:
            masks = masks_of_set(asked.data)
            if not masks:
                raise UsageError(f"{asked.data}: no folder mask/ in here; give --masks, or draw them with --clean")
    else:
        assert asked.clean is not None
        matching, about = clean_pairs(asked.clean), {"clean": asked.clean}
        if masks is None:
            return _made(asked, matching, scale, about)
        opener = open_hollowed
    return Found(matching if masks is None else with_masks(matching, masks), opener, about | told)


def _check_folders(asked: Asked, model: str | None, base: Path | None, steps: int | None) -> None:
    if len(asked.folders) != 2:
        raise UsageError(f"evaluate takes two folders, RESTORED and TARGET, not {len(asked.folders)}")
    if asked.data is not None or any(option is not None for option in (model, base, steps)):
        raise UsageError("two folders are measured as they are: leave out --data, --model, --base and --steps")
    if asked.targets is not None or asked.clean is not None or asked.preset is not None:
        raise UsageError("two folders are measured as they are: leave out --targets, --clean and --preset")


def _check_restoring(asked: Asked, task: str) -> None:
    check_task(task)
    if asked.data is not None and asked.clean is not None:
        raise UsageError("--data and --clean exclude each other")
    if asked.targets is not None and asked.data is None:
        raise UsageError("--targets is about --data; add it")
    if asked.preset is not None and asked.clean is None:
        raise UsageError("--preset is about --clean; add it")
    if asked.masks is not None and not TASKS[task].mask:
        raise UsageError(f"--masks is about tasks that fill holes, not {task}; leave it out")
    if asked.masks is not None and asked.preset is not None:
        raise UsageError("--masks and --preset exclude each other: the preset draws the masks")
    if asked.clean is not None and asked.masks is None:
        _check_preset(asked.preset, task)


def _check_preset(preset: str | None, task: str) -> None:
    if task not in KIND_OF_TASK:
        raise UsageError(f"--clean cannot make inputs for {task}; give pairs with --data")
    known = PRESETS[KIND_OF_TASK[task]]
    if preset is not None and preset not in known:
        raise UsageError(f"--preset {preset} is not one of {', '.join(known)}{did_you_mean(preset, known)}")


def _of_data(asked: Asked, data: Path, scale: int) -> tuple[Matching, Open]:
    from dfrestore.evaluation import open_hollowed, open_pair
    from dfrestore.photo.pairs import clean_folder, clean_pairs, find_pairs, match_folders, small_pictures

    if asked.targets is not None:
        inputs = small_pictures(data, scale) if scale > 1 else data
        return match_folders(inputs, asked.targets, scale=scale), open_pair
    try:
        return find_pairs(data, scale=scale), open_pair
    except UsageError:
        clean = clean_folder(data) if asked.has_holes else None
        if clean is None:
            raise
        return clean_pairs(clean), open_hollowed


def _made(asked: Asked, matching: Matching, scale: int, about: dict[str, Any]) -> Found:
    """Pairs whose inputs are made from the clean pictures; each file's seed is its number, as in a degrade run."""
    assert asked.task is not None
    name = KIND_OF_TASK[asked.task]
    preset = asked.preset or (f"x{scale}" if asked.enlarges else "bench" if "bench" in PRESETS[name] else "mixed")
    from dfrestore.degrade import KINDS
    from dfrestore.evaluation.made import open_degraded

    kind = KINDS[name]
    if preset not in kind.presets:
        raise UsageError(f"--clean cannot make inputs for a model that enlarges by {scale}; give pairs with --data")
    if kind.scale(preset) != scale:
        raise UsageError(
            f"--preset {preset} makes pictures {kind.scale(preset)} times smaller, but the model enlarges by {scale}"
        )
    seeds = {pair.name: seed for seed, pair in enumerate(matching.pairs)}
    return Found(matching, open_degraded(kind, preset, seeds), about | {"preset": preset})
