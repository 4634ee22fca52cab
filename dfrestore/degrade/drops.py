"""Drops of water on the glass before the camera.

A drop is a strong lens: it shows a small, upside-down view of much of the scene, bright below where the sky is seen,
with a dark rim. The camera mostly looks past the glass, so that all drops are out of focus alike and run into discs
of light. After the drop model of Roser and Geiger, ICCV workshops 2009, with the flat view of Qian et al.,
"Attentive GAN", CVPR 2018. Everything follows from a picture's parameters, so but for rounding it is the same alone and
in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.arrays import check_batch, on_each, to_photo, to_tensor
from dfrestore.degrade.blur import GAMMA, convolve
from dfrestore.degrade.dice import Dice, Range, named_preset, throw_dice
from dfrestore.degrade.discs import POINT, Disc, disc_kernels, sample_disc
from dfrestore.degrade.fields import seeded, touched_up

Maps = NDArray[np.float32]
TINY = 1.5  # pixels: the smallest drop


@dataclass(frozen=True)
class DropsParams:
    """One picture's drops. Lengths in pixels.

    coverage: share of the picture under drops. radius: of the usual drop; spread: how much larger or smaller others
    are, as a power of e. stretch: how long running drops are. strength: pixels of the scene that one pixel of a drop
    shows. opacity: of a drop's middle. light: how much brighter than the scene a drop is. sky: share of the brightest
    of the scene in what is seen. below: how much brighter its lower side is than its upper. rim: how dark the rim is.
    glint: share of drops with a bright spot. lens: how far the glass is out of focus. noise: sigma on 0..255, quality:
    of a JPEG, both afterwards.
    """

    coverage: float
    radius: float
    spread: float = 0.5
    stretch: float = 0.3
    strength: float = 8.0
    opacity: float = 0.95
    light: float = 1.1
    sky: float = 0.0
    below: float = 0.3
    rim: float = 0.4
    glint: float = 0.3
    lens: Disc = POINT
    noise: float = 0.0
    quality: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.coverage <= 1 or self.radius <= 0 or not 0 <= self.opacity <= 1:
            raise ValueError(f"there are no drops like this: {self}")


@dataclass(frozen=True)
class DropsRange:
    """Ranges (low, high) from which one picture's drops are drawn: coverage and radius on a log scale, the rest evenly.

    blur: radius of the discs that points become, as a share of the drops' radius.
    """

    coverage: Range
    radius: Range
    blur: Range
    spread: Range = (0.2, 0.8)
    stretch: Range = (0.0, 1.2)
    strength: Range = (5.0, 20.0)
    opacity: Range = (0.75, 1.0)
    light: Range = (0.85, 1.4)
    sky: Range = (0.0, 0.3)
    noise_share: float = 0.3
    noise: Range = (0.3, 2.5)
    jpeg_share: float = 0.3
    quality: tuple[int, int] = (60, 97)


SHARP = DropsRange(coverage=(0.04, 0.25), radius=(3.0, 12.0), blur=(0.0, 0.12))
BLURRED = DropsRange(coverage=(0.06, 0.35), radius=(4.0, 14.0), blur=(0.3, 0.9))
LARGE = DropsRange(coverage=(0.06, 0.3), radius=(12.0, 30.0), blur=(0.1, 0.5))

# name -> shares of ranges; the shares of a preset sum to 1
PRESETS: dict[str, tuple[tuple[float, DropsRange], ...]] = {
    "sharp": ((1.0, SHARP),),
    "blurred": ((1.0, BLURRED),),
    "large": ((1.0, LARGE),),
    "mixed": ((0.3, SHARP), (0.5, BLURRED), (0.2, LARGE)),
    "bench": (
        (0.3, DropsRange(coverage=(0.08, 0.22), radius=(4.0, 10.0), blur=(0.0, 0.15))),
        (0.7, DropsRange(coverage=(0.10, 0.28), radius=(5.0, 14.0), blur=(0.2, 0.8))),
    ),
}


def sample_params(generator: torch.Generator | None, preset: str = "mixed") -> DropsParams:
    """One picture's drops; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "mixed") -> list[DropsParams]:
    """:func:`sample_params` for ``count`` independent pictures, from one draw of the generator."""
    shares = named_preset("drops", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def add_drops(clean: Tensor, params: DropsParams) -> Tensor:
    """These drops on ``clean``, (3, H, W) or (B, 3, H, W) in [0, 1]; same shape, device and dtype."""
    return on_each(_lay_over, clean, params, None)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """Drops on a batch (B, 3, H, W) in [0, 1], each picture with its own parameters of ``preset``; in [0, 1]."""
    return _lay_over(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """Drops on a whole photo (H, W, 3) in [0, 1]; a new fp32 array."""
    clean = to_tensor(rgb, "drops")
    return to_photo(add_drops(clean, sample_params(torch.Generator().manual_seed(seed), preset)))


def _lay_over(clean: Tensor, glasses: Sequence[DropsParams], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "drops")
    size = clean.shape[2], clean.shape[3]
    light = clean.float().clamp(0, 1) ** GAMMA
    maps = torch.from_numpy(np.stack([_draw_all(glass, size) for glass in glasses])).to(clean.device)
    alpha = maps[:, :1]
    shown = torch.cat([_shown(light[i : i + 1], maps[i : i + 1], glass) for i, glass in enumerate(glasses)])
    layer = torch.cat([shown * alpha, alpha], dim=1)
    kernels = disc_kernels([glass.lens for glass in glasses]).to(clean.device)
    layer = convolve(layer, kernels)
    seen = light * (1 - layer[:, 3:]) + layer[:, :3]
    result = seen.clamp_(0, 1) ** (1 / GAMMA)
    generators = [seeded(glass.seed) for glass in glasses]
    result = touched_up(result, generators, [g.noise for g in glasses], [g.quality for g in glasses])
    return result.clamp_(0, 1).to(clean.dtype)


def _shown(light: Tensor, maps: Tensor, glass: DropsParams) -> Tensor:
    """What the drops of one picture (1, 3, H, W) show; small views are taken from a smaller picture."""
    factor = max(1.0, 0.7 * glass.strength)
    size = max(1, round(light.shape[2] / factor)), max(1, round(light.shape[3] / factor))
    small = functional.interpolate(light, size, mode="area")
    grid = maps[:, 1:3].permute(0, 2, 3, 1)
    view = functional.grid_sample(small, grid, mode="bilinear", padding_mode="border", align_corners=False)
    cells = functional.adaptive_avg_pool2d(small, 8).flatten(2)
    brightest = cells[..., cells.sum(1).argmax()].view(1, 3, 1, 1)
    return torch.lerp(view, brightest, glass.sky) * maps[:, 3:4] + maps[:, 4:5]


def _draw_all(glass: DropsParams, size: tuple[int, int]) -> Maps:
    """(5, H, W): opacity, x and y in -1..1 of what is seen there, by how much it is brighter, and glints."""
    height, width = size
    maps = np.zeros((5, height, width), np.float32)
    rng = RandomState(glass.seed)
    # e ** (spread * normal) squared has this mean
    area = math.pi * glass.radius**2 * math.exp(2 * glass.spread**2) * (1 + glass.stretch / 3)
    margin = 2 * glass.radius
    count = glass.coverage * (height + 2 * margin) * (width + 2 * margin) / area
    for _ in range(int(count + rng.random_sample())):
        draws = rng.random_sample(12)
        x, y = draws[0] * (width + 2 * margin) - margin, draws[1] * (height + 2 * margin) - margin
        radius = max(TINY, glass.radius * math.exp(glass.spread * min(2.0, max(-2.5, rng.standard_normal()))))
        _draw_drop(maps, glass, (float(x), float(y)), radius, [float(draw) for draw in draws[2:]])
    return maps


def _draw_drop(maps: Maps, glass: DropsParams, centre: tuple[float, float], radius: float, draws: list[float]) -> None:
    """One drop, over those drawn before."""
    _, height, width = maps.shape
    tall = radius * (0.85 + 0.3 * draws[0] + glass.stretch * draws[1] ** 3 * 3)
    left, right = max(0, math.floor(centre[0] - 1.4 * radius)), min(width, math.ceil(centre[0] + 1.4 * radius) + 1)
    top, bottom = max(0, math.floor(centre[1] - 1.4 * tall)), min(height, math.ceil(centre[1] + 1.4 * tall) + 1)
    if left >= right or top >= bottom:
        return
    dx = (np.arange(left, right, dtype=np.float32) - np.float32(centre[0])) / np.float32(radius)
    dy = ((np.arange(top, bottom, dtype=np.float32) - np.float32(centre[1])) / np.float32(tall))[:, None]
    dx = dx * (1 - 0.25 * draws[2] * dy)  # hangs: wider below
    square = dx * dx + dy * dy
    far = np.sqrt(square)
    # an uneven rim: waves of two and three around it
    two, three = (dx * dx - dy * dy), dx * (dx * dx - 3 * dy * dy)
    waves = 0.12 * (2 * draws[3] - 1) * two / (square + 1e-6) + 0.10 * (2 * draws[4] - 1) * three / (
        square * far + 1e-6
    )
    far = far * (1 + waves)
    alpha = np.clip((1 - far) * radius / 1.2 + 0.5, 0, 1)
    covered = alpha > 0
    inside = np.minimum(far, 1.0)
    lens = -glass.strength * (0.7 + 0.6 * draws[5]) * (1 + 0.8 * inside**2)
    seen_x, seen_y = centre[0] + dx * lens * radius, centre[1] + dy * lens * tall
    light = (
        glass.light * (0.85 + 0.3 * draws[6]) * (1 + glass.below * dy) * (1 - glass.rim * np.clip(inside * 4 - 3, 0, 1))
    )
    glint = np.zeros_like(far)
    if draws[7] < glass.glint:
        spot = ((dx + 0.35) ** 2 + (dy + 0.4) ** 2) / (0.02 + 0.03 * draws[8])
        glint = (0.3 + 0.7 * draws[9]) * np.exp(-spot)
    seen = _within((2 * seen_x + 1) / width - 1), _within((2 * seen_y + 1) / height - 1)
    new = np.broadcast_arrays(alpha * glass.opacity, *seen, light, glint)
    window = maps[:, top:bottom, left:right]
    window[0] = np.where(covered, np.maximum(window[0], new[0]), window[0])
    for row, values in enumerate(new[1:], 1):
        window[row] = np.where(covered, values, window[row])


def _within(place: Maps) -> Maps:
    """Places on a line squeezed into -1..1, those in the middle hardly: nothing beyond the scene is shown."""
    squeezed: Maps = place / np.cbrt(1 + np.abs(place) ** 3)
    return squeezed


def _sample(dice: Dice, bounds: DropsRange) -> DropsParams:
    radius = dice.log(*bounds.radius)
    return DropsParams(
        coverage=dice.log(*bounds.coverage),
        radius=radius,
        spread=dice.even(*bounds.spread),
        stretch=dice.even(*bounds.stretch) if dice.chance(0.4) else 0.0,
        strength=dice.even(*bounds.strength),
        opacity=dice.even(*bounds.opacity),
        light=dice.even(*bounds.light),
        sky=dice.even(*bounds.sky),
        below=dice.even(0.0, 0.6),
        rim=dice.even(0.0, 0.7),
        glint=dice.even(0.0, 0.6),
        lens=sample_disc(dice).resized(radius * dice.even(*bounds.blur)),
        noise=dice.even(*bounds.noise) if dice.chance(bounds.noise_share) else 0.0,
        quality=dice.whole(*bounds.quality) if dice.chance(bounds.jpeg_share) else None,
        seed=dice.seed(),
    )
