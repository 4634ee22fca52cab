"""What makes the prior vector z (the paper's IPR): CPEN, the denoiser, and the tiny diffusion between them.

Tensor names are the authors'. Where their code and the paper differ, this is the code: the denoiser predicts the clean
vector, sees [D, t / (10 T), z_t], and no noise is added on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.methods.diffir.config import IPRSampling
from dfrestore.nn import How, ResidualConvs

SLOPE = 0.1  # of every LeakyReLU here


class CPEN(nn.Module):
    """Compact IPR extraction network: pictures (B, inputs, h, w), pixel-unshuffled -> z (B, 4 * features).

    Convolutions without striding, the mean over the picture, two linear layers. (Paper, section 3.1; facts 3.7.)
    """

    def __init__(self, inputs: int, blocks: int, features: int) -> None:
        super().__init__()

        def conv(before: int, after: int) -> list[nn.Module]:
            return [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE)]

        wide, code = 2 * features, 4 * features
        self.E = nn.Sequential(
            *conv(inputs, features),
            *(ResidualConvs(features, SLOPE) for _ in range(blocks)),
            *conv(features, wide),
            *conv(wide, wide),
            *conv(wide, code),
            nn.AdaptiveAvgPool2d(1),
        )
        self.mlp = nn.Sequential(nn.Linear(code, code), nn.LeakyReLU(SLOPE), nn.Linear(code, code), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.mlp(self.E(x).flatten(1))
        return z

    def walk(self, how: How, pictures: Sequence[tuple[Tensor, int]]) -> Tensor:
        """:meth:`forward` of pictures (B, c, H, W), each pixel-unshuffled by the number beside it, side by side."""
        mean = how.average(pictures, list(self.E)[:-1])
        z: Tensor = self.mlp(mean.to(next(self.parameters()).dtype))
        return z


class _ResMLP(nn.Module):
    """The authors' name; nothing is added to what the layer makes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resmlp = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.resmlp(x)
        return out


class Denoiser(nn.Module):
    """(D, t', z_t) -> the clean z: linear layers, each with a LeakyReLU, on (B, code) vectors."""

    def __init__(self, code: int, layers: int) -> None:
        super().__init__()
        first = [nn.Linear(2 * code + 1, code), nn.LeakyReLU(SLOPE)]
        self.resmlp = nn.Sequential(*first, *(_ResMLP(code) for _ in range(layers)))

    def forward(self, condition: Tensor, time: Tensor, z: Tensor) -> Tensor:  # time (B, 1)
        out: Tensor = self.resmlp(torch.cat([condition, time, z], dim=1))
        return out


@dataclass(frozen=True)
class IPRDiffusion:
    """The schedule, float32 on the CPU, T values each: computed in float64, as the authors do."""

    betas: Tensor
    alphas_cumprod: Tensor
    alphas_cumprod_prev: Tensor
    posterior_mean_coef1: Tensor
    posterior_mean_coef2: Tensor

    @classmethod
    def of(cls, sampling: IPRSampling) -> IPRDiffusion:
        first, last = sampling.betas
        spaced = torch.linspace(first**0.5, last**0.5, sampling.timesteps, dtype=torch.float64, device="cpu")
        betas = spaced**2
        bars = torch.cumprod(1 - betas, dim=0)
        before = F.pad(bars[:-1], (1, 0), value=1.0)
        clean = betas * before.sqrt() / (1 - bars)
        state = (1 - before) * (1 - betas).sqrt() / (1 - bars)
        return cls(*(x.float() for x in (betas, bars, before, clean, state)))

    def diffused(self, z: Tensor, noise: Tensor, step: int = -1) -> Tensor:
        """A clean z, noised up to this step; -1: z_T, what training starts from. Restoring starts from noise alone."""
        bar = float(self.alphas_cumprod[step])
        return math.sqrt(bar) * z + math.sqrt(1 - bar) * noise

    def clean(self, denoise: Denoiser, z: Tensor, condition: Tensor, step: int) -> Tensor:
        """The clean vector that the denoiser sees in z of this step."""
        found: Tensor = denoise(condition, z.new_full((len(z), 1), step / (10 * len(self.betas))), z)
        return found

    def reverse(self, denoise: Denoiser, z: Tensor, condition: Tensor) -> list[Tensor]:
        """z after each of the T steps, from z_T = z and D = condition, (B, code); the last one is the result.

        Step i: z <- c1[i] x0 + c2[i] z, x0 what the denoiser predicts. (Facts, section 4.)
        """
        states = []
        for i in reversed(range(len(self.betas))):
            clean = self.clean(denoise, z, condition, i)
            z = float(self.posterior_mean_coef1[i]) * clean + float(self.posterior_mean_coef2[i]) * z
            states.append(z)
        return states
