"""Falling snow on clean pictures: three layers of flakes and the veil that the farthest make together.

Far flakes are dots, those near the plane of focus streaks or ragged spots, and the nearest large translucent discs, as
in real photos; layers as in Snow100K (Liu et al., "DesnowNet", IEEE TIP 2018). Snow that lies on the ground is no
damage and is not drawn. Everything follows from a picture's parameters, so it is the same alone and in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.degrade.arrays import check_batch, column, on_each, to_photo, to_tensor
from dfrestore.degrade.dice import Dice, Range, named_preset, throw_dice
from dfrestore.degrade.fields import octaves, seeded, touched_up

MAX_ELEMENTS = 1 << 21  # pixels of flakes worked on at a time: bounds memory on whole photos
REACHES = (2, 3, 5, 8, 13, 21, 34, 55, 89)  # flakes are drawn together with those that reach about as far
SMALLEST_EDGE = 1.0  # pixels


@dataclass(frozen=True)
class Flakes:
    """One layer of similar flakes. Lengths in pixels.

    coverage: how many flakes lie over a pixel on average. motion: by how much one moves while the shutter is open.
    opacity: of those that cover most. softness: of the radius is a soft edge. ragged: unevenness of the edge.
    """

    coverage: float
    radius: float
    motion: float = 0.0
    opacity: float = 0.8
    softness: float = 0.5
    ragged: float = 0.2

    def __post_init__(self) -> None:
        if self.coverage < 0 or self.radius <= 0 or self.motion < 0 or not 0 <= self.opacity <= 1:
            raise ValueError(f"there are no flakes like this: {self}")


@dataclass(frozen=True)
class SnowParams:
    """One picture's snow: layers, far ones first, and what they share.

    angle: degrees from the vertical in which flakes fall (positive: to the right), each up to about ``spread`` off it.
    colour: of flakes and veil. veil: share of it mixed in before the flakes, uneven and stronger above. noise: sigma
    on 0..255, quality: of a JPEG, both afterwards.
    """

    layers: tuple[Flakes, ...]
    angle: float = 0.0
    spread: float = 15.0
    colour: tuple[float, float, float] = (0.95, 0.95, 0.95)
    veil: float = 0.0
    noise: float = 0.0
    quality: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class FlakesRange:
    """Ranges (low, high) from which a layer is drawn: coverage and radius on a log scale, the rest evenly.

    share: of the snows that have this layer. speed: motion in radii.
    """

    coverage: Range
    radius: Range
    opacity: Range
    softness: Range
    ragged: Range = (0.0, 0.2)
    speed: Range = (0.0, 4.0)
    share: float = 1.0


@dataclass(frozen=True)
class SnowRange:
    """What one snow is drawn from. ``denser``: every coverage times this. ``veil_share``: of the snows with a veil."""

    denser: Range = (1.0, 1.0)
    veil_share: float = 0.5
    veil: Range = (0.02, 0.35)
    noise_share: float = 0.3
    noise: Range = (0.3, 2.5)
    jpeg_share: float = 0.3
    quality: tuple[int, int] = (60, 97)


FAR = FlakesRange(coverage=(0.01, 0.10), radius=(0.5, 1.2), opacity=(0.3, 0.8), softness=(1.0, 1.8), share=0.9)
MIDDLE = FlakesRange(coverage=(0.006, 0.06), radius=(1.2, 3.2), opacity=(0.5, 1.0), softness=(0.7, 1.6))
NEAR = FlakesRange(
    coverage=(0.004, 0.06),
    radius=(4.0, 15.0),
    opacity=(0.1, 0.5),
    softness=(0.25, 1.2),
    ragged=(0.0, 0.1),
    speed=(0.0, 1.0),
    share=0.7,
)
LAYERS = (FAR, MIDDLE, NEAR)

# name -> shares of ranges; the shares of a preset sum to 1
PRESETS: dict[str, tuple[tuple[float, SnowRange], ...]] = {
    "flurry": ((1.0, SnowRange(denser=(0.3, 0.7), veil_share=0.2, veil=(0.02, 0.12))),),
    "snow": ((1.0, SnowRange(denser=(0.7, 1.5))),),
    "blizzard": ((1.0, SnowRange(denser=(1.5, 4.0), veil_share=0.9, veil=(0.1, 0.5))),),
    "mixed": (
        (0.3, SnowRange(denser=(0.3, 0.7), veil_share=0.2, veil=(0.02, 0.12))),
        (0.4, SnowRange(denser=(0.7, 1.5))),
        (0.3, SnowRange(denser=(1.5, 4.0), veil_share=0.9, veil=(0.1, 0.5))),
    ),
    "dense": (
        (0.2, SnowRange(denser=(0.3, 0.7), veil_share=0.2, veil=(0.02, 0.12))),
        (0.3, SnowRange(denser=(0.7, 1.5))),
        (0.5, SnowRange(denser=(1.5, 6.0), veil_share=0.8, veil=(0.02, 0.5))),
    ),
    "bench": (
        (1.0, SnowRange(denser=(3.5, 6.0), veil_share=0.7, veil=(0.02, 0.25), noise=(0.3, 1.5), quality=(85, 97))),
    ),
}


def sample_params(generator: torch.Generator | None, preset: str = "mixed") -> SnowParams:
    """One snow of a preset; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "mixed") -> list[SnowParams]:
    """``count`` independent snows of a preset, from one draw of the generator."""
    shares = named_preset("snow", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def add_snow(clean: Tensor, params: SnowParams) -> Tensor:
    """This snow on ``clean``, (3, H, W) or (B, 3, H, W) in [0, 1]; same shape, device and dtype."""
    return on_each(_lay_over, clean, params, None)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """Snow on a batch (B, 3, H, W) in [0, 1], each picture with its own parameters of ``preset``; in [0, 1]."""
    return _lay_over(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """Snow on a whole photo (H, W, 3) in [0, 1]; a new fp32 array."""
    clean = to_tensor(rgb, "snow")
    return to_photo(add_snow(clean, sample_params(torch.Generator().manual_seed(seed), preset)))


def _lay_over(clean: Tensor, snows: Sequence[SnowParams], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "snow")
    device = clean.device
    size = clean.shape[2], clean.shape[3]
    generators = [seeded(snow.seed) for snow in snows]
    colour = torch.tensor([snow.colour for snow in snows], device=device).view(-1, 3, 1, 1)
    uneven = 0.25 * octaves(generators, size, (2, 4), 0.6).to(device)
    above = torch.linspace(1.25, 0.75, size[0], device=device).view(1, 1, -1, 1)
    veil = (column([snow.veil for snow in snows], device) * (above + uneven)).clamp_(0, 1)
    flakes = torch.cat([_table(snow, i, size, generators[i]) for i, snow in enumerate(snows)]).to(device)
    through = _seen_through(flakes, len(snows), size) * (1 - veil)
    result = colour + (clean.float() - colour) * through
    result = touched_up(result, generators, [s.noise for s in snows], [s.quality for s in snows])
    return result.clamp_(0, 1).to(clean.dtype)


def _table(snow: SnowParams, number: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """All flakes of one picture, a row each: picture, x, y, half motion in x and y, radius, edge, opacity, ragged, and
    two phases of the raggedness."""
    rows = []
    for layer in snow.layers:
        area = 2 * layer.radius * (1.57 * layer.radius + layer.motion)
        reach = math.ceil(layer.radius + layer.motion / 2)
        height, width = size[0] + 2 * reach, size[1] + 2 * reach
        count = int(layer.coverage * height * width / area + float(torch.rand(1, generator=generator)))
        draws = torch.rand(count, 9, generator=generator)
        x, y = draws[:, 0] * width - reach, draws[:, 1] * height - reach
        scale = 0.55 + 0.9 * draws[:, 2] ** 2
        lean = math.radians(snow.angle) + math.radians(snow.spread) * (draws[:, 3] + draws[:, 4] - 1) * 1.5
        half = layer.motion / 2 * scale * (0.6 + 0.8 * draws[:, 5])
        radius = layer.radius * scale
        opacity = layer.opacity * (1 - 0.7 * draws[:, 6] ** 1.5)
        edge = (layer.softness * radius).clamp(min=SMALLEST_EDGE)
        fixed = torch.full_like(x, number), torch.full_like(x, layer.ragged)
        phases = (draws[:, 7] * 2 * math.pi, draws[:, 8] * 2 * math.pi)
        moved = half * lean.sin(), half * lean.cos()
        rows.append(torch.stack([fixed[0], x, y, *moved, radius, edge, opacity, fixed[1], *phases], dim=1))
    return torch.cat(rows) if rows else torch.zeros(0, 11)


def _seen_through(flakes: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """How much of each pixel no flake covers, (count, 1, H, W) in [0, 1]."""
    blocked = torch.zeros(count * size[0] * size[1], device=flakes.device)
    reach = torch.hypot(flakes[:, 3], flakes[:, 4]) + 1.4 * flakes[:, 5] + flakes[:, 6] / 2
    bucket = torch.bucketize(reach, torch.tensor(REACHES[:-1], dtype=reach.dtype, device=reach.device))
    for number, side in enumerate(REACHES):
        near = flakes[bucket == number]
        for part in torch.split(near, max(1, MAX_ELEMENTS // (2 * side + 1) ** 2)):
            _draw(blocked, part, side, size)
    return torch.exp(blocked).view(count, 1, *size)


def _draw(blocked: Tensor, flakes: Tensor, reach: int, size: tuple[int, int]) -> None:
    """Add the logarithm of what each flake lets through, (n, 11), within ``reach`` pixels around it."""
    height, width = size
    number, x, y, move_x, move_y, radius, edge, opacity, ragged, phase, other = flakes.view(-1, 11, 1, 1).unbind(1)
    offset = torch.arange(-reach, reach + 1, device=flakes.device)
    right, down = x.round() + offset.view(1, 1, -1), y.round() + offset.view(1, -1, 1)
    dx, dy = right - x, down - y
    square = move_x * move_x + move_y * move_y
    along = ((dx * move_x + dy * move_y) / square.clamp(min=1e-6)).clamp_(-1, 1)
    distance = torch.hypot(dx - along * move_x, dy - along * move_y)
    bumps = torch.sin(dx * (2.1 / radius) + phase) + torch.sin(dy * (2.3 / radius) + other)
    rim = radius * (1 + ragged * bumps)
    covered = ((rim - distance) / edge + 0.5).clamp_(0, 1)
    covered = opacity * covered * covered * (3 - 2 * covered)
    inside = (right >= 0) & (right < width) & (down >= 0) & (down < height) & (covered > 0)
    row = number.long() * height + down.long()
    index = row * width + right.long()
    blocked.index_add_(0, index[inside], torch.log1p(-covered[inside].clamp(max=0.98)))


def _sample(dice: Dice, bounds: SnowRange) -> SnowParams:
    denser = dice.log(*bounds.denser)
    angle = 20 * dice.normal() if dice.chance(0.9) else dice.even(-80, 80)
    speed = dice.even(0, 1) ** 1.5
    layers = [_sample_layer(dice, layer, denser, speed) for layer in LAYERS]
    grey = dice.even(0.82, 1.0)
    return SnowParams(
        layers=tuple(layer for layer in layers if layer is not None),
        angle=angle,
        spread=dice.even(5.0, 35.0),
        colour=(grey * dice.even(0.95, 1.0), grey * dice.even(0.98, 1.0), grey),
        veil=dice.even(*bounds.veil) if dice.chance(bounds.veil_share) else 0.0,
        noise=dice.even(*bounds.noise) if dice.chance(bounds.noise_share) else 0.0,
        quality=dice.whole(*bounds.quality) if dice.chance(bounds.jpeg_share) else None,
        seed=dice.seed(),
    )


def _sample_layer(dice: Dice, bounds: FlakesRange, denser: float, speed: float) -> Flakes | None:
    radius = dice.log(*bounds.radius)
    layer = Flakes(
        coverage=min(0.6, denser * dice.log(*bounds.coverage)),
        radius=radius,
        motion=radius * (bounds.speed[0] + (bounds.speed[1] - bounds.speed[0]) * speed),
        opacity=dice.even(*bounds.opacity),
        softness=dice.even(*bounds.softness),
        ragged=dice.even(*bounds.ragged),
    )
    return layer if dice.chance(bounds.share) else None
