"""Samplers: deterministic, over any falling list of timesteps. A step is a pure function, the loop :func:`sample`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dfrestore.diffusion.schedule import Prediction, to_x0_eps

Predict = Callable[[Tensor, Tensor], Tensor]
Before = tuple[int, Tensor]
"""The step before: its t, and its clean estimate x0."""
_ROWS = 256


class Step(Protocol):
    """From x at ``t`` to (x at ``following``, clean estimate x0), unclamped; ``following`` None ends: both are x0.

    output: the network's, at x and t; prediction: what it is. alpha_bar: the whole schedule (T,). before: of the step
    before, None at first.
    """

    def __call__(
        self,
        prediction: Prediction,
        output: Tensor,
        x: Tensor,
        alpha_bar: Tensor,
        t: int,
        following: int | None,
        before: Before | None = None,
    ) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Sampler:
    """history: whether a step looks at the one before."""

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
    before: Before | None = None,
) -> tuple[Tensor, Tensor]:
    """DDIM (Song et al. 2021, Eq. 12) with eta = 0: x = sqrt(ab_s) x0 + sqrt(1 - ab_s) eps."""
    x0, eps = to_x0_eps(prediction, output, x, alpha_bar[t])
    if following is None:
        return x0, x0
    target = alpha_bar[following]
    return target.sqrt().to(x.dtype) * x0 + (1 - target).sqrt().to(x.dtype) * eps, x0


SAMPLERS = {"ddim": Sampler(ddim_step)}


def steps_of(times: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """Each t with the one that follows; None after the last."""
    yield from zip(times, [*times[1:], None], strict=True)


def sample(
    predict: Predict, x: Tensor, times: Sequence[int], alpha_bar: Tensor, prediction: Prediction, sampler: str = "ddim"
) -> Iterator[State]:
    """Yield a :class:`State` an evaluation; the last state's x is its clean estimate. Differentiable.

    predict(x_t, t) -> the network's output, x_t (B, 3, H, W), t (1,) float32. x: x_T. times: falling. alpha_bar: (T,).
    """
    alpha_bar, before = alpha_bar.to(x.device), None
    for index, (t, following) in enumerate(steps_of(times)):
        output = predict(x, torch.full((1,), float(t), device=x.device))
        x, x0 = SAMPLERS[sampler].step(prediction, output, x, alpha_bar, t, following, before)
        before = t, x0
        yield State(index, t, x, x0)


def advance_(
    sampler: str,
    prediction: Prediction,
    output: Tensor,
    x: Tensor,
    alpha_bar: Tensor,
    t: int,
    following: int | None,
    before: Before | None,
) -> Before | None:
    """One step in place, (C, H, W): x becomes the next x, output the clean estimate.

    Returns what the next step looks at.
    A few rows at a time, so that its temporaries do not count in a large picture.
    """
    chosen = SAMPLERS[sampler]
    for top in range(0, x.shape[1], _ROWS):
        rows = slice(top, top + _ROWS)
        seen = None if before is None else (before[0], before[1][:, rows])
        x[:, rows], output[:, rows] = chosen.step(
            prediction, output[:, rows], x[:, rows], alpha_bar, t, following, seen
        )
    return (t, output.clone()) if chosen.history and following is not None else None
