"""One large picture, a strip of rows at a time: how it is walked, and convolutions on the way. For inference.

Features are (1, H, W, C), and stay four-dimensional so that slices of them are channels-last pictures to PyTorch
(a size-1 axis added to a view has a stride that makes it copy). Equal to the modules' ``forward`` within rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn.cells import evenly
from dfrestore.nn.resample import Downsample, Upsample
from dfrestore.windows import Windows

# Values of the widest map in a strip: enough to keep cores busy, few enough for their caches (measured: flat from
# one to two million on a CPU, slower below and far above).
VALUES = 1_600_000


@dataclass
class Strips:
    """How a picture is walked: dtype of the arithmetic, size of a strip, and buffers that every strip uses again.

    features: dtype in which they are kept between strips (converted strip by strip), the arithmetic's if None.
    windows: of the attention, None for the whole picture's statistics.
    values: of the widest map in a strip. rows: strips of so many rows instead, at every level.
    """

    dtype: torch.dtype = torch.float32
    features: torch.dtype | None = None
    windows: Windows | None = None
    values: int = VALUES
    rows: int = 0
    _buffers: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def spans(self, height: int, row: int, multiple: int = 1) -> Iterator[tuple[int, int]]:
        """Strips (first, end) of ``height`` rows, a row being ``row`` values; all but the last of whole multiples."""
        step = self.step(height, row, multiple)
        for first in range(0, height, step):
            yield first, min(height, first + step)

    def step(self, height: int, row: int, multiple: int = 1) -> int:
        """Rows of a strip."""
        rows = self.rows or self.values // row
        return min(height, max(multiple, rows // multiple * multiple))

    def buffer(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory of this shape with whatever is in it, of ``dtype`` on like's device; the same memory next time."""
        return self._take(name, shape, self.dtype, like.device)

    def store(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory of this shape and of like's type; the same memory next time."""
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


# -- convolutions between the blocks --------------------------------------------------------------------------------


def conv3x3(x: Tensor, conv: nn.Conv2d, strips: Strips, multiple: int = 1) -> Iterator[tuple[int, int, Tensor]]:
    """(first, end, rows of the padded 3x3 convolution of x (1, H, W, C)), strips of ``multiple`` rows, NHWC."""

    def rows(first: int, end: int) -> Tensor:
        return x[:, first:end].to(strips.dtype)

    return conv3x3_of(rows, x.shape[1], x.shape[2], conv, strips, multiple)


def conv3x3_of(
    rows: Callable[[int, int], Tensor], height: int, width: int, conv: nn.Conv2d, strips: Strips, multiple: int = 1
) -> Iterator[tuple[int, int, Tensor]]:
    """:func:`conv3x3` of a picture of which ``rows(first, end)`` gives (1, end - first, W, C) as they are needed."""
    kernel, bias = as_kernel(conv, strips.dtype)
    for first, end in strips.spans(height, width * max(conv.in_channels, conv.out_channels), multiple):
        top, bottom = max(0, first - 1), min(height, end + 1)
        part = rows(top, bottom)
        outside = (top - (first - 1), end + 1 - bottom)
        if any(outside):
            part = F.pad(part, (0, 0, 0, 0, *outside))
        yield first, end, F.conv2d(part.permute(0, 3, 1, 2), kernel, bias, padding=(0, 1)).permute(0, 2, 3, 1)


def downsample(x: Tensor, module: Downsample, strips: Strips) -> Tensor:
    """(1, H, W, C) -> (1, H/2, W/2, 2C)."""
    _, height, width, channels = x.shape
    conv = module.body[0]
    assert isinstance(conv, nn.Conv2d)
    out = x.new_empty(1, height // 2, width // 2, channels * 2)
    unshuffled = out.view(1, height // 2, width // 2, channels // 2, 2, 2)  # channel = c*4 + row*2 + column
    for first, end, rows in conv3x3(x, conv, strips, multiple=2):
        split = rows.reshape(1, (end - first) // 2, 2, width // 2, 2, channels // 2)
        unshuffled[:, first // 2 : end // 2] = split.permute(0, 1, 3, 5, 2, 4)
    return out


def upsample(x: Tensor, module: Upsample, strips: Strips, out: Tensor | None = None) -> Tensor:
    """(1, H, W, C) -> (1, 2H, 2W, C/2), into ``out`` if given (a view of wider features, for example)."""
    _, height, width, channels = x.shape
    conv = module.body[0]
    assert isinstance(conv, nn.Conv2d)
    if out is None:
        out = x.new_empty(1, height * 2, width * 2, channels // 2)
    for first, end, rows in conv3x3(x, conv, strips):
        split = rows.reshape(1, end - first, width, channels // 2, 2, 2).permute(0, 1, 4, 2, 5, 3)
        out[:, 2 * first : 2 * end] = split.reshape(1, 2 * (end - first), 2 * width, channels // 2)
    return out


def merge_(up: Tensor, skip: Tensor, reduce: nn.Conv2d, strips: Strips) -> Tensor:
    """The 1x1 convolution of [up, skip], each (1, H, W, C), to C channels, in skip's memory, which is returned."""
    weight, bias = as_matrix(reduce, strips.dtype)
    channels = up.shape[3]
    for first, end in strips.spans(up.shape[1], up.shape[2] * reduce.in_channels):
        rows = as_pixels(up[:, first:end]).to(strips.dtype)
        out = strips.buffer("merged", tuple(rows.shape), rows)
        product(rows, weight[:channels], bias, out=out)
        out.addmm_(as_pixels(skip[:, first:end]).to(strips.dtype), weight[channels:])
        skip[:, first:end] = out.view(1, end - first, skip.shape[2], channels)
    return skip


def depthwise(
    x: Tensor,
    prepare: Callable[[Tensor], Tensor],
    project: nn.Conv2d,
    conv: nn.Conv2d,
    strips: Strips,
    cut: int = 0,
    multiple: int = 1,
) -> Iterator[tuple[int, int, Tensor]]:
    """(first, end, conv(project(prepare(x)))[first:end]), strip by strip; project is 1x1, conv a depth-wise 3x3.

    The last two projected rows of a strip are the first two of the next one, and are carried over: rows that have
    been yielded may be overwritten in x. cut: strips are of whole multiples of so many rows, or of parts of one,
    which then are of whole multiples of ``multiple``.
    """
    _, height, width, _ = x.shape
    weight, bias = as_matrix(project, strips.dtype)
    kernel, kernel_bias = as_kernel(conv, strips.dtype)
    step = strips.step(height, width * conv.out_channels)
    if cut:
        step = step // cut * cut or evenly(cut, step, multiple)
    held = strips.buffer("depthwise", (1, step + 2, width, conv.in_channels), x)  # rows first - 1 to end
    first = end = count = 0
    while end < height:
        first = end
        if first == 0:
            held[:, 0] = 0
        else:
            held[:, :2] = held[:, count : count + 2].clone()
        end = min(height, first + step, (first // cut + 1) * cut if step < cut else height)
        count = end - first
        begin, last = (0 if first == 0 else first + 1), min(height, end + 1)
        if begin < last:
            rows = as_pixels(prepare(x[:, begin:last].to(strips.dtype)))
            product(rows, weight, bias, out=as_pixels(held[:, begin - first + 1 : last - first + 1]))
        if end == height:
            held[:, count + 1] = 0
        rows = held[:, : count + 2].permute(0, 3, 1, 2)
        out = F.conv2d(rows, kernel, kernel_bias, padding=(0, 1), groups=conv.groups)
        yield first, end, out.permute(0, 2, 3, 1)


# -- small parts ----------------------------------------------------------------------------------------------------


def as_pixels(x: Tensor) -> Tensor:
    """(1, n, W, C) -> (n * W, C), a view of rows that lie together."""
    return x.reshape(-1, x.shape[-1])


def product(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """x weight + bias, into ``out``."""
    return torch.mm(x, weight, out=out) if bias is None else torch.addmm(bias, x, weight, out=out)


def as_matrix(conv: nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """A 1x1 convolution as a matrix (in, out), and its bias."""
    return conv.weight.to(dtype).flatten(1).t(), None if conv.bias is None else conv.bias.to(dtype)


def as_kernel(conv: nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """A convolution's weight in channels-last memory, and its bias."""
    weight = conv.weight.to(dtype).contiguous(memory_format=torch.channels_last)
    return weight, None if conv.bias is None else conv.bias.to(dtype)
