"""The linear noise schedule, the evaluation points of a sampler, and what a prediction means.

x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (Ho et al. 2020, Eq. 4), t = 0 ... T-1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

# What a network's output is: the noise, or the clean picture. The names are those of diffusers.
Prediction = Literal["epsilon", "sample"]


def linear_alpha_bars(steps: int = 1000, first: float = 1e-4, last: float = 2e-2) -> Tensor:
    """alpha_bar_t, t = 0 ... steps-1, float32 (steps,): betas in fp64, cast, cumulative product in fp32."""
    betas = torch.linspace(first, last, steps, dtype=torch.float64).float()
    return torch.cumprod(1 - betas, dim=0)


def timesteps(train_timesteps: int, steps: int, lists: Mapping[int, Sequence[int]] | None = None) -> list[int]:
    """The ``steps`` falling evaluation points: those of ``lists`` for that count, else evenly from T-1 to 0.

    T: ``train_timesteps``. Rounded half to even: of 1000, 4 -> 999, 666, 333, 0 (the authors'); 1 -> 999. Raises
    ValueError outside 1..T.
    """
    last = train_timesteps - 1
    if not 1 <= steps <= train_timesteps:
        raise ValueError(f"steps must be from 1 to {train_timesteps}, got {steps}")
    if lists and steps in lists:
        return list(lists[steps])
    if steps == 1:
        return [last]
    return [round(last * (steps - 1 - i) / (steps - 1)) for i in range(steps)]


def to_x0_eps(
    prediction: Prediction, output: Tensor, x_t: Tensor, alpha_bar: Tensor, clip: float | None = None
) -> tuple[Tensor, Tensor]:
    """(x_0, eps) from a network's output, both of x_t's shape.

    ``epsilon``: output is eps. ``sample``: output is x_0. alpha_bar: that of x_t, broadcastable, float32. clip: x_0 is
    clamped to [-clip, clip], and eps follows from it.
    """
    signal, noise = alpha_bar.sqrt().to(x_t.dtype), (1 - alpha_bar).sqrt().to(x_t.dtype)
    x_0 = output if prediction == "sample" else (x_t - noise * output) / signal
    if clip is not None:
        x_0 = x_0.clamp(-clip, clip)
    elif prediction == "epsilon":
        return x_0, output
    return x_0, (x_t - signal * x_0) / noise
