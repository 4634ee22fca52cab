"""Under ``torchrun``, one voice: the first process speaks, and one that fails alone says why."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from dfrestore.cli.ending import INTERRUPTED, TERMINATED, Ended, Terminated
from dfrestore.processes import PeerFailed, Peers, launched, meet
from dfrestore.threads import keep_few_kernels

if TYPE_CHECKING:
    from dfrestore.restore.shares import Crew
    from dfrestore.training.distributed import World


@contextlib.contextmanager
def together(device: str) -> Iterator[World]:
    """This process alone, or connected to the others that ``torchrun`` started; ``device``: as the user names it."""
    from dfrestore.training.distributed import SOLO, meeting

    if not launched():
        yield SOLO
        return
    with meeting() as world, _one_voice(world):
        world.connect(device)
        yield world


def in_crew(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a :class:`Crew` as its context's ``obj``: this process, or all that ``torchrun`` started."""

    @functools.wraps(command)
    def run(*, context: typer.Context, **options: Any) -> None:
        with _crew() as context.obj:
            command(context=context, **options)

    return run


@contextlib.contextmanager
def _crew() -> Iterator[Crew]:
    keep_few_kernels()
    from dfrestore.restore.shares import Crew

    if not launched():
        yield Crew()
        return
    from dfrestore.restore.shares import Ranks

    crew = meet(Ranks)
    with _one_voice(crew), _first_signal_only():
        try:
            yield crew
        except (KeyboardInterrupt, Terminated, Ended) as end:
            crew.leave()
            if crew.deserted():
                raise PeerFailed from end
            raise
        finally:
            crew.leave()


@contextlib.contextmanager
def _one_voice(peers: Peers) -> Iterator[None]:
    try:
        with contextlib.nullcontext() if peers.first else _silence(), _failure_first():
            yield
    except (KeyboardInterrupt, Terminated) as end:
        _ignore_signals()
        if peers.first and not peers.failures():
            raise
        raise Ended(INTERRUPTED if isinstance(end, KeyboardInterrupt) else TERMINATED) from end
    except (Ended, typer.Exit):  # all is said
        raise
    except Exception as error:
        _ignore_signals()
        if peers.may_tell(error):
            raise
        raise Ended(getattr(error, "exit_code", 1)) from error


@contextlib.contextmanager
def _failure_first() -> Iterator[None]:
    """torchrun ends the others of a process that is gone: one on its way out for that very reason still tells it."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as end:
        _ignore_signals()
        under = end.__context__
        while under is not None and not isinstance(under, PeerFailed):
            under = under.__context__
        if under is not None:
            raise under from None
        raise


@contextlib.contextmanager
def _first_signal_only() -> Iterator[None]:
    """Ctrl-C arrives twice, from the terminal and from ``torchrun``: the second one would tear what the first began."""

    def heed(number: int, frame: FrameType | None) -> None:
        _ignore_signals()
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, heed)
    yield  # and no way back: what is left to do is to end


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
