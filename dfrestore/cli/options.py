"""Values that options hold in a form of their own: ``8G``, ``global``, ``1024x768``, and completion of names."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files

from dfrestore import windows
from dfrestore.errors import UsageError, did_you_mean
from dfrestore.tasks import TASKS

# Names that completion knows without numpy and torch (a test keeps them equal to those of photo and engine).
FORMAT_NAMES = ("png", "jpg", "webp", "tiff", "avif")
DEVICE_NAMES = ("auto", "cpu", "cuda", "cuda:0", "mps")
PRECISION_NAMES = ("auto", "fp32", "bf16", "fp16")

_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_memory(text: str | None) -> int | None:
    """``8G``, ``512M``, ``1.5GiB``, ``800000000`` -> bytes, in powers of 1024. Raises UsageError."""
    if text is None:
        return None
    value = _scaled(text, 1024, r"(?:i?B)?")
    if not value:
        raise UsageError(f"--memory {text} is not a size like 8G or 512M")
    return value


def parse_pixels(text: str | None) -> int | None:
    """``200M``, ``64000000`` -> a count, in powers of 1000. Raises UsageError."""
    if text is None:
        return None
    value = _scaled(text, 1000, r"(?:P|px)?")
    if not value:
        raise UsageError(f"--max-pixels {text} is not a number of pixels like 200M")
    return value


def parse_window(text: str | None) -> windows.Words | None:
    """A window in one form (see :mod:`dfrestore.windows`). Raises UsageError."""
    return None if text is None else windows.asked_for(text, "--window")


def parse_size(text: str) -> tuple[int, int]:
    """``1024x768`` -> (width, height). Raises UsageError."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text.strip().lower())
    if match is None:
        raise UsageError(f"--size {text} is not WIDTHxHEIGHT like 1024x768")
    return int(match[1]), int(match[2])


def check_task(task: str) -> None:
    """Raises UsageError where no command restores ``task``."""
    if task not in TASKS:
        raise UsageError(f"unknown task '{task}'{did_you_mean(task, TASKS)} (known: {', '.join(TASKS)})")


def completer(*names: str) -> Callable[[str], list[str]]:
    """Completion by those of ``names`` that begin like what is typed."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def complete_tasks(incomplete: str) -> list[str]:
    """The tasks that have a command."""
    return completer(*TASKS)(incomplete)


def complete_presets(incomplete: str) -> list[str]:
    """The presets of training."""
    folder = files("dfrestore") / "training" / "presets"
    names = (item.name for item in folder.iterdir())
    return completer(*sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))(incomplete)


def complete_models(incomplete: str) -> list[str]:
    """Names of registered models that begin like this; no model, no complaint."""
    from dfrestore.errors import DfrestoreError
    from dfrestore.weights import load_registry

    try:
        models = load_registry().models.values()
    except DfrestoreError:
        return []
    names = {name for entry in models for name in (entry.name, entry.short_name)}
    return sorted(name for name in names if name.startswith(incomplete))


def _scaled(text: str, base: int, unit: str) -> int | None:
    match = re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?){unit}", text.strip(), re.IGNORECASE)
    return int(float(match[1]) * base ** _POWERS[match[2].upper()]) if match else None
