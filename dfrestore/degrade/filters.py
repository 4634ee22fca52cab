"""Small symmetric filters that pictures are blurred with: bells, plateaus, and the ringing low-pass.

The six kinds of Real-ESRGAN's first and second order and its sinc filter (Wang et al., "Real-ESRGAN", ICCV workshops
2021, sections 3.1 and 3.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dfrestore.degrade.dice import Dice, Range

Shape = Literal["bell", "generalised", "plateau", "sinc"]
SHAPES: tuple[tuple[float, tuple[Shape, bool]], ...] = (
    (0.45, ("bell", True)),
    (0.25, ("bell", False)),
    (0.12, ("generalised", True)),
    (0.03, ("generalised", False)),
    (0.12, ("plateau", True)),
    (0.03, ("plateau", False)),
)
BETA: dict[Shape, Range] = {"generalised": (0.5, 4.0), "plateau": (1.0, 2.0)}
SINC_SHARE = 0.1


@dataclass(frozen=True)
class Filter:
    """A filter of ``side`` x ``side`` pixels, odd.

    sigma: along its two axes, in pixels, the first turned by ``angle`` radians. beta: how steep a generalised bell or
    a plateau falls off (bell: 1). cutoff: of the sinc filter, in radians a pixel; the others do not use it.
    """

    shape: Shape
    side: int
    sigma: tuple[float, float] = (1.0, 1.0)
    angle: float = 0.0
    beta: float = 1.0
    cutoff: float = math.pi

    def kernel(self) -> Tensor:
        """(side, side) fp32, of sum 1."""
        axis = torch.arange(self.side, dtype=torch.float64) - self.side // 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        if self.shape == "sinc":
            return _normalised(_sinc(torch.hypot(x, y), self.cutoff))
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        square = ((cos * x + sin * y) / self.sigma[0]) ** 2 + ((cos * y - sin * x) / self.sigma[1]) ** 2
        if self.shape == "plateau":
            return _normalised(1 / (square**self.beta + 1))
        return _normalised(torch.exp(-0.5 * square**self.beta))


def sample_filter(dice: Dice, sigma: Range) -> Filter:
    """One of an order's filters: a sinc in one of ten, else a bell or plateau of ``sigma``, round or not."""
    side = 2 * dice.whole(3, 10) + 1
    if dice.chance(SINC_SHARE):
        return Filter("sinc", side, cutoff=dice.even(math.pi / (3 if side < 13 else 5), math.pi))
    shape, is_round = dice.pick(SHAPES)
    width = dice.even(*sigma)
    height = width if is_round else dice.even(*sigma)
    low, high = BETA.get(shape, (1.0, 1.0))
    beta = dice.even(low, 1.0) if dice.chance(0.5) else dice.even(1.0, high)
    return Filter(shape, side, (width, height), 0.0 if is_round else dice.even(-math.pi, math.pi), beta)


def last_filter(dice: Dice) -> Filter | None:
    """The sinc filter at the end of the chain, in four of five."""
    side = 2 * dice.whole(3, 10) + 1
    return Filter("sinc", side, cutoff=dice.even(math.pi / 3, math.pi)) if dice.chance(0.8) else None


def _sinc(radius: Tensor, cutoff: float) -> Tensor:
    """The two-dimensional low-pass of a round pass band."""
    inside = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius.clamp(min=1e-9))
    return torch.where(radius > 0, inside, cutoff**2 / (4 * math.pi))


def _normalised(kernel: Tensor) -> Tensor:
    return (kernel / kernel.sum()).float()
