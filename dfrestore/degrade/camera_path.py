"""Motion blur as a camera makes it: many sharp frames along a path, averaged in linear light.

The camera shifts, turns about its axis and moves forward, so the blur differs from place to place, unlike that of one
kernel. Something may move before the picture on a path of its own; what it uncovers is seen for as long as it is
uncovered. This is how the pairs of GoPro were made (Nah et al., CVPR 2017), without their few frames' ghosts: there
is about one frame a pixel of the path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.arrays import mirrored
from dfrestore.degrade.dice import Dice, Range
from dfrestore.degrade.fields import octaves, seeded
from dfrestore.degrade.trajectories import Motion, motion_paths

FRAMES = (13, 25)  # at least and at most
MARGIN = 64  # pixels of mirrored border around the picture, at most; beyond it the border's colour goes on
WEAVE = Motion(extent=1.0, inertia=0.97, jolts=0.0)  # what turn (x) and zoom (y) follow
AT_ONCE = 1 << 18  # values of frames worked on at a time: what stays in a core's cache


@dataclass(frozen=True)
class CameraPath:
    """``motion``: how the picture shifts. ``turn`` and ``zoom``: pixels by which a turn about the middle and a move
    forward shift the corners on top of that.
    """

    motion: Motion
    turn: float = 0.0
    zoom: float = 0.0

    def scaled(self, factor: float) -> CameraPath:
        """The same path in a picture ``factor`` times as large."""
        return replace(self, motion=self.motion.scaled(factor), turn=self.turn * factor, zoom=self.zoom * factor)


@dataclass(frozen=True)
class Passing:
    """Something uneven and soft-edged that moves on its own ``path``; ``centre`` and ``radii``: shares of a side."""

    path: CameraPath
    centre: tuple[float, float]
    radii: tuple[float, float]
    wobble: float
    softness: float


@dataclass(frozen=True)
class CameraParams:
    """One picture's blur: the camera's ``path``, maybe something that passes, and what follows.

    ``highlight``, ``noise``: as in ``BlurParams``. ``seed``: of the walks and of the passing thing's rim.
    """

    path: CameraPath
    passing: Passing | None = None
    highlight: float = 0.0
    noise: float = 0.0
    seed: int = 0

    def scaled(self, factor: float) -> CameraParams:
        """The same blur in a picture ``factor`` times as large."""
        passing = replace(self.passing, path=self.passing.path.scaled(factor)) if self.passing else None
        return replace(self, path=self.path.scaled(factor), passing=passing)


@dataclass(frozen=True)
class CameraRange:
    """Ranges (low, high) from which one blur is drawn; in pixels.

    ``extent``: of the shift. ``turn``, ``zoom``: shares of the extent. ``passing_share``: of the pictures in which
    something passes; it moves by ``passing`` pixels.
    """

    extent: Range
    turn: Range = (0.0, 0.7)
    zoom: Range = (0.0, 0.5)
    linear_share: float = 0.3
    passing_share: float = 0.4
    passing: Range = (2.0, 30.0)
    highlight_share: float = 0.5
    highlight: Range = (0.2, 3.0)
    noise_share: float = 0.5
    noise: Range = (0.3, 3.0)


def sample_camera(dice: Dice, bounds: CameraRange) -> CameraParams:
    """One blur from these ranges."""
    passing = None
    path = _sample_path(dice, bounds, dice.even(*bounds.extent))
    if dice.chance(bounds.passing_share):
        passing = Passing(
            path=_sample_path(dice, bounds, dice.even(*bounds.passing)),
            centre=(dice.even(0.2, 0.8), dice.even(0.2, 0.8)),
            radii=(dice.even(0.1, 0.4), dice.even(0.1, 0.4)),
            wobble=dice.even(0.0, 0.4),
            softness=dice.even(0.05, 0.5),
        )
    return CameraParams(
        path=path,
        passing=passing,
        highlight=dice.even(*bounds.highlight) if dice.chance(bounds.highlight_share) else 0.0,
        noise=dice.even(*bounds.noise) if dice.chance(bounds.noise_share) else 0.0,
        seed=dice.seed(),
    )


def _sample_path(dice: Dice, bounds: CameraRange, extent: float) -> CameraPath:
    motion = Motion(
        kind="linear" if dice.chance(bounds.linear_share) else "shake",
        extent=extent,
        angle=dice.even(0, 360),
        acceleration=dice.even(0, 0.6),
        inertia=dice.even(0.9, 0.99),
        jolts=dice.even(0.0, 0.8),
        pull=dice.even(0.0, 0.05),
    )
    return CameraPath(motion, turn=extent * dice.even(*bounds.turn), zoom=extent * dice.even(*bounds.zoom))


def exposure(light: Tensor, blurs: Sequence[CameraParams]) -> Tensor:
    """What the sensor gathers of linear light (B, 3, H, W), each picture on its own path; same shape."""
    return torch.cat([_exposed(light[i : i + 1], blur) for i, blur in enumerate(blurs)])


def _exposed(light: Tensor, blur: CameraParams) -> Tensor:
    generator = seeded(blur.seed)
    paths = [blur.path, *([blur.passing.path] if blur.passing else [])]
    frames = max(_frames(path) for path in paths)
    moves = [_moves(path, frames, (light.shape[2], light.shape[3]), generator).to(light.device) for path in paths]
    margin = min(MARGIN, math.ceil(max(path.motion.extent + path.turn + path.zoom for path in paths)) + 1)
    picture = mirrored(light, margin)
    thing = None
    if blur.passing is not None:
        mask = _mask(blur.passing, (light.shape[2], light.shape[3]), generator).to(light.device)
        thing = torch.cat([picture, functional.pad(mask, (margin,) * 4, mode="replicate")], dim=1)
    total = torch.zeros_like(light)
    at_once = max(1, AT_ONCE // light[0].numel())
    for first in range(0, frames, at_once):
        part = slice(first, first + at_once)
        seen = _frames_of(picture, moves[0][part], light)
        if thing is not None:
            before = _frames_of(thing, moves[1][part], light)
            seen = torch.lerp(seen, before[:, :3], before[:, 3:])
        total += seen.sum(0, keepdim=True)
    return total / frames


def _frames(path: CameraPath) -> int:
    length = math.hypot(path.motion.extent, path.turn, path.zoom)
    return min(FRAMES[1], max(FRAMES[0], math.ceil(length)))


def _moves(path: CameraPath, frames: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(frames, 2, 3): where a frame's pixel is taken from, x and y from the middle in pixels."""
    walks = motion_paths([path.motion, WEAVE], generator)
    chosen = torch.linspace(0, walks.shape[1] - 1, frames).round().long()
    shift, weave = walks[:, chosen]
    shift = shift - shift.mean(0)
    weave = (weave - weave.mean(0)) / (weave.amax(0) - weave.amin(0)).clamp(min=1e-6)
    corner = math.hypot(*size) / 2
    turn, grow = weave[:, 0] * (path.turn / corner), 1 + weave[:, 1] * (path.zoom / corner)
    cos, sin = turn.cos() * grow, turn.sin() * grow
    return torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)


def _frames_of(padded: Tensor, moves: Tensor, light: Tensor) -> Tensor:
    """(frames, C, H, W) of a picture (1, C, H + 2 margin, W + 2 margin), moved."""
    height, width = light.shape[2:]
    scale = torch.tensor([2 / padded.shape[3], 2 / padded.shape[2]], device=light.device).view(1, 2, 1)
    x = torch.arange(width, device=light.device) - (width - 1) / 2
    y = torch.arange(height, device=light.device).view(-1, 1) - (height - 1) / 2
    near, down, shift = (moves * scale).unbind(2)
    across = near.view(-1, 1, 1, 2) * x.view(1, 1, -1, 1) + shift.view(-1, 1, 1, 2)
    grid = across + down.view(-1, 1, 1, 2) * y.view(1, -1, 1, 1)
    pictures = padded.expand(len(moves), -1, -1, -1)
    return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _mask(thing: Passing, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Where the thing is before it moves, (1, 1, H, W) in [0, 1]."""
    height, width = size
    rim = octaves([generator], size, (3, 6), 0.6)
    down = (torch.arange(height).view(-1, 1) + 0.5) / height - thing.centre[1]
    right = (torch.arange(width) + 0.5) / width - thing.centre[0]
    distance = ((right / thing.radii[0]) ** 2 + (down / thing.radii[1]) ** 2).sqrt()
    return torch.sigmoid((1 - distance + thing.wobble * rim) / (0.25 * thing.softness))
