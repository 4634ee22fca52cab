"""Checkpoints of a run: the last few by iteration and the best; the newest that can be read is gone on from."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from dfrestore.errors import DfrestoreError, StartError
from dfrestore.files import atomic_file, remedy
from dfrestore.training.trainer import Trainer

BEST = "best.pt"


def state_path(folder: Path, iterations: int) -> Path:
    """The checkpoint of a run that has done so many."""
    return folder / "checkpoints" / f"{iterations:08d}.pt"


def save_state(trainer: Trainer, folder: Path) -> Path:
    """All that resuming needs, as ``checkpoints/ITERATION.pt``; then older ones go, but for the last few.

    Atomic: those that there are stay until the new one is whole on disk. Raises :class:`DfrestoreError` where the
    disk refuses.
    """
    path = state_path(folder, trainer.done)
    _save(trainer, path)
    numbers = {_number(p): p for p in (folder / "checkpoints").glob("*.pt")}
    earlier = sorted(n for n in numbers if 0 <= n <= trainer.done)
    kept = {-1, *earlier[-trainer.config.keep_checkpoints :]}
    for number in numbers.keys() - kept:  # later ones, too: of a longer schedule, or damaged ones that were left
        with contextlib.suppress(OSError):
            numbers[number].unlink()
    return path


def save_best(trainer: Trainer, folder: Path) -> Path:
    """The state with the best validation so far, as ``checkpoints/best.pt``."""
    path = folder / "checkpoints" / BEST
    _save(trainer, path)
    return path


def load_state(trainer: Trainer, folder: Path) -> list[str]:
    """Continue from the folder's newest checkpoint, bit for bit; lines on damaged ones that were passed over.

    Without any, the run starts over (it was stopped before the first save). Raises :class:`StartError` where there
    are some but none can be read.
    """
    found = [path for path in (folder / "checkpoints").glob("*.pt") if path.name != BEST]
    remarks: list[str] = []
    for path in sorted(found, key=_number, reverse=True):
        try:
            trainer.load_state_dict(torch.load(path, map_location=trainer.device, weights_only=True))
        except Exception as error:
            remarks.append(f"{path}: this checkpoint cannot be read ({error}); the one before is taken")
        else:
            return remarks
    if remarks:
        cause = remarks[0].removesuffix("; the one before is taken")
        more = f", nor can {len(remarks) - 1} before it" if len(remarks) > 1 else ""
        raise StartError(f"{cause}{more}; remove {folder / 'checkpoints'} to start over")
    return []


def _save(trainer: Trainer, path: Path) -> None:
    try:
        path.parent.mkdir(exist_ok=True)  # a folder of damaged ones is removed to start over
        with atomic_file(path, overwrite=True) as file:
            torch.save(trainer.state_dict(), file)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):  # torch says it in words of its own, on top of the system's
            raise
        raise DfrestoreError(
            f"{path}: cannot be saved ({cause.strerror or cause}); {remedy(cause)}, and go on with --resume "
            f"{path.parent.parent}: checkpoints of before are whole"
        ) from error


def _number(path: Path) -> int:
    """Iterations that a checkpoint has done; -1 for other names."""
    return int(path.stem) if path.stem.isdecimal() else -1
