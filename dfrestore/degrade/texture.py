"""Photos without their texture: relative total variation smoothing, and photos with a part of their texture.

Xu et al., "Structure extraction from texture via relative total variation", SIGGRAPH Asia 2012, with the parameters of
the published code. What differs between a photo and its smooth picture is the texture that the prior of DTPM learns
(Ye et al., "Learning diffusion texture priors for image restoration", CVPR 2024, stage I).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.arrays import check_batch, to_photo, to_tensor
from dfrestore.degrade.checkerboard import solve
from dfrestore.degrade.dice import named_preset

FINEST = 0.5  # the smallest sigma
FLAT = 1e-3  # difference of blurred neighbours, below which they are the same
TOLERANCE = 1e-4

# name -> the part of the texture that stays
PRESETS: dict[str, float] = {"mixed": 0.0, "kept25": 0.25, "kept50": 0.5, "kept75": 0.75}


def smooth(
    pictures: Tensor,
    strength: float = 0.01,
    sigma: float = 3.0,
    sharpness: float = 0.02,
    rounds: int = 4,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] without their texture; same shape, device and dtype.

    strength: lambda, how much is smoothed. sigma: of the largest texture, in pixels; it is halved from round to round.
    sharpness: epsilon_s, the difference of neighbours up to which they are held together most. tolerance: of the linear
    systems, a relative residual; the default keeps the result within 0.001 of the exact one, 0.01 within about 0.06 in
    half of the time. Every picture is smoothed on its own. ValueError for other shapes.
    """
    check_batch(pictures, "smoothing")
    clean = pictures.float()
    # one after the other, a processor keeps a picture in its cache
    parts = torch.split(clean, 1) if clean.device.type == "cpu" else (clean,)
    done = torch.cat([_smooth(part, strength, sigma, sharpness, rounds, tolerance) for part in parts])
    return done.clamp_(0, 1).to(pictures.dtype)


def with_texture(smoothed: Tensor, clean: Tensor, part: float) -> Tensor:
    """Smoothed pictures with a part of the texture of the clean ones, 0 to 1: figure 1 of DTPM's paper."""
    return torch.lerp(smoothed, clean, part)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """A batch (B, 3, H, W) in [0, 1] with as much of its texture as ``preset`` keeps. Nothing is drawn."""
    part = named_preset("texture", PRESETS, preset)
    return with_texture(smooth(clean), clean, part)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """A whole photo (H, W, 3) in [0, 1] as :func:`degrade_batch`; a new fp32 array, the same for every seed."""
    return to_photo(degrade_batch(to_tensor(rgb, "texture"), preset))


def _smooth(clean: Tensor, strength: float, sigma: float, sharpness: float, rounds: int, tolerance: float) -> Tensor:
    smoothed = clean
    for number in range(rounds):
        across, down = _weights(smoothed, max(sigma / 2**number, FINEST), sharpness)
        smoothed = solve(clean, across.mul_(strength / 2), down.mul_(strength / 2), smoothed, tolerance)
    return smoothed


def _weights(pictures: Tensor, sigma: float, sharpness: float) -> tuple[Tensor, Tensor]:
    """How alike neighbours are to become, (B, 1, H, W) to the right and below: much where differences cancel out.

    The paper's weights u times w, as the published code computes them: one for all channels.
    """
    steepness = torch.hypot(*_differences(pictures)).mean(1, keepdim=True).clamp_(min=sharpness)
    broad = [part.abs_().mean(1, keepdim=True).clamp_(min=FLAT) for part in _differences(_blurred(pictures, sigma))]
    across, down = (part.mul_(steepness).reciprocal_() for part in broad)
    across[..., -1] = 0
    down[..., -1, :] = 0
    return across, down


def _differences(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """To the right neighbour and to the one below; 0 where there is none."""
    return (
        functional.pad(pictures[..., 1:] - pictures[..., :-1], (0, 1)),
        functional.pad(pictures[..., 1:, :] - pictures[..., :-1, :], (0, 0, 0, 1)),
    )


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    """A separable Gaussian of an odd number of taps, about 5 sigma; zero outside the picture.

    Added up by hand: faster on a processor than a convolution of single channels.
    """
    reach = (math.floor(5 * sigma + 0.5) | 1) // 2
    taps = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(reach + 1)]
    total = taps[0] + 2 * sum(taps[1:])
    for dim in (2, 3):
        size = pictures.shape[dim]
        blurred = pictures * (taps[0] / total)
        for step in range(1, min(size, reach + 1)):
            before, after = pictures.narrow(dim, 0, size - step), pictures.narrow(dim, step, size - step)
            blurred.narrow(dim, step, size - step).add_(before, alpha=taps[step] / total)
            blurred.narrow(dim, 0, size - step).add_(after, alpha=taps[step] / total)
        pictures = blurred
    return pictures
