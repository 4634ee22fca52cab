"""The parameter-free time embedding of C2F-DFT (DDPM form, then SiLU)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def time_embedding(t: Tensor, channels: int) -> Tensor:
    """t (B,) in steps 0..999 -> (B, channels), always float32.

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
