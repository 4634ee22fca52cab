"""Under ``torchrun``, one voice: the first process speaks, and one that fails alone says why."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.cli.ending import INTERRUPTED, TERMINATED, Ended, Terminated

if TYPE_CHECKING:
    from dfrestore.training.distributed import World


@contextlib.contextmanager
def together(device: str) -> Iterator[World]:
    """This process alone, or connected to the others that ``torchrun`` started; ``device``: as the user names it."""
    from dfrestore.training.distributed import SOLO, launched, meeting

    if not launched():
        yield SOLO
        return
    with meeting() as world:
        try:
            with contextlib.nullcontext() if world.first else _silence():
                world.connect(device)
                yield world
        except (KeyboardInterrupt, Terminated) as end:
            _ignore_signals()
            if world.first and not world.failures():
                raise
            raise Ended(INTERRUPTED if isinstance(end, KeyboardInterrupt) else TERMINATED) from end
        except Exception as error:
            _ignore_signals()
            if world.may_tell(error):
                raise
            raise Ended(getattr(error, "exit_code", 1)) from error


def _ignore_signals() -> None:
    """torchrun ends the others of a process that failed: this one is about to end anyway, with its own code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
