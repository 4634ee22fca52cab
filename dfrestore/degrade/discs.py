"""What a lens makes of a point that is out of focus: discs with the corners of its diaphragm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dfrestore.degrade.dice import Dice

MAX_RADIUS = 64.0


@dataclass(frozen=True)
class Disc:
    """The image of a point.

    radius: in pixels, up to :data:`MAX_RADIUS`, of the disc of the same area. blades: corners, 0 for a circle. angle:
    degrees by which they are turned. roundness: 1 bends the blades to a circle. rim: how much brighter the outer part
    is than the middle.
    """

    radius: float
    blades: int = 0
    angle: float = 0.0
    roundness: float = 0.0
    rim: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.radius <= MAX_RADIUS or (self.blades and self.blades < 3):
            raise ValueError(f"there is no disc like this: {self}")

    def resized(self, radius: float) -> Disc:
        """The same diaphragm, further out of focus or less."""
        return replace(self, radius=radius)


POINT = Disc(0.0)


def sample_disc(dice: Dice) -> Disc:
    """A diaphragm of radius 0, to be resized: half of them round."""
    return Disc(
        0.0,
        blades=dice.pick(((0.4, 0), (0.1, 5), (0.25, 6), (0.1, 7), (0.15, 8))),
        angle=dice.even(0, 72),
        roundness=dice.even(0.0, 0.8),
        rim=dice.even(-0.2, 0.6),
    )


def disc_kernels(discs: Sequence[Disc]) -> Tensor:
    """(len(discs), side, side) fp32, each of sum 1; odd side, which fits the largest. Radius 0 is a point."""
    reach = max(1, math.ceil(1.25 * max(disc.radius for disc in discs)))
    axis = torch.arange(-reach, reach + 1, dtype=torch.float32)
    y, x = axis.view(-1, 1), axis.view(1, -1)
    return torch.stack([_kernel(disc, x, y) for disc in discs])


def _kernel(disc: Disc, x: Tensor, y: Tensor) -> Tensor:
    distance = circle = torch.hypot(x, y)
    if disc.blades:
        turns = [math.radians(disc.angle) + 2 * math.pi * blade / disc.blades for blade in range(disc.blades)]
        sides = torch.stack([x * math.cos(turn) + y * math.sin(turn) for turn in turns]).amax(0)
        # the polygon of this inner radius has the area of the circle
        sides = sides * math.sqrt(disc.blades * math.tan(math.pi / disc.blades) / math.pi)
        distance = torch.lerp(sides, circle, disc.roundness)
    inside = (disc.radius - distance + 0.5).clamp_(0, 1)
    if disc.radius > 1:
        inside = inside * (1 + disc.rim * (distance / disc.radius).clamp(max=1) ** 4)
    else:
        inside[inside.shape[0] // 2, inside.shape[1] // 2] = 1.0
    return inside / inside.sum()
