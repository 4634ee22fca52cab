"""Smooth random fields over pictures, and generators that depend on one picture's seed alone.

A picture that carries its own seed comes out the same alone and in a batch, on every device: fields are drawn on the
CPU from few numbers and then spread over the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.jpeg import jpeg_loss


def seeded(seed: int) -> torch.Generator:
    """A generator of this seed, on the CPU."""
    return torch.Generator().manual_seed(seed)


def octaves(
    generators: Sequence[torch.Generator], size: tuple[int, int], cells: Sequence[int], falloff: float
) -> Tensor:
    """Noise of several sizes, fp32 (len(generators), 1, H, W) on the CPU; mean about 0, deviation about 1.

    cells: of each size, how many lie along the longer side. falloff: how much weaker each is than the one before.
    """
    longer = max(size)
    total = torch.zeros(len(generators), 1, *size)
    weight, power = 1.0, 0.0
    for count in cells:
        grid = tuple(max(2, round(count * side / longer) + 1) for side in size)
        coarse = torch.stack([torch.randn(1, *grid, generator=generator) for generator in generators])
        total += weight * functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
        power += weight * weight
        weight *= falloff
    return total / math.sqrt(power)


def box_mean(batch: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 pixels of (B, C, H, W); at borders over those that exist."""
    for dim in (2, 3):
        size = batch.shape[dim]
        sums = functional.pad(batch.cumsum(dim), (1, 0, 0, 0) if dim == 3 else (0, 0, 1, 0))
        last = (torch.arange(size, device=batch.device) + radius + 1).clamp(max=size)
        first = (torch.arange(size, device=batch.device) - radius).clamp(min=0)
        count = (last - first).view((-1, 1) if dim == 2 else (-1,))
        batch = (sums.index_select(dim, last) - sums.index_select(dim, first)) / count
    return batch


def along_edges(field: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """``field`` (B, 1, H, W) bent to the edges of ``guide``, the same shape: He et al., "Guided image filtering".

    ECCV 2010, equations 5 to 8. eps: variance of the guide below which an edge is none.
    """
    mean_guide, mean_field = box_mean(guide, radius), box_mean(field, radius)
    variance = box_mean(guide * guide, radius) - mean_guide * mean_guide
    covariance = box_mean(guide * field, radius) - mean_guide * mean_field
    slope = covariance / (variance.clamp_(min=0) + eps)
    return box_mean(slope, radius) * guide + box_mean(mean_field - slope * mean_guide, radius)


def touched_up(
    batch: Tensor, generators: Sequence[torch.Generator], noise: Sequence[float], quality: Sequence[int | None]
) -> Tensor:
    """(B, 3, H, W) with white noise of sigma ``noise`` (on 0..255) and a JPEG of ``quality`` where there is one."""
    for i, (generator, sigma) in enumerate(zip(generators, noise, strict=True)):
        if sigma > 0:
            draws = torch.randn(batch.shape[1:], generator=generator) * (sigma / 255)
            batch[i] = (batch[i] + draws.to(batch.device)).clamp_(0, 1)
    saved = [(i, number) for i, number in enumerate(quality) if number is not None]
    if saved:
        chosen = [i for i, _ in saved]
        batch[chosen] = jpeg_loss(batch[chosen], [number for _, number in saved])
    return batch
