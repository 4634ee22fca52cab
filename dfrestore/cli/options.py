"""Parsing of values such as ``8G``, ``global`` and ``1024x768``, and completion of names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING

import typer

from dfrestore import devices, sizes, windows
from dfrestore.errors import DfrestoreError, UsageError, did_you_mean
from dfrestore.tasks import AUTO, DETECT, TASKS, restoring_tasks

if TYPE_CHECKING:
    from dfrestore.weights import ModelEntry

# For completion, which needs no numpy (a test keeps them equal to those of photo).
FORMAT_NAMES = ("png", "jpg", "webp", "tiff", "avif")
DEVICE_NAMES = ("auto", "cpu", "cuda", "cuda:0", "mps")
LEAST_TILE = 64  # pixels
_BARE = 1 << 20  # bytes: nobody means a smaller number without a unit as it stands
_GIGABYTES = 256  # the largest such number that is taken for gigabytes


def parse_memory(text: str | None) -> int | None:
    """``--memory``, like ``8G`` -> bytes, at least one (see :mod:`dfrestore.sizes`). Raises UsageError."""
    if text is None:
        return None
    value = sizes.parse_bytes(text, "--memory")
    if value == 0:
        raise UsageError(f"--memory {text} leaves nothing to work with; give a size like 8G or 512M")
    if value < _BARE and not text.strip()[-1].isalpha():
        unit = "G" if value <= _GIGABYTES else "M"
        raise UsageError(f"--memory {text} would be {value} bytes; give a unit, like {value}{unit}")
    return value


def parse_pixels(text: str | None) -> int | None:
    """``--max-pixels``, like ``200M`` -> a count, at least one (see :mod:`dfrestore.sizes`). Raises UsageError."""
    value = None if text is None else sizes.parse_pixels(text, "--max-pixels")
    if value == 0:
        raise UsageError(f"--max-pixels {text} would refuse every picture; give a number like 200M")
    return value


def parse_window(text: str | None) -> windows.WindowSetting | None:
    """``--window`` in its canonical form (see :mod:`dfrestore.windows`). Raises UsageError."""
    return None if text is None else windows.requested_window(text, "--window")


def check_tile(side: int | None) -> None:
    """Raise UsageError for a ``--tile`` so small that a photo would take hours."""
    if side is not None and 0 < side < LEAST_TILE:
        raise UsageError(f"--tile {side}: a side of {LEAST_TILE} pixels or more is needed, or 0 for the whole photo")


def parse_size(text: str) -> tuple[int, int]:
    """``1024x768`` -> (width, height). Raises UsageError."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text.strip().lower())
    if match is None:
        raise UsageError(f"--size {text} is not WIDTHxHEIGHT like 1024x768")
    return int(match[1]), int(match[2])


def checked(check: Callable[[str], object]) -> Callable[[str], str]:
    """A callback of options: the value, once ``check`` has seen it; its UsageError is told before anything is done."""

    def callback(value: str) -> str:
        try:
            check(value)
        except UsageError as error:
            raise typer.BadParameter(str(error)) from error
        return value

    return callback


def share(option: str) -> Callable[[str | float], float]:
    """A parser of options that take a share of a whole: ``0.5`` or ``50%`` -> 0.5."""

    def parse(text: str | float) -> float:
        words = str(text).strip()
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(%?)", words, re.ASCII)
        number = -1.0 if match is None else float(match[1])
        value = number / 100 if match is not None and match[2] else number
        if not 0 <= value <= 1:
            way = f"; give {words}% or {number / 100:g}" if 2 <= value <= 100 and value == number else ""
            error = UsageError(f"{option} {words}: a number from 0 to 1, or a percentage, is needed{way}")
            raise typer.BadParameter(str(error)) from error
        return value

    return parse


known_device, known_precision = checked(devices.parse_device), checked(devices.check_precision)


def check_task(task: str, *, training: bool = False) -> None:
    """Raises UsageError where no command restores ``task``; or, for training, where it is not known at all."""
    known = TASKS if training else restoring_tasks()
    if task not in known:
        what = f"'{task}' restores no pictures" if task in TASKS else f"unknown task '{task}'"
        raise UsageError(f"{what}{did_you_mean(task, known)} (known: {', '.join(known)})")


def completer(*names: str) -> Callable[[str], list[str]]:
    """A completion: those of ``names`` that begin with what is typed."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def complete_tasks(incomplete: str) -> list[str]:
    """The tasks that have a command."""
    return completer(*restoring_tasks())(incomplete)


def complete_trained_tasks(incomplete: str) -> list[str]:
    """Also those that are only trained."""
    return completer(*TASKS)(incomplete)


def complete_presets(incomplete: str) -> list[str]:
    """The presets of training."""
    folder = files("dfrestore") / "training" / "presets"
    names = (item.name for item in folder.iterdir())
    return completer(*sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))(incomplete)


def complete_models(context: typer.Context, incomplete: str) -> list[str]:
    """Models that the command can use: those for its task, by their short names too.

    Where no task is named, those of all tasks; a short name that several have would then be refused. Empty where the
    registry cannot be read.
    """
    task = DETECT if context.info_name == AUTO else _named_task(context)
    models = _registered()
    if task is None and context.info_name in _RESTORING:
        models = [entry for entry in models if entry.task in restoring_tasks()]
    elif task is not None:
        models = [entry for entry in models if entry.task == task]
    short = Counter(entry.short_name for entry in models)
    names = {*(entry.name for entry in models), *(name for name, times in short.items() if times == 1)}
    return completer(*sorted(names))(incomplete)


def complete_bases(incomplete: str) -> list[str]:
    """Full names of models that others build on."""
    models = _registered()
    named, alone = {entry.base for entry in models}, {*restoring_tasks(), DETECT}
    bases = [entry.name for entry in models if entry.name in named or entry.task not in alone]
    return completer(*sorted(bases))(incomplete)


_RESTORING = ("evaluate", "finetune")  # the others have a task, or take any model


def _named_task(context: typer.Context) -> str | None:
    """The task of a command line as far as it is typed: the command itself, ``--task``, or the word in its place."""
    given = context.params.get("folders") or ()  # of evaluate
    words = (context.info_name, *context.args, *given, context.params.get("task"))  # that may be its default
    return next((str(word) for word in words if str(word) in TASKS), None)


def _registered() -> list[ModelEntry]:
    from dfrestore.weights import load_registry

    try:
        return list(load_registry().models.values())
    except DfrestoreError:
        return []
