"""Making pictures smaller the way that papers on super-resolution do: MATLAB's ``imresize``, bicubic, antialiased."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def bicubic_down(batch: Tensor, factor: int, *, eight_bit: bool = True) -> Tensor:
    """(B, C, H, W) in [0, 1] reduced to (B, C, H / factor, W / factor), as MATLAB's ``imresize`` does.

    Keys's kernel with a = -1/2, widened by ``factor``; borders are reflected with the edge repeated. eight_bit: the
    result is rounded to 8 bits, and so are the columns before the rows are made shorter, as for MATLAB's uint8;
    else it may leave [0, 1] a little. ValueError unless both sides are multiples of ``factor``.
    """
    height, width = batch.shape[2:]
    if height % factor or width % factor or factor < 1:
        raise ValueError(f"{width} x {height} pixels cannot be reduced by {factor}")
    taps = torch.arange(4 * factor - factor % 2, dtype=torch.float64) - (2 * factor - (1 + factor % 2) / 2)
    weights = _keys(taps / factor)
    weights = (weights / weights.sum()).to(batch.device, batch.dtype)
    planes = _symmetric(batch, 3 * factor // 2).flatten(0, 1).unsqueeze(1)
    for window, stride in (((1, 1, -1, 1), (factor, 1)), ((1, 1, 1, -1), (1, factor))):
        planes = functional.conv2d(planes, weights.view(window), stride=stride)
        if eight_bit:
            planes = (planes.clamp_(0, 1) * 255).add_(0.5).floor_() / 255
    return planes.view(*batch.shape[:2], height // factor, width // factor)


def _keys(x: Tensor) -> Tensor:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 15."""
    x = x.abs().double()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))


def _symmetric(batch: Tensor, margin: int) -> Tensor:
    """``batch`` continued by reflection with the edge repeated, as often as needed."""
    for dim in (2, 3):
        size = batch.shape[dim]
        index = torch.arange(-margin, size + margin, device=batch.device).remainder(2 * size)
        batch = batch.index_select(dim, torch.minimum(index, 2 * size - 1 - index))
    return batch
