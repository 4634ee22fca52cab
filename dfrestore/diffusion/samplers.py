"""Deterministic samplers over any falling list of timesteps. Steps are pure functions; :func:`sample` is the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dfrestore.diffusion.schedule import Prediction, to_x0_eps

Predict = Callable[[Tensor, Tensor], Tensor]
Previous = tuple[int, Tensor]
"""The previous step: its t, and its clean estimate x0."""
_ROWS = 256


class Step(Protocol):
    """From x at ``t`` to (x at ``following``, clean estimate x0), unclamped; ``following`` None ends: both are x0.

    output: the network's, at x and t; prediction: what it is. alpha_bar: the whole schedule (T,). previous: None at the
    first step. clip: the clean estimate is clamped to [-clip, clip], and the noise follows from it.
    """

    def __call__(
        self,
        prediction: Prediction,
        output: Tensor,
        x: Tensor,
        alpha_bar: Tensor,
        t: int,
        following: int | None,
        previous: Previous | None = None,
        clip: float | None = None,
    ) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Sampler:
    """history: whether a step looks at the previous one."""

    step: Step
    history: bool = False


@dataclass(frozen=True)
class State:
    """After one evaluation: its place in the list, its t, the next x, and the clean estimate x0."""

    index: int
    t: int
    x: Tensor
    x0: Tensor


def initial_noise(height: int, width: int, seed: int, channels: int = 3) -> Tensor:
    """x_T: (channels, height, width) float32 standard normal on the CPU, from the seed alone."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((channels, height, width), generator=generator, dtype=torch.float32)


def ddim_step(
    prediction: Prediction,
    output: Tensor,
    x: Tensor,
    alpha_bar: Tensor,
    t: int,
    following: int | None,
    previous: Previous | None = None,
    clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """DDIM (Song et al. 2021, Eq. 12) with eta = 0: x = sqrt(ab_s) x0 + sqrt(1 - ab_s) eps."""
    x0, eps = to_x0_eps(prediction, output, x, alpha_bar[t], clip)
    if following is None:
        return x0, x0
    target = alpha_bar[following]
    return target.sqrt().to(x.dtype) * x0 + (1 - target).sqrt().to(x.dtype) * eps, x0


def dpmpp_2m_step(
    prediction: Prediction,
    output: Tensor,
    x: Tensor,
    alpha_bar: Tensor,
    t: int,
    following: int | None,
    previous: Previous | None = None,
    clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """DPM-Solver++(2M) (Lu et al. 2022, Algorithm 2): clean estimates are carried on along a line through the last two.

    The first step is DDIM. With lambda = log(alpha / sigma) and h its growth, x = sigma_s / sigma_t x
    - alpha_s (exp(-h) - 1) D, and D = x0 + (x0 - x0') h / (2 h'), where x0' and h' are those of the previous step.
    """
    x0, _ = to_x0_eps(prediction, output, x, alpha_bar[t], clip)
    if following is None:
        return x0, x0
    signal, noise = alpha_bar.double().sqrt(), (1 - alpha_bar.double()).sqrt()
    log_ratio = (signal / noise).log()
    h, direction = log_ratio[following] - log_ratio[t], x0
    if previous is not None:
        share = h / (2 * (log_ratio[t] - log_ratio[previous[0]]))
        direction = x0 + share.to(x.dtype) * (x0 - previous[1])
    kept, added = noise[following] / noise[t], -signal[following] * torch.expm1(-h)
    return kept.to(x.dtype) * x + added.to(x.dtype) * direction, x0


SAMPLERS = {"ddim": Sampler(ddim_step), "dpmpp-2m": Sampler(dpmpp_2m_step, history=True)}


def steps_of(times: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """Each t with the one that follows; None after the last."""
    yield from zip(times, [*times[1:], None], strict=True)


def sample(
    predict: Predict, x: Tensor, times: Sequence[int], alpha_bar: Tensor, prediction: Prediction, sampler: str = "ddim"
) -> Iterator[State]:
    """Yield a :class:`State` after each evaluation; the last state's x is the clean estimate. Differentiable.

    predict(x_t, t) -> the network's output, x_t (B, 3, H, W), t (1,) float32. x: x_T. times: falling. alpha_bar: (T,).
    """
    alpha_bar, previous = alpha_bar.to(x.device), None
    for index, (t, following) in enumerate(steps_of(times)):
        output = predict(x, torch.full((1,), float(t), device=x.device))
        x, x0 = SAMPLERS[sampler].step(prediction, output, x, alpha_bar, t, following, previous)
        previous = t, x0
        yield State(index, t, x, x0)


def advance_(
    sampler: str,
    prediction: Prediction,
    output: Tensor,
    x: Tensor,
    alpha_bar: Tensor,
    t: int,
    following: int | None,
    previous: Previous | None,
    clip: float | None = None,
) -> Previous | None:
    """One step in place, (C, H, W): x becomes the next x, output the clean estimate.

    It works on a few rows at a time, so that temporaries stay small. Returns what the next step looks at.
    """
    chosen = SAMPLERS[sampler]
    for top in range(0, x.shape[1], _ROWS):
        rows = slice(top, top + _ROWS)
        seen = None if previous is None else (previous[0], previous[1][:, rows])
        x[:, rows], output[:, rows] = chosen.step(
            prediction, output[:, rows], x[:, rows], alpha_bar, t, following, seen, clip
        )
    return (t, output.clone()) if chosen.history and following is not None else None
