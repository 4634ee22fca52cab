"""Several processes that train one network together, as ``torchrun`` starts them; what they tell each other.

Every process draws the same batch from (seed, stage, iteration) and takes its own samples of it, so that several give
the result of one within rounding; only the authors' MS-SSIM, a product of means over a batch, is one of each share.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from dfrestore.engine import choose_device
from dfrestore.errors import DfrestoreError, StartError, UsageError
from dfrestore.training.photos import Photos

T = TypeVar("T")
PATIENCE = 1800.0  # seconds that a process waits for another that says nothing
COURTESY = 1.0  # seconds in which the process with the cause, or the first one, speaks first
_FAILED = "failed"  # in the store: how many processes told of a failure


class PeerFailed(DfrestoreError):
    """Another process is gone, so this one cannot go on either."""

    def __init__(self, sign: str = "") -> None:
        seen = f" ({sign.strip().splitlines()[0][:120]})" if sign.strip() else ""
        super().__init__(f"another process of this run ended without a word: killed, or out of memory{seen}")


class World:
    """One process alone, which is also what all others look like to the trainer. rank: of this one, from 0."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The torch device that ``name`` means here. Raises :class:`DeviceError`."""
        return str(choose_device(name).torch_device)

    def share(self, samples: int) -> tuple[int, int]:
        """(start, end) of this process's part of a batch; parts differ by at most one sample."""
        return samples * self.rank // self.size, samples * (self.rank + 1) // self.size

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the processes, in double precision."""
        return list(values)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Each gradient becomes its sum over the processes; a parameter without one anywhere stays without."""

    def from_first(self, make: Callable[[], T]) -> T:
        """What ``make`` gives in the first process: plain values and tensors on the CPU."""
        return make()

    def agree(self, arrived: Sequence[int]) -> int:
        """The signal that has arrived in any process (the largest), 0 without; the same answer in all of them."""
        return arrived[0] if arrived else 0

    def in_turn(self, load: Callable[[], T]) -> T:
        """``load()`` in one process of each machine, then in its others, which find what that left in the cache."""
        return load()

    def require_same(self, photos: Photos) -> None:
        """Raise :class:`StartError` where this process's photos are not the first one's."""

    @property
    def shares_machine(self) -> bool:
        """Whether there are other processes on this machine."""
        return False


SOLO = World()


class Together(World):
    """One of several processes. A neighbour that is gone raises :class:`PeerFailed` in each method that asks it."""

    def __init__(self, store: Store, rank: int, size: int) -> None:
        super().__init__(rank, size)
        self.store = store
        self.local = int(os.environ.get("LOCAL_RANK", rank))
        self.beside = int(os.environ.get("LOCAL_WORLD_SIZE", size))

    def connect(self, device: str) -> None:
        """Meet the others: over gloo, gradients of GPUs over nccl."""
        place = torch.device(self.device(device))
        kind = place.type
        if kind == "cuda":
            torch.cuda.set_device(place)
        with _gone():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo",
                store=PrefixStore("group", self.store),
                rank=self.rank,
                world_size=self.size,
                timeout=datetime.timedelta(seconds=PATIENCE),
            )

    def device(self, name: str) -> str:
        if name == "mps" or (":" in name and self.beside > 1):
            raise UsageError(f"--device {name}: several processes train on the CPU or each on a GPU of its own")
        if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
            name = f"cuda:{self.local}"
        return super().device("cpu" if name == "auto" else name)

    def sum(self, values: Sequence[float]) -> list[float]:
        total = torch.tensor(list(values), dtype=torch.float64)
        with _gone():
            dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        present = grads[0].new_tensor([p.grad is not None for p in parameters])
        flat = torch.cat([*(g.reshape(-1) for g in grads), present])
        with _gone():
            dist.all_reduce(flat)
            counts = flat[-len(present) :].tolist()  # waits for a GPU
        parts = torch.split(flat[: -len(present)], [p.numel() for p in parameters])
        for parameter, part, count in zip(parameters, parts, counts, strict=True):
            parameter.grad = part.view_as(parameter) if count else None

    def from_first(self, make: Callable[[], T]) -> T:
        box: list[Any] = [make() if self.first else None]
        with _gone():
            dist.broadcast_object_list(box)
        value: T = box[0]
        return value

    def agree(self, arrived: Sequence[int]) -> int:
        flags = torch.tensor([arrived[0] if arrived else 0])
        with _gone():
            dist.all_reduce(flags, dist.ReduceOp.MAX)
        return int(flags)

    def in_turn(self, load: Callable[[], T]) -> T:
        machine = os.environ.get("GROUP_RANK", "0")
        if self.local == 0:
            value = load()
            self.store.add(f"loaded/{machine}", 1)
            return value
        # looked for now and again: unlike in a barrier, a signal still ends this process, and there is no hurry
        with _gone():
            while not self.store.add(f"loaded/{machine}", 0):
                if self.failures():
                    raise PeerFailed
                time.sleep(0.1)
        return load()

    def require_same(self, photos: Photos) -> None:
        held = [photos, *([photos.mixed] if photos.mixed else [])]
        known = [(part.names, [tuple(p.shape) for p in part.pixels]) for part in held]
        own = (len(photos.names), hashlib.sha256(repr(known).encode()).hexdigest())
        first = self.from_first(lambda: own)
        if first != own:
            raise StartError(
                f"process {self.rank} finds other photos than the first one ({own[0]}, there {first[0]}); "
                "give every machine the same ones, in the same order"
            )

    @property
    def shares_machine(self) -> bool:
        return self.beside > 1

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


@contextlib.contextmanager
def meeting() -> Iterator[Together]:
    """This process among the others, before they are connected. Raises :class:`StartError`."""
    try:
        store, rank, size = next(rendezvous("env://", timeout=datetime.timedelta(seconds=PATIENCE)))
    except (RuntimeError, ValueError, OSError) as error:
        raise StartError(f"the other processes of this run cannot be reached ({error})") from error
    yield Together(PrefixStore("dfrestore", store), rank, size)
    if dist.is_initialized():  # not after an error: nccl would wait for those that are gone, and exiting does it too
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def to_bytes(state: Mapping[str, Any]) -> bytes:
    """Tensors and plain values, to be sent."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> dict[str, Any]:
    """What :func:`to_bytes` packed, on the CPU."""
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """A connection that breaks or stays silent, as what it means."""
    try:
        yield
    except RuntimeError as error:  # torch's DistError is one
        raise PeerFailed(str(error)) from error


def slices(start: int, end: int, count: int) -> list[slice]:
    """start..end in at most ``count`` parts as equal as can be, none empty."""
    edges = [start + (end - start) * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if a < b]


__all__ = ["SOLO", "PeerFailed", "Together", "World", "from_bytes", "launched", "meeting", "slices", "to_bytes"]
