"""The two stages as pure functions: (network call, batch, draws) -> loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dfrestore.diffusion import Prediction, ddim_step
from dfrestore.losses import l1
from dfrestore.training.config import Unroll

NetworkCall = Callable[[Tensor, Tensor, Tensor], Tensor]


def antithetic_timesteps(batch: int, total: int, generator: torch.Generator) -> Tensor:
    """(batch,) int64: n//2 + 1 uniform draws, then their mirrors total-1-t, the first ``batch`` taken."""
    drawn = torch.randint(0, total, (batch // 2 + 1,), generator=generator)
    return torch.cat([drawn, total - 1 - drawn])[:batch]


def coarse_loss(
    network: NetworkCall,
    y: Tensor,
    target: Tensor,
    noise: Tensor,
    t: Tensor,
    alpha_bars: Tensor,
    prediction: Prediction,
) -> Tensor:
    """L1 between the network's prediction and what it predicts (paper, Eq. 5).

    y (degraded), target (clean), noise: (B, 3, H, W), pictures in [-1, 1]; t (B,) int64.
    """
    alpha_bar = alpha_bars[t].to(target.dtype)[:, None, None, None]
    x_t = alpha_bar.sqrt() * target + (1 - alpha_bar).sqrt() * noise
    output = network(y, x_t, t.float())
    return l1(output, noise if prediction == "epsilon" else target)


def unrolled_ddim(
    network: NetworkCall,
    y: Tensor,
    x: Tensor,
    timesteps: Sequence[int],
    alpha_bars: Tensor,
    prediction: Prediction,
    checkpointed: bool = True,
    through: Unroll = "all",
) -> Tensor:
    """The sampler with gradient through every evaluation; one evaluation's activations at a time if checkpointed.

    through: ``one``: with gradient through the last evaluation alone, the ones before it give what it is to see.
    """

    def evaluate(x: Tensor, t: int, following: int | None) -> Tensor:
        output = network(y, x, torch.full((1,), float(t), device=x.device))
        return ddim_step(prediction, output, x, alpha_bars, t, following)[0]

    for t, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        if through == "one":
            with torch.set_grad_enabled(following is None):
                x = evaluate(x, t, following)
        elif checkpointed and len(timesteps) > 1:
            x = checkpoint(evaluate, x, t, following, use_reentrant=False)
        else:
            x = evaluate(x, t, following)
    return x


def fine_stage_loss(
    network: NetworkCall,
    y: Tensor,
    target: Tensor,
    noise: Tensor,
    timesteps: Sequence[int],
    alpha_bars: Tensor,
    prediction: Prediction,
    loss: Callable[[Tensor, Tensor], Tensor],
    through: Unroll = "all",
) -> Tensor:
    """``loss(restoration, target)`` of the unrolled sampler's result (paper, Algorithm 1 and Eq. 8), unclamped."""
    restored = unrolled_ddim(network, y, noise, timesteps, alpha_bars, prediction, through=through)
    return loss(restored, target)
