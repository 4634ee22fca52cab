"""Checkpoints of a run: the last few by iteration and the best. A run continues from the newest that can be read."""

from __future__ import annotations

import contextlib
import textwrap
from pathlib import Path
from shlex import quote

import torch

from dfrestore.engine import is_out_of_memory
from dfrestore.errors import DfrestoreError, StartError
from dfrestore.files import atomic_file, remedy
from dfrestore.training.trainer import Trainer

BEST = "best.pt"


def state_path(folder: Path, iterations: int) -> Path:
    """The checkpoint of a run that has done so many."""
    return folder / "checkpoints" / f"{iterations:08d}.pt"


def save_state(trainer: Trainer, folder: Path) -> Path:
    """Write all that resuming needs as ``checkpoints/ITERATION.pt``, then remove all but the last few.

    Older checkpoints stay until the new one is complete on disk. Raises :class:`DfrestoreError` where it cannot be
    written.
    """
    path = state_path(folder, trainer.done)
    _save(trainer, path)
    numbers = {_number(p): p for p in (folder / "checkpoints").glob("*.pt")}
    earlier = sorted(n for n in numbers if 0 <= n <= trainer.done)
    kept = {-1, *earlier[-trainer.config.keep_checkpoints :]}
    for number in numbers.keys() - kept:  # also later ones: of a longer schedule, or damaged ones
        with contextlib.suppress(OSError):
            numbers[number].unlink()
    return path


def save_best(trainer: Trainer, folder: Path) -> Path:
    """The state with the best validation so far, as ``checkpoints/best.pt``."""
    path = folder / "checkpoints" / BEST
    _save(trainer, path)
    return path


def load_state(trainer: Trainer, folder: Path) -> list[str]:
    """Continue from the folder's newest checkpoint, bit for bit. Returns a line on each damaged one it skipped.

    Without any checkpoint the run starts over (it was stopped before the first save). Raises :class:`StartError`
    where there are checkpoints but none can be read, and for one that was saved with other settings.
    """
    found = [path for path in (folder / "checkpoints").glob("*.pt") if path.name != BEST]
    remarks: list[str] = []
    for path in sorted(found, key=_number, reverse=True):
        try:
            state = torch.load(path, map_location=trainer.device, weights_only=True)
        except Exception as error:
            remarks.append(f"{path}: this checkpoint cannot be read ({error}); continuing from the one before")
            continue
        try:
            trainer.load_state_dict(state)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            cause = textwrap.shorten(str(error), 160)
            raise StartError(
                f"{path}: was saved with other settings ({cause}); leave out what --set changes, or begin a new run "
                "from its model with --init-from"
            ) from error
        return remarks
    if remarks:
        cause = remarks[0].removesuffix("; continuing from the one before")
        more = f", nor can {len(remarks) - 1} before it" if len(remarks) > 1 else ""
        raise StartError(f"{cause}{more}; remove {folder / 'checkpoints'} to start over")
    return []


def _save(trainer: Trainer, path: Path) -> None:
    try:
        path.parent.mkdir(exist_ok=True)  # users remove the folder to start over
        with atomic_file(path, overwrite=True) as file:
            torch.save(trainer.state_dict(), file)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):  # torch wraps the system's error in one of its own
            raise
        raise DfrestoreError(
            f"{path}: cannot be saved ({cause.strerror or cause}); {remedy(cause)}, then continue with "
            f"--resume {quote(str(path.parent.parent))}; earlier checkpoints are intact"
        ) from error


def _number(path: Path) -> int:
    """Iterations that a checkpoint has done; -1 for other names."""
    return int(path.stem) if path.stem.isdecimal() else -1
