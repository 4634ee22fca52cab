"""The Transformer block of C2F-DFT and its parts, on (B, C, H, W). Tensor names are the authors'.

    x = x + attn(norm1(x) + e)
    x = x + ffn(norm2(x) + e)

``e`` (B, C, 1, 1) is the time embedding: added to the normalised features, before attention and before the
feed-forward (the authors' code; the paper's Eq. 6 adds it to q, k, v instead).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["WithBias", "BiasFree"]
NORM_EPS = 1e-5
UNIT_EPS = 1e-12


class _NormBody(nn.Module):
    """Parameters of a layer norm: ``weight`` (C) and, WithBias, ``bias`` (C)."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if norm == "WithBias" else None


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of each pixel, population variance, eps 1e-5 inside the root.

    ``WithBias`` is the usual one. ``BiasFree`` divides by the deviation around the mean but does not subtract
    the mean, and has no bias (Restormer's bias-free norm).
    """

    def __init__(self, channels: int, norm: Norm = "WithBias") -> None:
        super().__init__()
        self.body = _NormBody(channels, norm)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        scale = torch.rsqrt(variance + NORM_EPS)
        weight = self.body.weight[:, None, None]
        if self.body.bias is None:
            return x * scale * weight
        return (x - mean) * scale * weight + self.body.bias[:, None, None]


class TransposedAttention(nn.Module):
    """Multi-head attention between channels: per head softmax(q k^T * temperature), a c x c matrix.

    q and k are L2-normalised along the pixels; c = channels / heads. (C2F-DFT section 3.2, after Restormer.)
    """

    def __init__(self, channels: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, channels * 3, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(channels * 3, channels * 3, 3, padding=1, groups=channels * 3, bias=bias)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        b, c, h, w = x.shape
        qkv = self.qkv_dwconv(self.qkv(x)).view(b, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.unbind(1)  # each (B, heads, c, H*W)
        q = F.normalize(q, dim=-1, eps=UNIT_EPS)
        k = F.normalize(k, dim=-1, eps=UNIT_EPS)
        attention = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)  # (B, heads, c, c)
        out: Tensor = self.project_out((attention @ v).view(b, c, h, w))
        return out


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
