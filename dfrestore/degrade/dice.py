"""Random parameters from one draw of a generator: each picture gets a row of uniform numbers, used one by one.

So a batch costs one call of the generator, and the parameters of a picture do not depend on its device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch

T = TypeVar("T")
Range = tuple[float, float]
DRAWS = 128  # uniform numbers that the parameters of one picture may use


class Dice:
    """Uniform numbers, drawn in advance and used one at a time."""

    def __init__(self, numbers: list[float]) -> None:
        self._numbers: Iterator[float] = iter(numbers)

    def even(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._numbers)

    def log(self, low: float, high: float) -> float:
        return math.exp(self.even(math.log(low), math.log(high)))

    def whole(self, low: int, high: int) -> int:
        return min(high, int(self.even(low, high + 1)))

    def chance(self, share: float) -> bool:
        return next(self._numbers) < share

    def normal(self) -> float:
        return math.sqrt(-2 * math.log(1 - self.even(0, 0.9999999))) * math.cos(2 * math.pi * self.even(0, 1))

    def seed(self) -> int:
        """Of a generator for what one picture needs besides."""
        return self.whole(0, 2**31 - 1)

    def pick(self, shares: tuple[tuple[float, T], ...]) -> T:
        point = self.even(0, sum(share for share, _ in shares))
        for share, value in shares:
            point -= share
            if point < 0:
                return value
        return shares[-1][1]


def throw_dice(count: int, generator: torch.Generator | None) -> list[Dice]:
    """Dice for ``count`` pictures, from one draw of the generator."""
    device = generator.device if generator is not None else None
    numbers = torch.rand(count, DRAWS, generator=generator, device=device, dtype=torch.float64).tolist()
    return [Dice(row) for row in numbers]


def named_preset(kind: str, presets: Mapping[str, T], name: str) -> T:
    """The preset of this name; ValueError names the presets that exist. kind: of damage, for the message."""
    if name not in presets:
        raise ValueError(f"no {kind} preset {name!r}; there are {', '.join(presets)}")
    return presets[name]
