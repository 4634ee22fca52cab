"""DDIM (Song et al. 2021, Eq. 12) with eta = 0: deterministic, any falling list of timesteps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfrestore.diffusion.schedule import Prediction, to_x0_eps

Predict = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class State:
    """After one evaluation: its place in the list, its t, the next x, and the clean estimate x0."""

    index: int
    t: int
    x: Tensor
    x0: Tensor


def initial_noise(height: int, width: int, seed: int) -> Tensor:
    """x_T: (3, height, width) float32 standard normal on the CPU, from the seed alone."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((3, height, width), generator=generator, dtype=torch.float32)


def ddim_step(
    prediction: Prediction, output: Tensor, x: Tensor, alpha_bar: Tensor, t: int, following: int | None
) -> tuple[Tensor, Tensor]:
    """From x at ``t`` to (x at ``following``, clean estimate x0); ``following`` None ends: both are x0.

    x = sqrt(ab_s) x0 + sqrt(1 - ab_s) eps, the estimate unclamped. alpha_bar: the whole schedule (T,).
    """
    x0, eps = to_x0_eps(prediction, output, x, alpha_bar[t])
    if following is None:
        return x0, x0
    target = alpha_bar[following]
    return target.sqrt().to(x.dtype) * x0 + (1 - target).sqrt().to(x.dtype) * eps, x0


def ddim(
    predict: Predict, x: Tensor, steps: Sequence[int], alpha_bar: Tensor, prediction: Prediction
) -> Iterator[State]:
    """Yield a :class:`State` an evaluation; the last state's x is its clean estimate, unclamped.

    predict(x_t, t) -> the network's output, x_t (B, 3, H, W), t (1,) float32. x: x_T. steps: falling. alpha_bar: (T,).
    """
    alpha_bar = alpha_bar.to(x.device)
    for index, (t, following) in enumerate(zip(steps, [*steps[1:], None], strict=True)):
        output = predict(x, torch.full((1,), float(t), device=x.device))
        x, x0 = ddim_step(prediction, output, x, alpha_bar, t, following)
        yield State(index, t, x, x0)
