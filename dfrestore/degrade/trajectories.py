"""Blur kernels of motion: paths of a point during an exposure, and the kernels they leave.

Sources. Camera shake as a random walk with inertia, sudden jolts and a pull back: Boracchi and Foi, "Modeling the
performance of image restoration from motion blur", IEEE TIP 2012, as used by Kupyn et al., "DeblurGAN", CVPR 2018.
Here the walk is two recursive filters in a row (speed, then place), so a whole batch is two matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.arrays import source_device

STEPS = 64  # of a walk
POINTS = 512  # of light along a path, at least 16 a pixel of its extent
RADIUS = 15  # pixels: kernels of up to 31 x 31, unless the extent itself is larger
JOLT = 8.0  # of a jolt, relative to the steady trembling


@dataclass(frozen=True)
class Motion:
    """How a point moves during the exposure. ``extent``: the width of the path in pixels where it is widest.

    ``linear``: along a straight line at ``angle`` degrees (0: to the right, 90: down), with speed changing by
    ``acceleration`` (0 even, 1: from rest). ``shake``: a walk; ``inertia`` 0..1 (1: smooth curves), ``jolts`` sudden
    changes an exposure, ``pull`` 0..1 towards where it began.
    """

    kind: Literal["shake", "linear"] = "shake"
    extent: float = 12.0
    angle: float = 0.0
    acceleration: float = 0.0
    inertia: float = 0.9
    jolts: float = 0.5
    pull: float = 0.02

    def __post_init__(self) -> None:
        if self.extent < 0 or not (0 <= self.inertia <= 1 and 0 <= self.pull <= 1 and 0 <= self.acceleration <= 1):
            raise ValueError(f"nothing moves like this: {self}")

    def scaled(self, factor: float) -> Motion:
        """The same motion in a picture ``factor`` times as large."""
        return replace(self, extent=self.extent * factor)


def motion_kernels(motions: Sequence[Motion], generator: torch.Generator | None) -> Tensor:
    """(len(motions), side, side) fp32, not negative, each of sum 1 with its centre of mass in the middle; odd side.

    Lives on the generator's device (CPU without one). The side fits the widest of them.
    """
    paths = motion_paths(motions, generator)
    radius = max(1, math.ceil(float(paths.abs().amax()) - 1e-3))
    side = 2 * radius + 1
    place = (paths + radius).clamp_(0, side - 1)
    corner = place.floor().clamp_(max=side - 2)
    far = place - corner
    near = 1 - far
    index = (corner[..., 1] * side + corner[..., 0]).long()
    kernels = torch.zeros(len(motions), side * side, device=paths.device)
    for shift, weight in (
        (0, near[..., 0] * near[..., 1]),
        (1, far[..., 0] * near[..., 1]),
        (side, near[..., 0] * far[..., 1]),
        (side + 1, far[..., 0] * far[..., 1]),
    ):
        kernels.scatter_add_(1, index + shift, weight)
    return (kernels / paths.shape[1]).view(-1, side, side)


def motion_paths(motions: Sequence[Motion], generator: torch.Generator | None) -> Tensor:
    """Places (x, y) at even times, (len(motions), points, 2), their mean at 0, in pixels."""
    device = source_device(generator)
    walks = _walks(motions, generator)
    time = torch.linspace(-1, 1, STEPS)
    lines = torch.stack([time + m.acceleration * (time * time - 1) / 2 for m in motions])
    angles = torch.tensor([math.radians(m.angle) for m in motions])
    heading = torch.stack([angles.cos(), angles.sin()], dim=1)
    straight = (lines.unsqueeze(2) * heading.unsqueeze(1)).to(device)
    is_line = torch.tensor([m.kind == "linear" for m in motions], device=device).view(-1, 1, 1)
    paths = torch.where(is_line, straight, walks)
    points = max(POINTS, math.ceil(16 * max(m.extent for m in motions)))
    paths = functional.interpolate(paths.transpose(1, 2), size=points, mode="linear", align_corners=True)
    paths = (paths - paths.mean(dim=2, keepdim=True)).transpose(1, 2)
    fans = torch.arange(8, device=device) * (math.pi / 8)
    across = paths @ torch.stack([fans.cos(), fans.sin()])
    width = (across.amax(1) - across.amin(1)).amax(1)
    extent = torch.tensor([m.extent for m in motions], device=device)
    reach = paths.abs().flatten(1).amax(1)
    scale = torch.minimum(extent / width.clamp(min=1e-6), (extent / 2).clamp(min=RADIUS) / reach.clamp(min=1e-6))
    return paths * scale.view(-1, 1, 1)


def _walks(motions: Sequence[Motion], generator: torch.Generator | None) -> Tensor:
    """Random walks (len(motions), STEPS, 2): pushes, summed into speeds that fade, summed into places pulled back."""
    device = source_device(generator)
    count = len(motions)
    pushes = torch.randn(count, STEPS, 2, generator=generator, device=device)
    jolted = torch.rand(count, STEPS, 1, generator=generator, device=device)
    inertia, pull, jolts = torch.tensor([(m.inertia, m.pull, m.jolts) for m in motions], device=device).unbind(1)
    fade = inertia.clamp(max=0.999)
    pushes *= torch.where(jolted < (jolts / STEPS).view(-1, 1, 1), JOLT, 1.0)
    pushes[:, 0] /= (1 - fade * fade).sqrt().unsqueeze(1)  # the exposure begins amid a motion
    return _recursion(1 - pull) @ (_recursion(fade) @ pushes)


def _recursion(factor: Tensor) -> Tensor:
    """Matrices (B, STEPS, STEPS) of y[t] = factor y[t-1] + x[t]."""
    age = torch.arange(STEPS, device=factor.device)
    age = age.view(-1, 1) - age
    return torch.where(age >= 0, factor.view(-1, 1, 1) ** age.clamp(min=0), 0.0)
