"""Chains of 3x3 convolutions on one large picture: rows flow through all of them, and no map exists as a whole.

Each convolution is a generator that keeps the last two rows that it has seen, so it is one row behind what feeds it.
For inference. Equal to the modules one after the other within rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn.chains import Chain, ResidualConvs, last_of, shuffled, values
from dfrestore.nn.rows import Rows, as_kernel

Parts = Iterable[Tensor]
"""Rows (1, n, W, C) of a picture, in order."""


def chained(rows: Callable[[int, int], Tensor], height: int, width: int, chain: Chain, how: Rows) -> Iterator[Tensor]:
    """The rows that the chain makes of a picture of which ``rows(first, end)`` gives (1, end - first, W, C)."""
    of_each = values(chain)

    def read() -> Iterator[Tensor]:
        step = how.step(height, width * max(of_each))
        for first in range(0, height, step):
            end = min(height, first + step)
            yield rows(first, end)
            how.finished((end - first) * width * sum(of_each))

    parts: Iterator[Tensor] = read()
    now = height
    for module in chain:
        parts = _after(parts, now, module, how)
        now *= module.upscale_factor if isinstance(module, nn.PixelShuffle) else 1
    return parts


def average(rows: Callable[[int, int], Tensor], height: int, width: int, chain: Chain, how: Rows) -> Tensor:
    """(1, C): the mean over all positions of what the chain makes, in fp32 at least."""
    wide = torch.promote_types(how.dtype, torch.float32)
    total: Tensor | None = None
    for part in chained(rows, height, width, chain, how):
        found = part.sum(dim=(1, 2), dtype=wide)
        total = found if total is None else total + found
    assert total is not None
    return total / (height * width * last_of(chain)[1] ** 2)


def picture(x: Tensor, chain: Chain, how: Rows) -> Tensor:
    """(1, c, H * s, W * s) float32: what the chain makes of features x (1, H, W, C)."""
    _, height, width, _ = x.shape
    channels, scale = last_of(chain)
    out = x.new_empty(1, channels, height * scale, width * scale, dtype=torch.float32)
    first = 0
    for part in chained(lambda top, end: x[:, top:end].to(how.dtype), height, width, chain, how):
        out[:, :, first : first + part.shape[1]] = part.permute(0, 3, 1, 2)
        first += part.shape[1]
    return out


def _after(parts: Iterator[Tensor], height: int, module: nn.Module, how: Rows) -> Iterator[Tensor]:
    """What the module makes of rows of a picture of this height."""
    if isinstance(module, nn.Conv2d):
        return _convolved(parts, height, module, how)
    if isinstance(module, ResidualConvs):
        return _with_residual(parts, height, module, how)
    if isinstance(module, nn.PixelShuffle):
        factor = module.upscale_factor
        return (shuffled(part, factor) for part in parts)
    assert isinstance(module, nn.LeakyReLU)
    slope = module.negative_slope
    return (F.leaky_relu_(part, slope) for part in parts)  # it always follows a convolution: the rows are its own


def _convolved(parts: Parts, height: int, conv: nn.Conv2d, how: Rows) -> Iterator[Tensor]:
    kernel, bias = as_kernel(conv, how.dtype)
    held: Tensor | None = None
    seen = 0
    for part in parts:
        seen += part.shape[1]
        outside = part.new_zeros(1, 1, part.shape[2], part.shape[3])
        held = torch.cat([outside if held is None else held, part, *([outside] if seen == height else [])], dim=1)
        if held.shape[1] > 2:
            out = F.conv2d(held.permute(0, 3, 1, 2), kernel, bias, padding=(0, 1))
            held = held[:, -2:].clone()
            yield out.permute(0, 2, 3, 1)


def _with_residual(parts: Parts, height: int, module: ResidualConvs, how: Rows) -> Iterator[Tensor]:
    waiting: list[Tensor] = []  # rows that have gone into the convolutions and not yet come out

    def seen() -> Iterator[Tensor]:
        for part in parts:
            waiting.append(part)
            yield part

    inner: Iterator[Tensor] = seen()
    for layer in module.body:
        inner = _after(inner, height, layer, how)
    for out in inner:
        count = out.shape[1]
        rows = torch.cat(waiting, dim=1) if len(waiting) > 1 else waiting[0]
        waiting[:] = [rows[:, count:]]
        yield out.add_(rows[:, :count])
