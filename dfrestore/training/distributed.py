"""Several processes that train one network together, as ``torchrun`` starts them, and how they communicate.

Every process draws the same batch from (seed, stage, iteration) and takes its own samples of it, so that several give
the result of one within rounding. Computed for each share alone: MS-SSIM, a product of means over a batch, and the
statistics of batch norm (the patch discriminator's). A spectral norm's vectors follow how often a process calls it, so
they differ where shares are not of equally many parts. Weights are the same in all processes all the same.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore

from dfrestore.engine import choose_device
from dfrestore.errors import StartError
from dfrestore.processes import PATIENCE, PeerFailed, Peers, gone, meet
from dfrestore.training.photos import Photos

T = TypeVar("T")


class World:
    """One process alone. The trainer calls the same methods where there are several. rank: of this one, from 0."""

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
        """``load()`` in one process of each machine first, then in its others, which find the result in the cache."""
        return load()

    def require_same(self, photos: Photos) -> None:
        """Raise :class:`StartError` where this process's photos are not the first one's."""

    @property
    def shares_machine(self) -> bool:
        """Whether there are other processes on this machine."""
        return False


SOLO = World()


class Together(Peers, World):
    """One of several processes. A neighbour that is gone raises :class:`PeerFailed` in each method that asks it."""

    def connect(self, device: str) -> None:
        """Meet the others: over gloo, gradients of GPUs over nccl."""
        place = torch.device(self.device(device))
        kind = place.type
        if kind == "cuda":
            torch.cuda.set_device(place)
        with gone():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo",
                store=PrefixStore("group", self.store),
                rank=self.rank,
                world_size=self.size,
                timeout=datetime.timedelta(seconds=PATIENCE),
            )

    def device(self, name: str) -> str:
        return super().device(self.place(name))

    def sum(self, values: Sequence[float]) -> list[float]:
        total = torch.tensor(list(values), dtype=torch.float64)
        with gone():
            dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        present = grads[0].new_tensor([p.grad is not None for p in parameters])
        flat = torch.cat([*(g.reshape(-1) for g in grads), present])
        with gone():
            dist.all_reduce(flat)
            counts = flat[-len(present) :].tolist()  # waits for a GPU
        parts = torch.split(flat[: -len(present)], [p.numel() for p in parameters])
        for parameter, part, count in zip(parameters, parts, counts, strict=True):
            parameter.grad = part.view_as(parameter) if count else None

    def from_first(self, make: Callable[[], T]) -> T:
        box: list[Any] = [make() if self.first else None]
        with gone():
            dist.broadcast_object_list(box)
        value: T = box[0]
        return value

    def agree(self, arrived: Sequence[int]) -> int:
        flags = torch.tensor([arrived[0] if arrived else 0])
        with gone():
            dist.all_reduce(flags, dist.ReduceOp.MAX)
        return int(flags)

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


@contextlib.contextmanager
def meeting() -> Iterator[Together]:
    """This process among the others, before they are connected. Raises :class:`StartError`."""
    yield meet(Together)
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


def slices(start: int, end: int, count: int) -> list[slice]:
    """start..end in at most ``count`` parts as equal as can be, none empty."""
    edges = [start + (end - start) * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if a < b]


__all__ = ["SOLO", "PeerFailed", "Together", "World", "from_bytes", "meeting", "slices", "to_bytes"]
