"""The Transformer block of DiffIR and its parts, on (B, C, H, W). Tensor names are the authors'.

    x = x + attn(norm1(x) * k1 + k2)
    x = x + ffn(norm2(x) * k1 + k2)

``k1`` and ``k2`` (B, C) are a linear map of the prior vector z, each branch with its own. (Paper, section 3.2.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn import AttentionBranch, Branch, LayerNorm2d, Norm, Normed, Spatial, TransposedAttention, modulated
from dfrestore.nn.rows import Rows, as_matrix
from dfrestore.nn.whole import cast

# Hidden channels of the feed-forward, in strips: a whole multiple of the first, from so many on of the second. A matrix
# product of 562 columns takes a quarter longer than one of 576 (measured on a CPU, fp32).
ALIGNED, ALIGNED_WIDE, WIDE = 4, 16, 128


class _Modulation(nn.Sequential):
    """z (B, code) -> k1, k2 (B, C). Its only layer is called ``0``."""

    def __init__(self, code: int, channels: int) -> None:
        super().__init__(nn.Linear(code, 2 * channels, bias=False))

    def halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        k1, k2 = self(z).chunk(2, dim=1)
        return k1, k2

    def applied(self, x: Tensor, z: Tensor) -> Tensor:
        k1, k2 = self.halves(z)
        return x * k1[:, :, None, None] + k2[:, :, None, None]


class ModulatedAttention(TransposedAttention):
    """Transposed attention that sees its input scaled and shifted by z."""

    def __init__(self, channels: int, heads: int, bias: bool, code: int) -> None:
        super().__init__(channels, heads, bias)
        self.kernel = _Modulation(code, channels)

    def modulated(self, x: Tensor, z: Tensor) -> Tensor:  # (B, C, H, W), (B, code)
        out: Tensor = self(self.kernel.applied(x, z))
        return out


class GatedFeedForward(nn.Module):
    """1x1 convolution to twice ``hidden`` channels, depth-wise 3x3, GELU of one half times the other, 1x1 back."""

    def __init__(self, channels: int, hidden: int, bias: bool, code: int) -> None:
        super().__init__()
        self.kernel = _Modulation(code, channels)
        self.project_in = nn.Conv2d(channels, hidden * 2, 1, bias=bias)
        self.dwconv = nn.Conv2d(hidden * 2, hidden * 2, 3, padding=1, groups=hidden * 2, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:  # (B, C, H, W), (B, code)
        gate, value = self.dwconv(self.project_in(self.kernel.applied(x, z))).chunk(2, dim=1)
        out: Tensor = self.project_out(F.gelu(gate) * value)
        return out

    def padded(self) -> GatedFeedForward:
        """The same with some more hidden channels, which are zero, so that matrix products are fast."""
        channels, hidden = self.project_out.out_channels, self.project_out.in_channels
        more = -hidden % (ALIGNED if hidden < WIDE else ALIGNED_WIDE)
        if not more:
            return self

        def longer(x: Tensor) -> Tensor:
            zeros = x.new_zeros(more, *x.shape[1:])
            return torch.cat([part for half in x.chunk(2) for part in (half, zeros)])

        with torch.device("meta"):
            wide = GatedFeedForward(channels, hidden + more, self.project_out.bias is not None, code=1)
        for own, padded in ((self.project_in, wide.project_in), (self.dwconv, wide.dwconv)):
            for name, tensor in own.named_parameters():
                setattr(padded, name, nn.Parameter(longer(tensor), requires_grad=False))
        weight = F.pad(self.project_out.weight, (0, 0, 0, 0, 0, more))
        wide.project_out.weight = nn.Parameter(weight, requires_grad=False)
        wide.project_out.bias = self.project_out.bias
        return wide


@dataclass(frozen=True)
class GatedBranch(Spatial):
    """The gated feed-forward as a branch."""

    ffn: GatedFeedForward
    norm: Normed

    @property
    def project(self) -> nn.Conv2d:
        return self.ffn.project_in

    @property
    def spatial(self) -> nn.Conv2d:
        return self.ffn.dwconv

    def aligned(self) -> GatedBranch:
        return replace(self, ffn=self.ffn.padded())

    def add(self, x: Tensor, wide: Tensor) -> Tensor:
        gate, value = wide.chunk(2, dim=-1)
        hidden = (F.gelu(gate) * value).flatten(0, 2)
        weight, bias = cast(self.ffn.project_out, x.dtype)
        out = torch.addmm(x.flatten(0, 2), hidden, weight.flatten(1).t()).view(x.shape)
        return out if bias is None else out + bias

    def add_(self, x: Tensor, wide: Tensor, how: Rows) -> None:
        gate, value = wide.chunk(2, dim=-1)
        hidden = torch.ops.aten.gelu_(gate).mul_(value)
        weight, bias = as_matrix(self.ffn.project_out, how.dtype)
        x.addmm_(hidden, weight)
        if bias is not None:
            x += bias


class TransformerBlock(nn.Module):
    """One block."""

    def __init__(self, channels: int, heads: int, ffn_factor: float, bias: bool, norm: Norm, code: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels, norm)
        self.attn = ModulatedAttention(channels, heads, bias, code)
        self.norm2 = LayerNorm2d(channels, norm)
        self.ffn = GatedFeedForward(channels, int(channels * ffn_factor), bias, code)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:  # (B, C, H, W), (B, code)
        x = x + self.attn.modulated(self.norm1(x), z)
        out: Tensor = x + self.ffn(self.norm2(x), z)
        return out

    def branches(self, z: Tensor) -> list[Branch]:
        """The same as branches, for a prior vector z (B or 1, code)."""
        return [
            AttentionBranch(self.attn, modulated(self.norm1, *self.attn.kernel.halves(z))),
            GatedBranch(self.ffn, modulated(self.norm2, *self.ffn.kernel.halves(z))),
        ]
