"""The Transformer block of C2F-DFT and its parts, on (B, C, H, W). Tensor names are the authors'.

    x = x + attn(norm1(x) + e)
    x = x + ffn(norm2(x) + e)

``e`` (B, C, 1, 1) is the time embedding: added to the normalised features, before attention and before the
feed-forward (the authors' code; the paper's Eq. 6 adds it to q, k, v instead).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn import AttentionBranch, Branch, LayerNorm2d, Norm, Normed, Pointwise, TransposedAttention, shifted
from dfrestore.nn.rows import Rows, as_matrix, product
from dfrestore.nn.whole import cast, conv1x1


class FeedForward(nn.Module):
    """1x1 convolution to int(channels * factor), exact GELU, 1x1 back: no gate, no depth-wise convolution."""

    def __init__(self, channels: int, factor: float = 4.0, bias: bool = False) -> None:
        super().__init__()
        hidden = int(channels * factor)
        self.project_in = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        out: Tensor = self.project_out(F.gelu(self.project_in(x)))
        return out


@dataclass(frozen=True)
class FeedForwardBranch(Pointwise):
    """The feed-forward as a branch."""

    ffn: FeedForward
    norm: Normed

    @property
    def width(self) -> int:
        return self.ffn.project_in.out_channels

    def add(self, x: Tensor) -> Tensor:
        hidden = F.gelu(conv1x1(self.norm(x), self.ffn.project_in)).flatten(0, 2)
        weight, bias = cast(self.ffn.project_out, x.dtype)
        out = torch.addmm(x.flatten(0, 2), hidden, weight.flatten(1).t()).view(x.shape)
        return out if bias is None else out + bias

    def add_(self, x: Tensor, how: Rows) -> None:
        normed = self.norm(x[None, None])[0, 0]
        weight, bias = as_matrix(self.ffn.project_in, how.dtype)
        hidden = product(normed, weight, bias, out=how.buffer("hidden", (len(x), weight.shape[1]), x))
        torch.ops.aten.gelu_(hidden)
        weight, bias = as_matrix(self.ffn.project_out, how.dtype)
        x.addmm_(hidden, weight)
        if bias is not None:
            x += bias


class TransformerBlock(nn.Module):
    """One block; the caller makes the time embedding, once a stage."""

    def __init__(self, channels: int, heads: int, ffn_factor: float, bias: bool, norm: Norm) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels, norm)
        self.attn = TransposedAttention(channels, heads, bias)
        self.norm2 = LayerNorm2d(channels, norm)
        self.ffn = FeedForward(channels, ffn_factor, bias)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:  # x (B, C, H, W), e (B, C, 1, 1)
        x = x + self.attn(self.norm1(x) + e)
        out: Tensor = x + self.ffn(self.norm2(x) + e)
        return out

    def branches(self, e: Tensor) -> list[Branch]:
        """The block as branches, for a time embedding e (B or 1, C)."""
        return [
            AttentionBranch(self.attn, shifted(self.norm1, e)),
            FeedForwardBranch(self.ffn, shifted(self.norm2, e)),
        ]


def time_embedding(t: Tensor, channels: int) -> Tensor:
    """The parameter-free embedding (DDPM form, then SiLU): t (B,) in steps 0..999 -> (B, channels), always float32.

    w_k = exp(-k ln(10000) / (half - 1)), k < half = channels // 2; SiLU([sin(t w), cos(t w)]), a zero
    appended to odd widths. ``channels`` must be at least 4, since half - 1 divides.
    """
    if channels < 4:
        raise ValueError(f"a time embedding needs at least 4 channels, got {channels}")
    half = channels // 2
    k = torch.arange(half, dtype=torch.float32, device=t.device)
    frequencies = torch.exp(k * -(math.log(10000) / (half - 1)))
    angles = t.float()[:, None] * frequencies[None, :]
    embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
    if channels % 2:
        embedding = F.pad(embedding, (0, 1))
    return embedding * torch.sigmoid(embedding)  # in two roundings, as the authors: F.silu differs in the last bit
