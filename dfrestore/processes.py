"""Several processes of one command, as ``torchrun`` starts them: who they are, how they meet, which of them speaks.

What training and restoring share. What passes between them goes through the store that ``torchrun`` keeps for its
processes. Nothing here imports torch before they meet, so that a usage error is told without it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dfrestore.errors import DfrestoreError, StartError, UsageError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")
P = TypeVar("P", bound="Peers")
PATIENCE = 1800.0  # seconds that a process waits for another that says nothing
COURTESY = 1.0  # seconds in which the process with the cause, or the first one, speaks first
# Measured on two cores at one megapixel: see examples/engine.md.
SPINS = "1000"
_FAILED = "failed"  # in the store: how many processes told of a failure


class PeerFailed(DfrestoreError):
    """Another process is gone, so this one cannot go on either."""

    def __init__(self, sign: str = "") -> None:
        seen = f" ({sign.strip().splitlines()[0][:120]})" if sign.strip() else ""
        super().__init__(f"another process of this run ended without a word: killed, or out of memory{seen}")


class Peers:
    """One of several processes. rank: of this one, from 0; local: its number on its machine; beside: how many are
    there. A neighbour that is gone raises :class:`PeerFailed` in each method that asks it.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store, self.rank, self.size = store, rank, size
        self.local = int(os.environ.get("LOCAL_RANK", rank))
        self.beside = int(os.environ.get("LOCAL_WORLD_SIZE", size))

    @property
    def first(self) -> bool:
        """Whether this process speaks, and writes what there is one of."""
        return self.rank == 0

    @property
    def shares_machine(self) -> bool:
        """Whether there are other processes on this machine."""
        return self.beside > 1

    def place(self, name: str) -> str:
        """The device that ``--device name`` means for this process: the CPU, or a GPU of its own."""
        import torch

        if name == "mps" or (":" in name and self.shares_machine):
            raise UsageError(f"--device {name}: several processes work on the CPU or each on a GPU of its own")
        if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
            return f"cuda:{self.local}"
        return "cpu" if name == "auto" else name

    def in_turn(self, load: Callable[[], T]) -> T:
        """``load()`` in one process of each machine, then in its others, which find what that left in the cache."""
        machine = os.environ.get("GROUP_RANK", "0")
        if self.local == 0:
            value = load()
            self.store.add(f"loaded/{machine}", 1)
            return value
        # looked for now and again: unlike in a barrier, a signal still ends this process, and there is no hurry
        with gone():
            while not self.store.add(f"loaded/{machine}", 0):
                if self.failures():
                    raise PeerFailed
                time.sleep(0.1)
        return load()

    def failures(self) -> int:
        """How many processes told of a failure; none where ``torchrun`` itself is gone."""
        return self._failures(0)

    def may_tell(self, error: BaseException) -> bool:
        """Whether this process is the one that tells why the run ends: the first to fail, of equals the first one."""
        if not self.first or isinstance(error, PeerFailed):
            deadline = time.monotonic() + COURTESY
            while time.monotonic() < deadline:
                if self.failures():
                    return False
                time.sleep(0.05)
        return self._failures(1) <= 1

    def _failures(self, more: int) -> int:
        try:
            return int(self.store.add(_FAILED, more))
        except RuntimeError:
            return 0


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether ``torchrun`` (or what sets the same variables) started this process as one of several."""
    return int(environment.get("WORLD_SIZE", "1")) > 1 and {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= set(environment)


def meet(kind: Callable[[Store, int, int], P]) -> P:
    """This process among the others, with a store that all of them see. Raises :class:`StartError`."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(rendezvous("env://", timeout=datetime.timedelta(seconds=PATIENCE)))
    except (RuntimeError, ValueError, OSError) as error:
        raise StartError(f"the other processes of this run cannot be reached ({error})") from error
    return kind(PrefixStore("dfrestore", store), rank, size)


@contextlib.contextmanager
def gone() -> Iterator[None]:
    """A connection that breaks or stays silent, as what it means."""
    try:
        yield
    except RuntimeError as error:  # torch's DistError is one
        raise PeerFailed(str(error)) from error


def let_waiting_threads_sleep(environment: MutableMapping[str, str] = os.environ, system: str = sys.platform) -> None:
    """Ask OpenMP for threads that soon sleep when they wait for work, unless the user has set how they wait.

    By default they spin, and beside other work on the machine everything takes many times as long as it should. It is
    read when torch is loaded, so this comes before. Linux has GNU's runtime (libgomp), which counts rounds; macOS and
    Windows have LLVM's or Intel's, which count milliseconds.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(environment):
        return
    if system.startswith("linux"):
        environment["GOMP_SPINCOUNT"] = SPINS
    else:
        environment["KMP_BLOCKTIME"] = "1"


def cores() -> int:
    """How many cores this process may use; two threads of one core count once."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    try:
        place = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
        return len({Path(place.format(number)).read_text() for number in allowed})
    except OSError:
        return len(allowed)
