"""Layer norm over the channels of each pixel, as the papers write it and on (B, H, W, C) with what is added to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["WithBias", "BiasFree"]
Normed = Callable[[Tensor], Tensor]
"""Rows (B, n, W, C) -> the same, normalised and modulated: what a branch sees of its input."""
NORM_EPS = 1e-5


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


def layer_norm(x: Tensor, norm: LayerNorm2d, shift: Tensor) -> Tensor:
    """norm(x) + shift, x (B, H, W, C), shift (B or 1, C) of x's dtype."""
    weight = norm.body.weight.to(x.dtype)
    if norm.body.bias is not None:
        if shift.shape[0] == 1:  # one for the whole batch: it folds into the bias
            return F.layer_norm(x, x.shape[-1:], weight, norm.body.bias.to(x.dtype) + shift[0], NORM_EPS)
        return F.layer_norm(x, x.shape[-1:], weight, norm.body.bias.to(x.dtype), NORM_EPS) + shift[:, None, None]
    variance, _ = torch.var_mean(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1, keepdim=True, correction=0)
    return x * torch.rsqrt(variance + NORM_EPS).to(x.dtype) * weight + shift[:, None, None]


def shifted(norm: LayerNorm2d, shift: Tensor) -> Normed:
    """:func:`layer_norm` with this shift."""
    return partial(layer_norm, norm=norm, shift=shift)
