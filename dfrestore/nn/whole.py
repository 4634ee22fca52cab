"""The verbs on whole tensors (B, H, W, C): the literal arithmetic within rounding, faster, and differentiable.

Layer norm runs over the last axis, 1x1 convolutions are matrix products, the 3x3 depth-wise convolution sees
channels-last memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn.adapter import Adapter
from dfrestore.nn.branches import Branch, Mixing, Pointwise, Spatial
from dfrestore.nn.cells import Grid, cells_of
from dfrestore.nn.chains import Chain, ResidualConvs, enlarged, shuffled
from dfrestore.nn.resample import Downsample, Upsample
from dfrestore.nn.window import mix
from dfrestore.windows import Windows


@dataclass(frozen=True)
class Whole:
    """dtype: of the arithmetic. windows: of the statistics, None for the whole picture's. See :class:`.how.How`."""

    dtype: torch.dtype = torch.float32
    windows: Windows | None = None

    def cells(self, level: int, x: Tensor, height: int) -> Grid | None:
        return cells_of(self.windows, level, x.shape[1], x.shape[2], height)

    def read(self, pictures: Sequence[Tensor], conv: nn.Conv2d, stem: int) -> Tensor:
        image = F.pixel_unshuffle(torch.cat(tuple(pictures), dim=1), stem).to(self.dtype)
        return conv3x3(to_nhwc(image), conv)

    def block(self, x: Tensor, branches: Sequence[Branch], cells: Grid | None) -> Tensor:
        for branch in branches:
            x = add_branch(x, branch, cells)
        return x

    def down(self, x: Tensor, module: Downsample) -> Tensor:
        x = conv3x3(x, module.conv)
        b, h, w, c = x.shape
        x = x.reshape(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4)  # unshuffled channel = c*4 + row*2 + column
        return x.reshape(b, h // 2, w // 2, c * 4)

    def up(self, x: Tensor, module: Upsample) -> Tensor:
        x = conv3x3(x, module.conv)
        b, h, w, c = x.shape
        x = x.reshape(b, h, w, c // 4, 2, 2).permute(0, 1, 4, 2, 5, 3)
        return x.reshape(b, h * 2, w * 2, c // 4)

    def merge(self, x: Tensor, skip: Tensor, reduce: nn.Conv2d) -> Tensor:
        return conv1x1(torch.cat([x, skip], dim=-1), reduce)

    def join(self, x: Tensor, module: Upsample, skip: Tensor) -> Tensor:
        return torch.cat([self.up(x, module), skip], dim=-1)

    def halve(self, x: Tensor, conv: nn.Conv2d) -> Tensor:
        b, h, w, c = x.shape
        x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(2, 3).reshape(b, h // 2, w // 2, 4 * c)
        weight, bias = cast(conv, x.dtype)
        return F.linear(x, weight.permute(0, 2, 3, 1).flatten(1), bias)  # of a 2x2 block: row, column, channel

    def grow(self, x: Tensor, conv: nn.Conv2d, skip: Tensor) -> Tensor:
        return skip + shuffled(conv1x1(x, conv), 2)

    def guide(self, x: Tensor, picture: Tensor, adapter: Adapter) -> Tensor:
        seen = conv3x3(to_nhwc(picture.to(self.dtype)), adapter.sight)
        return x + conv1x1(conv1x1(x, adapter.into) + seen, adapter.back)

    def copy(self, x: Tensor) -> Tensor:
        return x

    def add(self, x: Tensor, other: Tensor, conv: nn.Conv2d) -> Tensor:
        return x + conv1x1(other, conv)

    def write(self, x: Tensor, conv: nn.Conv2d, stem: int, residual: Tensor | None) -> Tensor:
        return _plus(F.pixel_shuffle(to_nchw(conv3x3(x, conv)), stem), residual)

    def write_chain(self, x: Tensor, chain: Chain, residual: Tensor | None) -> Tensor:
        return _plus(to_nchw(chained(x, chain)), residual)

    def average(self, pictures: Sequence[tuple[Tensor, int]], chain: Chain) -> Tensor:
        image = torch.cat([F.pixel_unshuffle(picture, stem) for picture, stem in pictures], dim=1)
        x = chained(to_nhwc(image.to(self.dtype)), chain)
        return x.mean(dim=(1, 2), dtype=torch.promote_types(x.dtype, torch.float32))


def _plus(out: Tensor, residual: Tensor | None) -> Tensor:
    """out + residual, enlarged to its size, in its type."""
    return out if residual is None else out.to(residual.dtype) + enlarged(residual, out.shape[2])


def chained(x: Tensor, chain: Chain) -> Tensor:
    """A chain of convolutions on (B, H, W, C) features."""
    for module in chain:
        if isinstance(module, nn.Conv2d):
            x = conv3x3(x, module)
        elif isinstance(module, ResidualConvs):
            x = x + chained(x, list(module.body))
        elif isinstance(module, nn.PixelShuffle):
            x = shuffled(x, module.upscale_factor)
        else:
            assert isinstance(module, nn.LeakyReLU)
            x = F.leaky_relu(x, module.negative_slope)
    return x


def to_nhwc(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), contiguous."""
    return x.permute(0, 2, 3, 1).contiguous()


def to_nchw(x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C, H, W) view in channels-last memory."""
    return x.permute(0, 3, 1, 2)


def conv3x3(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A padded 3x3 convolution of (B, H, W, C) features, depth-wise ones too."""
    weight, bias = cast(conv, x.dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)
    return F.conv2d(to_nchw(x), weight, bias, padding=1, groups=conv.groups).permute(0, 2, 3, 1)


def conv1x1(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution as a matrix product over the last axis."""
    weight, bias = cast(conv, x.dtype)
    return F.linear(x, weight.flatten(1), bias)


def add_branch(x: Tensor, branch: Branch, cells: Grid | None = None) -> Tensor:
    """x + branch(norm(x)), (B, H, W, C). cells: windows of the statistics, None for the whole picture's."""
    if isinstance(branch, Pointwise):
        return branch.add(x)
    assert isinstance(branch, Mixing | Spatial)
    wide = conv3x3(conv1x1(branch.norm(x), branch.project), branch.spatial)
    if isinstance(branch, Spatial):
        return branch.add(x, wide)
    if cells is not None and not cells.whole:
        out = x + mix(wide, branch, cells)
    else:
        b, h, w, c = x.shape
        summed, kept = branch.split(wide.reshape(b, h * w, -1))
        matrix = branch.matrix(summed).to(x.dtype)
        out = torch.baddbmm(x.reshape(b, h * w, c), kept, matrix).view(b, h, w, c)
    return out if branch.bias is None else out + branch.bias.to(x.dtype)


def cast(conv: nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Weight and bias in another type."""
    return conv.weight.to(dtype), None if conv.bias is None else conv.bias.to(dtype)
