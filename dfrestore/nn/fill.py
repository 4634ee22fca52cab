"""A smooth first guess for what is missing: colours around a hole, from coarse to fine."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SMOOTHINGS = 2  # at each level: on large holes half a decibel better than none, and more are not better


def without_holes(planes: Tensor) -> Tensor:
    """Planes (B, 4, H, W), the fourth the mask, with holes filled smoothly, and a mask that is 1 wherever it was not 0.

    A mask may be softer at its borders: what is to be replaced at all is a hole.
    """
    hole = (planes[:, 3:] > 0).to(planes.dtype)
    return torch.cat([filled_smoothly(planes[:, :3], hole), hole], dim=1)


@torch.no_grad()
def filled_smoothly(picture: Tensor, hole: Tensor) -> Tensor:
    """The picture (B, 3, H, W) with its holes filled; hole: (B, 1, H, W), 1 = missing. What is known stays exactly.

    Known colours are averaged in ever larger squares; on the way back each hole takes what the coarser level knows,
    interpolated (push-pull: Gortler et al., "The lumigraph", SIGGRAPH 1996) and then smoothed, towards the surface that
    is as flat as its rim allows. Without any known pixel it is black.
    """
    known = 1 - hole
    levels = [(picture * known, known)]
    while max(levels[-1][0].shape[-2:]) > 1 and not bool(levels[-1][1].bool().all()):
        levels.append(_halved(*levels[-1]))
    result = levels.pop()[0]
    for colours, sure in reversed(levels):
        coarse = F.interpolate(result, size=colours.shape[-2:], mode="bilinear", align_corners=False)
        result = torch.where(sure > 0, colours, coarse)
        for _ in range(SMOOTHINGS):
            result = torch.where(sure > 0, colours, _mean_of_neighbours(result))
    return result


def _mean_of_neighbours(x: Tensor) -> Tensor:
    """Of the four beside each pixel; edges are repeated. (Jacobi's step for Laplace's equation.)"""
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = wide[:, :, 1:-1, :-2] + wide[:, :, 1:-1, 2:]
    return (across + wide[:, :, :-2, 1:-1] + wide[:, :, 2:, 1:-1]) / 4


def _halved(colours: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the known pixels of squares of two by two, and where there are any."""
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    mean = F.avg_pool2d(colours * known, 2, ceil_mode=True) / share.clamp(min=1e-6)
    sure = (share > 0).to(colours.dtype)
    return mean * sure, sure
