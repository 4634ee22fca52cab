"""Layer norm over the channels of each pixel, as the papers write it and on (B, H, W, C) with what is added to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
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


def scaled_layer_norm(x: Tensor, norm: LayerNorm2d, scale: Tensor, shift: Tensor) -> Tensor:
    """norm(x) * scale + shift, x (B, H, W, C), scale and shift (B or 1, C)."""
    body = norm.body
    weight = body.weight * scale
    shift = (shift if body.bias is None else body.bias * scale + shift).to(x.dtype)
    weight = weight.to(x.dtype)
    if body.bias is not None and len(weight) == 1:  # one for the whole batch: both fold into the norm's own
        return F.layer_norm(x, x.shape[-1:], weight[0], shift[0], NORM_EPS)
    normed = _divided(x) if body.bias is None else F.layer_norm(x, x.shape[-1:], None, None, NORM_EPS)
    return torch.addcmul(shift[:, None, None], normed, weight[:, None, None])


def _divided(x: Tensor) -> Tensor:
    out: Tensor = _Divided.apply(x)  # type: ignore[no-untyped-call]
    return out


class _Divided(torch.autograd.Function):
    """x (..., C) divided by its deviation. torch.native_layer_norm makes that beside what it is for, in a sixth of the
    time of torch.var_mean, and has no gradient for it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        normed, _, inverse = torch.native_layer_norm(x, x.shape[-1:], None, None, NORM_EPS)
        inverse = inverse.to(x.dtype)
        out = x * inverse
        ctx.save_for_backward(normed, inverse, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        normed, inverse, out = ctx.saved_tensors
        shared = (gradient * out).mean(dim=-1, keepdim=True)
        return torch.addcmul(gradient, normed, shared, value=-1).mul_(inverse)


def modulated(norm: LayerNorm2d, scale: Tensor, shift: Tensor) -> Normed:
    """:func:`scaled_layer_norm` with this scale and shift."""
    return partial(scaled_layer_norm, norm=norm, scale=scale, shift=shift)
