"""Haze and fog on clean pictures, without knowing their depth.

A picture in haze is J t + A (1 - t) with the airlight A and t = exp(-thickness) (Koschmieder). What stands for depth
is a horizon, clouds of several sizes and regions that may follow the picture's edges, mixed anew for each picture:
haze decoupled from depth serves real photos better than that of one depth estimate (DA-HAZE, arXiv 2401.07213).
Storms have rain behind the veil, as in Li et al., "Heavy rain image restoration", CVPR 2019, equation 3. Everything
follows from a picture's parameters, so it is the same alone and in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.degrade import presets as rain_presets
from dfrestore.degrade.arrays import check_batch, column, on_each, to_photo, to_tensor
from dfrestore.degrade.dice import Dice, Range, named_preset, throw_dice
from dfrestore.degrade.fields import along_edges, box_mean, octaves, seeded, touched_up
from dfrestore.degrade.rain import add_rain
from dfrestore.degrade.streaks import RainParams

CELLS = (2, 4, 8, 16)  # sizes of clouds along the longer side
REGIONS = 6  # depths that regions have at most
EDGE = 2e-3  # variance of brightness from which regions follow an edge


@dataclass(frozen=True)
class HazeParams:
    """One picture's haze.

    thinnest, thickest: of the haze, as -log t. horizon: degrees by which the way from near to far is turned from
    upwards. bend: power of the way along it. shares: how much the horizon, clouds and regions make of the depth; they
    sum to 1. on_edges: regions follow the picture's edges. airlight: RGB in [0, 1], which varies by ``glow`` over the
    picture. rain: what falls behind the veil. exposure: what the camera makes of it, which takes a bright veil for
    light and exposes less; 1 leaves all as it is. noise: sigma on 0..255, quality: of a JPEG, both afterwards.
    """

    thinnest: float
    thickest: float
    airlight: tuple[float, float, float] = (0.8, 0.8, 0.8)
    horizon: float = 0.0
    bend: float = 1.0
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    on_edges: bool = True
    glow: float = 0.0
    rain: RainParams | None = None
    exposure: float = 1.0
    noise: float = 0.0
    quality: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.thinnest <= self.thickest:
            raise ValueError(f"haze is not {self.thinnest} to {self.thickest} thick")


@dataclass(frozen=True)
class HazeRange:
    """Ranges (low, high) from which one haze is drawn; thickness on a log scale, the rest evenly.

    thinnest: as a share of the thickest. tint: how much redder or bluer than grey the airlight may be. rain: presets.
    exposure_share: of photos that the camera exposed by itself, so much: ``exposure``.
    """

    thickest: Range
    thinnest: Range = (0.0, 0.25)
    airlight: Range = (0.65, 0.98)
    dusk_share: float = 0.1
    dusk: Range = (0.3, 0.6)
    tint: float = 0.08
    edges_share: float = 0.6
    noise_share: float = 0.4
    noise: Range = (0.3, 3.0)
    jpeg_share: float = 0.3
    quality: tuple[int, int] = (60, 97)
    rain: tuple[tuple[float, str], ...] = ()
    exposure_share: float = 0.0
    exposure: Range = (0.7, 1.0)


THIN = HazeRange(thickest=(0.3, 0.9))
HAZE = HazeRange(thickest=(0.8, 2.2))
FOG = HazeRange(thickest=(1.8, 4.5), airlight=(0.65, 0.95))


def _exposed(haze: HazeRange) -> HazeRange:
    return replace(haze, exposure_share=0.5)


# name -> shares of ranges; the shares of a preset sum to 1
PRESETS: dict[str, tuple[tuple[float, HazeRange], ...]] = {
    "thin": ((1.0, THIN),),
    "haze": ((1.0, HAZE),),
    "fog": ((1.0, FOG),),
    "mixed": ((0.25, THIN), (0.45, HAZE), (0.3, FOG)),
    "camera": ((0.4, _exposed(THIN)), (0.4, _exposed(HAZE)), (0.2, _exposed(FOG))),
    "bench": ((1.0, HazeRange(thickest=(0.6, 2.1), noise=(0.3, 1.5), quality=(85, 97))),),
    "storm-haze": (
        (
            1.0,
            HazeRange(thickest=(0.6, 2.4), airlight=(0.4, 0.9), rain=((0.5, "fine"), (0.25, "rain"), (0.25, "storm"))),
        ),
    ),
}


def sample_params(generator: torch.Generator | None, preset: str = "mixed") -> HazeParams:
    """One haze of a preset; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "mixed") -> list[HazeParams]:
    """``count`` independent hazes of a preset, from one draw of the generator."""
    shares = named_preset("haze", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def add_haze(clean: Tensor, params: HazeParams) -> Tensor:
    """This haze on ``clean``, (3, H, W) or (B, 3, H, W) in [0, 1]; same shape, device and dtype."""
    return on_each(_lay_over, clean, params, None)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """Haze on a batch (B, 3, H, W) in [0, 1], each picture with its own parameters of ``preset``; in [0, 1]."""
    return _lay_over(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """Haze on a whole photo (H, W, 3) in [0, 1]; a new fp32 array."""
    clean = to_tensor(rgb, "haze")
    return to_photo(add_haze(clean, sample_params(torch.Generator().manual_seed(seed), preset)))


def _lay_over(clean: Tensor, hazes: Sequence[HazeParams], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "haze")
    device = clean.device
    generators = [seeded(haze.seed) for haze in hazes]
    picture = clean.to(torch.float32, copy=True)
    for i, haze in enumerate(hazes):
        if haze.rain is not None:
            picture[i] = add_rain(picture[i], haze.rain, generators[i])
    thin, thick = column([h.thinnest for h in hazes], device), column([h.thickest for h in hazes], device)
    veil = 1 - torch.exp(-(thin + (thick - thin) * _depth(picture, hazes, generators)))
    airlight = torch.tensor([haze.airlight for haze in hazes], device=device).view(-1, 3, 1, 1)
    uneven = octaves(generators, (clean.shape[2], clean.shape[3]), (2,), 1.0).to(device)
    airlight = (airlight * (1 + column([haze.glow for haze in hazes], device) * uneven)).clamp_(0, 1)
    result = torch.lerp(picture, airlight, veil) * column([haze.exposure for haze in hazes], device)
    result = touched_up(result, generators, [h.noise for h in hazes], [h.quality for h in hazes])
    return result.clamp_(0, 1).to(clean.dtype)


def _depth(picture: Tensor, hazes: Sequence[HazeParams], generators: Sequence[torch.Generator]) -> Tensor:
    """From 0 (near) to 1 (far), (B, 1, H, W)."""
    device = picture.device
    size = picture.shape[2], picture.shape[3]
    angles, bends = (column(values, device) for values in ([h.horizon for h in hazes], [h.bend for h in hazes]))
    angles = torch.deg2rad(angles)
    up = torch.linspace(0.5, -0.5, size[0], device=device).view(1, 1, -1, 1)
    right = torch.linspace(-0.5, 0.5, size[1], device=device).view(1, 1, 1, -1)
    reach = angles.cos().abs() + angles.sin().abs()
    horizon = ((up * angles.cos() + right * angles.sin()) / reach + 0.5).clamp_(0, 1) ** bends
    clouds = torch.sigmoid(1.5 * octaves(generators, size, CELLS, 0.5).to(device))
    regions = _regions(picture, hazes, generators)
    parts = torch.cat([horizon, clouds, regions], dim=1)
    return (parts * torch.tensor([haze.shares for haze in hazes], device=device).view(-1, 3, 1, 1)).sum(1, keepdim=True)


def _regions(picture: Tensor, hazes: Sequence[HazeParams], generators: Sequence[torch.Generator]) -> Tensor:
    """Regions of one depth each, soft-edged or along the picture's edges; (B, 1, H, W) in [0, 1]."""
    device = picture.device
    size = picture.shape[2], picture.shape[3]
    field = octaves(generators, size, (2, 5), 0.7).to(device)
    depths = torch.stack([torch.rand(REGIONS, generator=generator) for generator in generators]).to(device)
    level = ((field + 1.5) * (REGIONS / 3)).long().clamp_(0, REGIONS - 1)
    pieces = depths.gather(1, level.flatten(1)).view_as(field)
    radius = max(2, min(size) // 12)
    on_edges = torch.tensor([haze.on_edges for haze in hazes], device=device).view(-1, 1, 1, 1)
    bent = along_edges(pieces, picture.mean(1, keepdim=True), radius, EDGE)
    return torch.where(on_edges, bent, box_mean(pieces, max(1, radius // 3))).clamp_(0, 1)


def _sample(dice: Dice, bounds: HazeRange) -> HazeParams:
    thickest = dice.log(*bounds.thickest)
    grey = dice.even(*(bounds.dusk if dice.chance(bounds.dusk_share) else bounds.airlight))
    warm, green = bounds.tint * dice.even(-1, 0.6), 0.01 * dice.even(-1, 1)
    weights = [dice.even(0.4, 1.2), dice.even(0.05, 0.5), dice.even(0.05, 0.7)]
    first, second, third = (weight / sum(weights) for weight in weights)
    return HazeParams(
        thinnest=thickest * dice.even(*bounds.thinnest),
        thickest=thickest,
        airlight=(min(1.0, grey * (1 + warm)), min(1.0, grey * (1 + warm / 4 + green)), min(1.0, grey * (1 - warm))),
        horizon=30 * dice.normal() if dice.chance(0.85) else dice.even(-180, 180),
        bend=math.exp(dice.even(math.log(0.6), math.log(2.5))),
        shares=(first, second, third),
        on_edges=dice.chance(bounds.edges_share),
        glow=dice.even(0.0, 0.06),
        noise=dice.even(*bounds.noise) if dice.chance(bounds.noise_share) else 0.0,
        quality=dice.whole(*bounds.quality) if dice.chance(bounds.jpeg_share) else None,
        rain=_sample_rain(dice, bounds),
        seed=dice.seed(),
        # last, and only where it is wanted: what other presets draw stays as it is
        exposure=dice.even(*bounds.exposure) if bounds.exposure_share and dice.chance(bounds.exposure_share) else 1.0,
    )


def _sample_rain(dice: Dice, bounds: HazeRange) -> RainParams | None:
    if not bounds.rain:
        return None
    preset = dice.pick(bounds.rain)
    return rain_presets.sample_params(seeded(dice.seed()), preset)
