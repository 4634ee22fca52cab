"""Convolutions of one large picture, a strip of rows at a time. For inference.

Features are (1, H, W, C), and stay four-dimensional so that slices of them are channels-last pictures to PyTorch
(a size-1 axis added to a view has a stride that makes it copy). Equal to the modules' ``forward`` within rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn.adapter import Adapter
from dfrestore.nn.cells import evenly
from dfrestore.nn.chains import shuffled
from dfrestore.nn.norm import Normed
from dfrestore.nn.resample import Downsample, Upsample
from dfrestore.nn.rows import Rows, as_kernel, as_matrix, as_pixels, product


def conv3x3(x: Tensor, conv: nn.Conv2d, how: Rows, multiple: int = 1) -> Iterator[tuple[int, int, Tensor]]:
    """(first, end, rows of the padded 3x3 convolution of x (1, H, W, C)), strips of ``multiple`` rows, NHWC."""

    def rows(first: int, end: int) -> Tensor:
        return x[:, first:end].to(how.dtype)

    return conv3x3_of(rows, x.shape[1], x.shape[2], conv, how, multiple)


def conv3x3_of(
    rows: Callable[[int, int], Tensor], height: int, width: int, conv: nn.Conv2d, how: Rows, multiple: int = 1
) -> Iterator[tuple[int, int, Tensor]]:
    """:func:`conv3x3` of a picture of which ``rows(first, end)`` gives (1, end - first, W, C) as they are needed."""
    kernel, bias = as_kernel(conv, how.dtype)
    for first, end in how.spans(height, width * max(conv.in_channels, conv.out_channels), multiple):
        top, bottom = max(0, first - 1), min(height, end + 1)
        part = rows(top, bottom)
        outside = (top - (first - 1), end + 1 - bottom)
        if any(outside):
            part = F.pad(part, (0, 0, 0, 0, *outside))
        yield first, end, F.conv2d(part.permute(0, 3, 1, 2), kernel, bias, padding=(0, 1)).permute(0, 2, 3, 1)


def first_conv(pictures: Sequence[Tensor], conv: nn.Conv2d, stem: int, how: Rows) -> Tensor:
    """(1, H/stem, W/stem, C): the 3x3 convolution of pictures (1, c, H, W) side by side, pixel-unshuffled by stem."""
    height, width = (side // stem for side in pictures[0].shape[2:])
    out = pictures[0].new_empty(1, height, width, conv.out_channels, dtype=how.features or how.dtype)

    def rows(first: int, end: int) -> Tensor:
        image = torch.cat([picture[:, :, first * stem : end * stem] for picture in pictures], dim=1)
        return F.pixel_unshuffle(image, stem).to(how.dtype).permute(0, 2, 3, 1).contiguous()

    for first, end, part in conv3x3_of(rows, height, width, conv, how):
        out[:, first:end] = part
    return out


def last_conv(x: Tensor, conv: nn.Conv2d, stem: int, how: Rows) -> Tensor:
    """(1, c, H*stem, W*stem) float32: the 3x3 convolution of x (1, H, W, C), pixel-shuffled by stem."""
    _, height, width, _ = x.shape
    channels = conv.out_channels // stem**2
    out = x.new_empty(1, channels, height * stem, width * stem, dtype=torch.float32)
    for first, end, part in conv3x3(x, conv, how):
        out[:, :, first * stem : end * stem] = F.pixel_shuffle(part.permute(0, 3, 1, 2), stem)
    return out


def downsample(x: Tensor, module: Downsample, how: Rows) -> Tensor:
    """(1, H, W, C) -> (1, H/2, W/2, 2C)."""
    _, height, width, channels = x.shape
    out = x.new_empty(1, height // 2, width // 2, channels * 2)
    unshuffled = out.view(1, height // 2, width // 2, channels // 2, 2, 2)  # channel = c*4 + row*2 + column
    for first, end, rows in conv3x3(x, module.conv, how, multiple=2):
        split = rows.reshape(1, (end - first) // 2, 2, width // 2, 2, channels // 2)
        unshuffled[:, first // 2 : end // 2] = split.permute(0, 1, 3, 5, 2, 4)
    return out


def upsample(x: Tensor, module: Upsample, how: Rows, out: Tensor | None = None) -> Tensor:
    """(1, H, W, C) -> (1, 2H, 2W, C/2), into ``out`` if given (a view of wider features, for example)."""
    _, height, width, channels = x.shape
    if out is None:
        out = x.new_empty(1, height * 2, width * 2, channels // 2)
    for first, end, rows in conv3x3(x, module.conv, how):
        split = rows.reshape(1, end - first, width, channels // 2, 2, 2).permute(0, 1, 4, 2, 5, 3)
        out[:, 2 * first : 2 * end] = split.reshape(1, 2 * (end - first), 2 * width, channels // 2)
    return out


def merge_(up: Tensor, skip: Tensor, reduce: nn.Conv2d, how: Rows) -> Tensor:
    """The 1x1 convolution of [up, skip], each (1, H, W, C), to C channels, in skip's memory, which is returned."""
    weight, bias = as_matrix(reduce, how.dtype)
    channels = up.shape[3]
    for first, end in how.spans(up.shape[1], up.shape[2] * reduce.in_channels):
        rows = as_pixels(up[:, first:end]).to(how.dtype)
        out = how.buffer("merged", tuple(rows.shape), rows)
        product(rows, weight[:channels], bias, out=out)
        out.addmm_(as_pixels(skip[:, first:end]).to(how.dtype), weight[channels:])
        skip[:, first:end] = out.view(1, end - first, skip.shape[2], channels)
    return skip


def add_conv1x1_(x: Tensor, other: Tensor, conv: nn.Conv2d, how: Rows) -> None:
    """x (1, H, W, C) += conv(other (1, H, W, c)), a 1x1 convolution."""
    for first, end in how.spans(x.shape[1], x.shape[2] * x.shape[3]):
        weight, bias = conv.weight.to(how.dtype).flatten(1), None if conv.bias is None else conv.bias.to(how.dtype)
        x[:, first:end] += F.linear(other[:, first:end].to(how.dtype), weight, bias)


def halved(x: Tensor, conv: nn.Conv2d, how: Rows) -> Tensor:
    """(1, H, W, C) -> (1, H/2, W/2, C'): a 2x2 convolution of stride 2."""
    _, height, width, channels = x.shape
    weight = conv.weight.to(how.dtype).permute(2, 3, 1, 0).reshape(4 * channels, -1)  # (row, column, channel) -> out
    bias = None if conv.bias is None else conv.bias.to(how.dtype)
    out = x.new_empty(1, height // 2, width // 2, conv.out_channels)
    for first, end in how.spans(height, width * max(channels, conv.out_channels), 2):
        blocks = x[:, first:end].to(how.dtype).reshape((end - first) // 2, 2, width // 2, 2, channels).transpose(1, 2)
        rows = blocks.reshape(-1, 4 * channels)
        made = product(rows, weight, bias, out=how.buffer("halved", (len(rows), conv.out_channels), rows))
        out[:, first // 2 : end // 2] = made.view(1, (end - first) // 2, width // 2, -1)
    return out


def grow_(x: Tensor, conv: nn.Conv2d, skip: Tensor, how: Rows) -> Tensor:
    """skip (1, 2H, 2W, C) += the 1x1 convolution of x (1, H, W, C'), pixel-shuffled by 2; skip is returned."""
    weight, bias = as_matrix(conv, how.dtype)
    _, height, width, _ = x.shape
    for first, end in how.spans(height, width * conv.out_channels):
        rows = as_pixels(x[:, first:end]).to(how.dtype)
        made = product(rows, weight, bias, out=how.buffer("grown", (len(rows), conv.out_channels), rows))
        skip[:, 2 * first : 2 * end] += shuffled(made.view(1, end - first, width, -1), 2)
    return skip


def guide_(x: Tensor, picture: Tensor, adapter: Adapter, how: Rows) -> None:
    """x (1, H, W, C) += what the adapter makes of x and of a picture (1, c, H, W)."""
    _, height, width, _ = x.shape
    into, bias = as_matrix(adapter.into, how.dtype)
    back, last = as_matrix(adapter.back, how.dtype)
    assert bias is not None
    assert last is not None

    def rows(first: int, end: int) -> Tensor:
        return picture[:, :, first:end].to(how.dtype).permute(0, 2, 3, 1).contiguous()

    for first, end, seen in conv3x3_of(rows, height, width, adapter.sight, how):
        pixels = as_pixels(x[:, first:end]).to(how.dtype)  # a view where the dtypes agree: then all is done in place
        hidden = torch.addmm(as_pixels(seen) + bias, pixels, into)
        pixels.addmm_(hidden, back)
        pixels += last
        if x.dtype != how.dtype:
            x[:, first:end] = pixels.view(1, end - first, width, -1)


def depthwise(
    x: Tensor,
    norm: Normed,
    project: nn.Conv2d,
    conv: nn.Conv2d,
    how: Rows,
    cut: int = 0,
    multiple: int = 1,
) -> Iterator[tuple[int, int, Tensor]]:
    """(first, end, conv(project(norm(x)))[first:end]), strip by strip; project is 1x1, conv a depth-wise 3x3.

    The last two projected rows of a strip are the first two of the next one, and are carried over: rows that have
    been yielded may be overwritten in x. cut: strips are of whole multiples of so many rows, or of parts of one,
    which then are of whole multiples of ``multiple``.
    """
    _, height, width, _ = x.shape
    weight, bias = as_matrix(project, how.dtype)
    kernel, kernel_bias = as_kernel(conv, how.dtype)
    step = how.step(height, width * conv.out_channels)
    if cut:
        step = step // cut * cut or evenly(cut, step, multiple)
    held = how.buffer("depthwise", (1, step + 2, width, conv.in_channels), x)  # rows first - 1 to end
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
            rows = as_pixels(norm(x[:, begin:last].to(how.dtype)))
            product(rows, weight, bias, out=as_pixels(held[:, begin - first + 1 : last - first + 1]))
        if end == height:
            held[:, count + 1] = 0
        rows = held[:, : count + 2].permute(0, 3, 1, 2)
        out = F.conv2d(rows, kernel, kernel_bias, padding=(0, 1), groups=conv.groups)
        yield first, end, out.permute(0, 2, 3, 1)
        how.finished(count * width * conv.out_channels)
