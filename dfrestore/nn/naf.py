"""The block of NAFNet (Chen et al. 2022): two branches without activations, as a module and as :mod:`.branches`.

    x = x + beta1 * project(attended(gate(depthwise(expand(norm1(x))))))
    x = x + beta2 * project(gate(expand(norm2(x))))

``gate`` multiplies two halves of the channels; ``attended`` multiplies each channel by a number made of the means of
all channels over the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn.branches import Branch, Mixing, Pointwise
from dfrestore.nn.cells import Axis
from dfrestore.nn.norm import Normed
from dfrestore.nn.rows import Rows, as_matrix
from dfrestore.nn.whole import conv1x1

NAF_EPS = 1e-6
Affine = tuple[Tensor, Tensor]
"""(scale, shift), each (B or 1, C), of a layer norm's result."""


def affine_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer norm over the channels of (B, H, W, C), eps 1e-6, times scale, plus shift."""
    scale, shift = scale.to(x.dtype), shift.to(x.dtype)
    if len(scale) == 1:  # one for the whole batch: both fold into the norm
        return F.layer_norm(x, x.shape[-1:], scale[0], shift[0], NAF_EPS)
    return torch.addcmul(shift[:, None, None], F.layer_norm(x, x.shape[-1:], None, None, NAF_EPS), scale[:, None, None])


def _literal_norm(x: Tensor, affine: Affine) -> Tensor:
    """The same of (B, C, H, W), as the paper writes it."""
    variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
    scale, shift = affine
    return (x - mean) / (variance + NAF_EPS).sqrt() * scale[:, :, None, None] + shift[:, :, None, None]


def _gate(x: Tensor, dim: int) -> Tensor:
    first, second = x.chunk(2, dim=dim)
    return first * second


class NAFHalf(nn.Module):
    """The first branch: 1x1 to twice the channels, depth-wise 3x3, gate, channel attention, 1x1 back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attend = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        x = _gate(self.depthwise(self.expand(x)), 1)
        x = x * self.attend(x.mean(dim=(2, 3), keepdim=True))
        out: Tensor = self.project(x) * self.beta
        return out


class NAFFeedForward(nn.Module):
    """The second branch: 1x1 to twice the channels, gate, 1x1 back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        out: Tensor = self.project(_gate(self.expand(x), 1)) * self.beta
        return out


class NAFBlock(nn.Module):
    """Both branches. What their norms are scaled and shifted by is an argument: it is learnt, or made of a code."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mixing = NAFHalf(channels)
        self.feed = NAFFeedForward(channels)

    def forward(self, x: Tensor, first: Affine, second: Affine) -> Tensor:  # (B, C, H, W)
        x = x + self.mixing(_literal_norm(x, first))
        out: Tensor = x + self.feed(_literal_norm(x, second))
        return out

    def branches(self, first: Affine, second: Affine) -> list[Branch]:
        """The same as branches."""
        return [NAFMixing(self.mixing, _normed(first)), NAFPointwise(self.feed, _normed(second))]


def _normed(affine: Affine) -> Normed:
    return partial(affine_norm, scale=affine[0], shift=affine[1])


@dataclass(frozen=True)
class NAFMixing(Mixing):
    """The first branch. Its sums are those of the gated channels, and the number of positions.

    Channel attention scales the rows of the last convolution's matrix; beta scales its columns.
    """

    half: NAFHalf
    norm: Normed

    @property
    def project(self) -> nn.Conv2d:
        return self.half.expand

    @property
    def spatial(self) -> nn.Conv2d:
        return self.half.depthwise

    @property
    def bias(self) -> Tensor | None:
        assert self.half.project.bias is not None
        return self.half.project.bias * self.half.beta.flatten()

    def split(self, wide: Tensor) -> tuple[Tensor, Tensor]:
        gated = _gate(wide, -1)
        return gated, gated

    def matrix(self, summed: Tensor) -> Tensor:
        mean = summed.mean(dim=1, dtype=torch.promote_types(summed.dtype, torch.float32))
        return self._scaled(mean)

    def sums(self, summed: Tensor, how: Rows) -> Tensor:
        wide = torch.promote_types(summed.dtype, torch.float32)
        # each row in its own type first: for fp32 at once, PyTorch would copy all of them
        total = summed.sum(dim=2).sum(dim=(0, 1), dtype=wide)
        return torch.cat([total, total.new_tensor([summed.shape[1] * summed.shape[2]])])

    def sums_of_cells(self, summed: Tensor, columns: Axis) -> Tensor:
        wide, (rows, width) = torch.promote_types(summed.dtype, torch.float32), summed.shape[1:3]
        down = summed.sum(dim=1, dtype=wide)  # (B, W, C)
        down = F.pad(down, (0, 0, 0, columns.cells * columns.side - width))
        total = torch.unflatten(down, 1, (columns.cells, columns.side)).sum(dim=2)
        counts = [rows * min(columns.side, width - i * columns.side) for i in range(columns.cells)]
        return torch.cat([total, total.new_tensor(counts)[None, :, None].expand(len(total), -1, 1)], dim=2)

    def matrices(self, sums: Tensor) -> Tensor:
        return self._scaled(sums[..., :-1] / sums[..., -1:])

    def _scaled(self, mean: Tensor) -> Tensor:
        """(..., C) -> (..., C, C), the right factor of the gated channels."""
        half = self.half
        assert half.attend.bias is not None
        attended = F.linear(mean, half.attend.weight.flatten(1).to(mean.dtype), half.attend.bias.to(mean.dtype))
        matrix = (half.project.weight.flatten(1) * half.beta.view(-1, 1)).t().to(mean.dtype)  # (in, out)
        return attended[..., :, None] * matrix


@dataclass(frozen=True)
class NAFPointwise(Pointwise):
    """The second branch."""

    feed: NAFFeedForward
    norm: Normed

    @property
    def width(self) -> int:
        return self.feed.expand.out_channels

    def add(self, x: Tensor) -> Tensor:
        hidden = _gate(conv1x1(self.norm(x), self.feed.expand), -1)
        weight, bias = self._last(x.dtype)
        return x + F.linear(hidden, weight.t(), bias)

    def add_(self, x: Tensor, how: Rows) -> None:
        weight, bias = as_matrix(self.feed.expand, how.dtype)
        assert bias is not None
        wide = torch.addmm(bias, self.norm(x[None, None])[0, 0], weight)
        weight, bias = self._last(how.dtype)
        x.addmm_(_gate(wide, -1), weight)
        x += bias

    def _last(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The last convolution as a matrix (in, out), and its bias, both times beta."""
        project, beta = self.feed.project, self.feed.beta.flatten()
        assert project.bias is not None
        return (project.weight.flatten(1) * beta[:, None]).t().to(dtype), (project.bias * beta).to(dtype)
