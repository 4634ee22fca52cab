"""The two stages of C2F-DFT's training, each from pure functions: (network call, pictures, draws) -> loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dfrestore.diffusion import Prediction, sample
from dfrestore.losses import PSNR_LEVEL, SSIM_WEIGHT, PictureLoss, l1, picture_loss
from dfrestore.methods.c2f_dft.config import Sampling
from dfrestore.methods.c2f_dft.network import C2FDFT
from dfrestore.methods.method import Batch, Call, Extras, Stage

Unroll = Literal["all", "one"]


@dataclass(frozen=True)
class Coarse(Stage):
    """The network's prediction at every noise level, by L1 (paper, Eq. 5). No settings of its own."""

    name: ClassVar[str] = "coarse"

    def losses(
        self, network: C2FDFT, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        y, target, noise = _pictures(network, batch, draw)
        t = antithetic_timesteps(batch.size, network.sampling.train_timesteps, draw)[batch.part].to(y.device)
        alpha_bars, prediction = network.alpha_bars(y.device), network.sampling.prediction
        return {"loss": coarse_loss(call, y, target, noise, t, alpha_bars, prediction)}


@dataclass(frozen=True)
class Fine(Stage):
    """The sampler's result, by a loss between pictures (paper, Algorithm 1 and Eq. 8).

    steps: sampler steps that are unrolled, drawn at random from the list; empty: the model's default. unroll: ``all``
    takes the loss of the result, with gradient through all evaluations (the paper's); ``one`` takes the loss of the
    clean estimate of one evaluation, drawn at random, with gradient through that one alone, in half the time or less.
    loss, ssim_weight: see :func:`dfrestore.losses.picture_loss`. psnr_level: dB at which the loss ``psnr`` levels off.
    Of a network that fills holes, the first two losses count their insides alone.
    """

    name: ClassVar[str] = "fine"

    steps: tuple[int, ...] = ()
    unroll: Unroll = "all"
    loss: PictureLoss = "l1"
    ssim_weight: float = SSIM_WEIGHT
    psnr_level: float = PSNR_LEVEL

    def __post_init__(self) -> None:
        if any(count < 1 for count in self.steps):
            raise ValueError(f"steps {list(self.steps)} must be positive")

    def resolved(self, default_steps: int) -> Fine:
        return self if self.steps else replace(self, steps=(default_steps,))

    def losses(
        self, network: C2FDFT, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        y, target, noise = _pictures(network, batch, draw)
        count = self.steps[int(torch.randint(len(self.steps), (1,), generator=draw))]
        points = network.timesteps(count)
        if self.unroll == "one":
            points = points[: 1 + int(torch.randint(len(points), (1,), generator=draw))]
        restored = unrolled(call, y, noise, points, network.alpha_bars(y.device), network.sampling, self.unroll)
        settings = {"ssim_weight": self.ssim_weight, "psnr_level": self.psnr_level}
        return {"loss": picture_loss(self.loss, restored, target, weight=_holes(y), **settings)}

    def step_counts(self) -> tuple[int, ...]:
        return self.steps

    def variants(self) -> list[tuple[Fine, int]]:
        return [(replace(self, steps=(count,)), often) for count, often in Counter(self.steps).items()]


STAGES = (Coarse, Fine)


def antithetic_timesteps(batch: int, total: int, generator: torch.Generator) -> Tensor:
    """(batch,) int64: n//2 + 1 uniform draws, then their mirrors total-1-t, the first ``batch`` taken."""
    drawn = torch.randint(0, total, (batch // 2 + 1,), generator=generator)
    return torch.cat([drawn, total - 1 - drawn])[:batch]


def coarse_loss(
    call: Call, y: Tensor, target: Tensor, noise: Tensor, t: Tensor, alpha_bars: Tensor, prediction: Prediction
) -> Tensor:
    """L1 between the network's prediction and what it predicts (paper, Eq. 5).

    y (degraded), target (clean), noise: (B, 3, H, W), pictures in [-1, 1]; t (B,) int64; alpha_bars (T,). y may have a
    mask as a fourth plane; then the insides of the holes count alone.
    """
    alpha_bar = alpha_bars[t].to(target.dtype)[:, None, None, None]
    x_t = alpha_bar.sqrt() * target + (1 - alpha_bar).sqrt() * noise
    output = call(y, x_t, t.float())
    return l1(output, noise if prediction == "epsilon" else target, _holes(y))


def unrolled(
    call: Call,
    y: Tensor,
    x: Tensor,
    points: Sequence[int],
    alpha_bars: Tensor,
    sampling: Sampling,
    through: Unroll = "all",
    checkpointed: bool = True,
) -> Tensor:
    """The sampler's result, differentiable; checkpointed: only one evaluation's activations are held at a time.

    y, x (x_T): (B, 3, H, W) in [-1, 1]; points: falling. through: ``all`` evaluations have a gradient, or ``one``, the
    last; those before it only make its input. Returns the clean estimate, unclamped.
    """

    left = len(points)  # evaluations

    def predict(x: Tensor, t: Tensor) -> Tensor:
        nonlocal left
        left -= 1
        if through == "one":
            with torch.set_grad_enabled(left == 0):
                made: Tensor = call(y, x, t)
                return made
        if checkpointed and len(points) > 1:
            saved: Tensor = checkpoint(call, y, x, t, use_reentrant=False)
            return saved
        plain: Tensor = call(y, x, t)
        return plain

    for state in sample(predict, x, points, alpha_bars, sampling.prediction, sampling.sampler):
        x = state.x
    return x


def _pictures(network: C2FDFT, batch: Batch, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(y, clean, noise) of this part, (b, 3, P, P), pictures in [-1, 1]; the noise is drawn for the batch."""
    noise = torch.randn((batch.size, *batch.clean.shape[1:]), generator=draw)[batch.part]
    return network.seen(batch.degraded.clone()), batch.clean * 2 - 1, noise.to(batch.clean.device)


def _holes(y: Tensor) -> Tensor | None:
    """The mask among the planes of y: what is known counts for nothing. None where there is none."""
    return y[:, 3:] if y.shape[1] > 3 else None
