"""Several processes of one command, as ``torchrun`` starts them: who they are, how they meet, which of them prints.

Training and restoring share this. Messages go through the store that ``torchrun`` keeps for its processes. torch is not
imported before the processes meet, so that a usage error needs none.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from dfrestore.errors import DfrestoreError, StartError, UsageError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")
P = TypeVar("P", bound="Peers")
PATIENCE = 1800.0  # seconds that a process waits for a silent one
COURTESY = 1.0  # seconds that a process leaves to the one with the cause, or to rank 0, to print first
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
