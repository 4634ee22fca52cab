"""Rows of a large picture, a strip at a time: how many fit into one, and the memory that every strip uses again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dfrestore.windows import Windows

# Values of the widest map in a strip: enough to keep cores busy, few enough for their caches (measured: flat from
# one to two million on a CPU, slower below and far above).
VALUES = 1_600_000


@dataclass
class Rows:
    """How a picture is walked: the type of the arithmetic, the size of a strip, and buffers that all strips share.

    features: the type in which features are kept between strips; None: that of the arithmetic. windows: of the
    statistics; None: of the whole picture. values: size of a strip, in values of the widest map. rows: if not 0, the
    size of a strip in rows instead, at every level. tick: called after each strip with its values of the widest map;
    an exception that it raises ends the walk.
    """

    dtype: torch.dtype = torch.float32
    features: torch.dtype | None = None
    windows: Windows | None = None
    values: int = VALUES
    rows: int = 0
    tick: Callable[[int], object] | None = field(default=None, repr=False, compare=False)
    _buffers: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def spans(self, height: int, row: int, multiple: int = 1) -> Iterator[tuple[int, int]]:
        """Strips (first, end) of ``height`` rows, a row being ``row`` values; all but the last of whole multiples."""
        step = self.step(height, row, multiple)
        for first in range(0, height, step):
            end = min(height, first + step)
            yield first, end
            self.finished((end - first) * row)

    def step(self, height: int, row: int, multiple: int = 1) -> int:
        """Rows of a strip."""
        rows = self.rows or self.values // row
        return min(height, max(multiple, rows // multiple * multiple))

    def finished(self, values: int) -> None:
        """Tell that a strip of so many values is done."""
        if self.tick is not None:
            self.tick(values)

    def buffer(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Uninitialised memory of this shape, of ``dtype``, on like's device; the same memory for the same name."""
        return self._take(name, shape, self.dtype, like.device)

    def store(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """:meth:`buffer` of like's type."""
        return self._take(name, shape, like.dtype, like.device)

    def release(self) -> None:
        """Give all buffers back."""
        self._buffers.clear()

    def _take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        count = math.prod(shape)
        held = self._buffers.get(name)
        if held is None or held.numel() < count or held.dtype != dtype or held.device != device:
            self._buffers.pop(name, None)
            del held  # before the new one is made: both together could be too much
            held = self._buffers[name] = torch.empty(count, dtype=dtype, device=device)
        return held[:count].view(shape)


def as_pixels(x: Tensor) -> Tensor:
    """(1, n, W, C) -> (n * W, C), a view of rows that lie together."""
    return x.reshape(-1, x.shape[-1])


def product(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """x weight + bias, into ``out``."""
    return torch.mm(x, weight, out=out) if bias is None else torch.addmm(bias, x, weight, out=out)


def as_matrix(conv: torch.nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """A 1x1 convolution as a matrix (in, out), and its bias."""
    return conv.weight.to(dtype).flatten(1).t(), None if conv.bias is None else conv.bias.to(dtype)


def as_kernel(conv: torch.nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """A convolution's weight in channels-last memory, and its bias."""
    weight = conv.weight.to(dtype).contiguous(memory_format=torch.channels_last)
    return weight, None if conv.bias is None else conv.bias.to(dtype)
