"""Several processes of one command, as ``torchrun`` starts them: who they are, how they meet, which of them prints.

Training and restoring share this. Messages go through the store that ``torchrun`` keeps for its processes. torch is not
imported before the processes meet, so that a usage error needs none.
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
PATIENCE = 1800.0  # seconds that a process waits for a silent one
COURTESY = 1.0  # seconds that a process leaves to the one with the cause, or to rank 0, to print first
# Measured on two cores at one megapixel: see examples/engine.md.
SPINS = "1000"
# One evaluation of a photo takes about a hundred kernels, of 0.2 to 0.45 MB each: see examples/engine.md.
KERNELS = "256"
_FAILED = "failed"  # in the store: how many processes have reported a failure


class PeerFailed(DfrestoreError):
    """Another process is gone, so this one cannot go on either."""

    def __init__(self, sign: str = "") -> None:
        seen = f" ({sign.strip().splitlines()[0][:120]})" if sign.strip() else ""
        super().__init__(f"another process of this run ended without a word: killed, or out of memory{seen}")


class Peers:
    """One of several processes. rank: its number, from 0, of ``size``; local_rank: its number on its own machine, which
    has ``local_size``. A method that needs a process that is gone raises :class:`PeerFailed`.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store, self.rank, self.size = store, rank, size
        self.local_rank = int(os.environ.get("LOCAL_RANK", rank))
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))

    @property
    def first(self) -> bool:
        """Whether this process prints, and writes the files that a run has once."""
        return self.rank == 0

    @property
    def shares_machine(self) -> bool:
        """Whether there are other processes on this machine."""
        return self.local_size > 1

    def place(self, name: str) -> str:
        """The device that ``--device name`` means for this process: the CPU, or a GPU of its own."""
        import torch

        if name == "mps" or (":" in name and self.shares_machine):
            raise UsageError(f"--device {name}: several processes work on the CPU or each on a GPU of its own")
        if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
            return f"cuda:{self.local_rank}"
        return "cpu" if name == "auto" else name

    def in_turn(self, load: Callable[[], T]) -> T:
        """``load()`` in one process of each machine first, then in its others, which find the result in the cache."""
        machine = os.environ.get("GROUP_RANK", "0")
        if self.local_rank == 0:
            value = load()
            self.store.add(f"loaded/{machine}", 1)
            return value
        # polled, not a barrier, so that a signal still ends this process
        with gone():
            while not self.store.add(f"loaded/{machine}", 0):
                if self.failures():
                    raise PeerFailed
                time.sleep(0.1)
        return load()

    def failures(self) -> int:
        """How many processes have reported a failure; 0 if ``torchrun`` itself is gone."""
        return self._failures(0)

    def may_tell(self, error: BaseException) -> bool:
        """Whether this process prints why the run ends: the first to fail does; of several at once, rank 0."""
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
    """Turn a broken or silent connection into :class:`PeerFailed`."""
    try:
        yield
    except RuntimeError as error:  # torch's DistError is one
        raise PeerFailed(str(error)) from error


def let_waiting_threads_sleep(environment: MutableMapping[str, str] = os.environ, system: str = sys.platform) -> None:
    """Make OpenMP's threads sleep soon when they wait for work, unless the user has set how they wait.

    By default they spin, and on a busy machine everything then takes many times as long. Call this before torch is
    loaded, which reads the setting. GNU's runtime on Linux (libgomp) counts rounds of spinning; those of LLVM and Intel
    on macOS and Windows count milliseconds.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(environment):
        return
    if system.startswith("linux"):
        environment["GOMP_SPINCOUNT"] = SPINS
    else:
        environment["KMP_BLOCKTIME"] = "1"


def keep_few_kernels(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let oneDNN, which makes a kernel for each shape of its arguments, keep the last ones alone.

    By default it and PyTorch keep a thousand each, which photos of many sizes fill with half a gigabyte. Call this
    before torch is loaded, in work on whole photos; training, whose shapes come back in each step, needs more.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        environment.setdefault(name, KERNELS)


def use_threads(count: int | None) -> None:
    """Let torch compute with ``count`` threads of the CPU; None and 0 leave it as it is."""
    if count:
        import torch

        torch.set_num_threads(count)


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
