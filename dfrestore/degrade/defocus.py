"""Pictures that are partly out of focus: layers of one depth each, and discs of light.

The scene is cut into a few layers by a smooth map of depth; each is blurred by the disc that its distance from the
plane of focus makes, in linear light, and they are laid over one another from far to near, so that blur of what is near
spreads over what is sharp behind it and not the other way round (layers as in Lee et al., "Real-time lens blur effects
and focus control", SIGGRAPH 2010, but without what is hidden). Everything follows from a picture's parameters, so but
for rounding it is the same alone and in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.degrade.arrays import check_batch, column, on_each, to_photo, to_tensor
from dfrestore.degrade.blur import GAMMA, brighter, convolve
from dfrestore.degrade.dice import Dice, Range, named_preset, throw_dice
from dfrestore.degrade.discs import POINT, Disc, disc_kernels, sample_disc
from dfrestore.degrade.fields import along_edges, octaves, seeded, touched_up

MAX_LAYERS = 6
EDGE = 2e-3  # variance of brightness from which layers follow an edge


@dataclass(frozen=True)
class DefocusParams:
    """One picture's defocus.

    radii: of the disc in each layer, in pixels, from the farthest to the nearest. borders: the depths between them, in
    (0, 1), rising. lens: the diaphragm. slope: direction in degrees in which the ground comes nearer (0: downwards).
    shares: how much slope and uneven shapes make of the depth; they sum to 1. on_edges: layers follow the picture's
    edges. highlight: how many times brighter saturated places really are. noise: sigma on 0..255, quality: of a JPEG,
    both afterwards.
    """

    radii: tuple[float, ...]
    borders: tuple[float, ...] = ()
    lens: Disc = POINT
    slope: float = 0.0
    shares: tuple[float, float] = (0.5, 0.5)
    on_edges: bool = True
    highlight: float = 0.0
    noise: float = 0.0
    quality: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.radii) <= MAX_LAYERS or len(self.borders) != len(self.radii) - 1:
            raise ValueError(f"{len(self.radii)} layers with {len(self.borders)} borders are no picture")


@dataclass(frozen=True)
class DefocusRange:
    """What one defocus is drawn from: the largest ``radius`` on a log scale, ``layers`` at least and at most.

    even_share: of the pictures that are out of focus altogether.
    """

    radius: Range
    layers: tuple[int, int] = (3, MAX_LAYERS)
    even_share: float = 0.15
    edges_share: float = 0.6
    highlight_share: float = 0.5
    highlight: Range = (0.2, 4.0)
    noise_share: float = 0.6
    noise: Range = (0.3, 2.5)
    jpeg_share: float = 0.2
    quality: tuple[int, int] = (70, 97)


SLIGHT = DefocusRange(radius=(0.7, 3.0), layers=(2, 4))
MEDIUM = DefocusRange(radius=(2.0, 7.0))
STRONG = DefocusRange(radius=(5.0, 12.0))

# name -> shares of ranges; the shares of a preset sum to 1
PRESETS: dict[str, tuple[tuple[float, DefocusRange], ...]] = {
    "slight": ((1.0, SLIGHT),),
    "medium": ((1.0, MEDIUM),),
    "strong": ((1.0, STRONG),),
    "mixed": ((0.35, SLIGHT), (0.4, MEDIUM), (0.25, STRONG)),
    "wide": ((0.2, SLIGHT), (0.35, MEDIUM), (0.45, STRONG)),
    "bench": ((1.0, DefocusRange(radius=(4.5, 10.5), noise=(0.3, 1.5), jpeg_share=0.0)),),
}


def sample_params(generator: torch.Generator | None, preset: str = "mixed") -> DefocusParams:
    """One defocus of a preset; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "mixed") -> list[DefocusParams]:
    """``count`` independent ones of a preset, from one draw of the generator."""
    shares = named_preset("defocus", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def add_defocus(clean: Tensor, params: DefocusParams) -> Tensor:
    """This defocus on ``clean``, (3, H, W) or (B, 3, H, W) in [0, 1]; same shape, device and dtype."""
    return on_each(_lay_over, clean, params, None)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """A batch (B, 3, H, W) in [0, 1] out of focus, each picture as ``preset`` draws it; in [0, 1]."""
    return _lay_over(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """A whole photo (H, W, 3) in [0, 1] out of focus; a new fp32 array."""
    clean = to_tensor(rgb, "defocus")
    return to_photo(add_defocus(clean, sample_params(torch.Generator().manual_seed(seed), preset)))


def _lay_over(clean: Tensor, views: Sequence[DefocusParams], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "defocus")
    device = clean.device
    generators = [seeded(view.seed) for view in views]
    picture = clean.float().clamp(0, 1)
    light = picture**GAMMA
    if any(view.highlight for view in views):
        light = brighter(light, column([view.highlight for view in views], device))
    depth = _depth(picture, views, generators)
    seen = torch.empty_like(light)
    for number in range(max(len(view.radii) for view in views)):
        chosen = [i for i, view in enumerate(views) if number < len(view.radii)]
        discs = [views[i].lens.resized(views[i].radii[number]) for i in chosen]
        if number == 0:
            seen[chosen] = _blurred(light, discs)
            continue
        border = column([views[i].borders[number - 1] for i in chosen], device)
        # all that is nearer than the border, so that no gap opens between layers
        nearer = ((depth[chosen] - border) * 40 + 0.5).clamp_(0, 1)
        layer = _blurred(torch.cat([light[chosen] * nearer, nearer], dim=1), discs)
        seen[chosen] = seen[chosen] * (1 - layer[:, 3:]) + layer[:, :3]
    result = seen.clamp_(0, 1) ** (1 / GAMMA)
    result = touched_up(result, generators, [v.noise for v in views], [v.quality for v in views])
    return result.clamp_(0, 1).to(clean.dtype)


def _blurred(light: Tensor, discs: Sequence[Disc]) -> Tensor:
    """Each picture through its disc; what is in focus stays exactly as it is."""
    chosen = [i for i, disc in enumerate(discs) if disc.radius >= 0.5]
    if not chosen:
        return light
    result = light.clone()
    result[chosen] = convolve(light[chosen], disc_kernels([discs[i] for i in chosen]).to(light.device))
    return result


def _depth(picture: Tensor, views: Sequence[DefocusParams], generators: Sequence[torch.Generator]) -> Tensor:
    """From 0 (far) to 1 (near), (B, 1, H, W)."""
    device = picture.device
    size = picture.shape[2], picture.shape[3]
    angle = torch.deg2rad(column([view.slope for view in views], device))
    down = torch.linspace(-0.5, 0.5, size[0], device=device).view(1, 1, -1, 1)
    right = torch.linspace(-0.5, 0.5, size[1], device=device).view(1, 1, 1, -1)
    slope = (down * angle.cos() + right * angle.sin()) / (angle.cos().abs() + angle.sin().abs()) + 0.5
    shapes = torch.sigmoid(2 * octaves(generators, size, (2, 4), 0.5).to(device))
    shares = torch.tensor([view.shares for view in views], device=device).view(-1, 2, 1, 1)
    depth = (torch.cat([slope, shapes], dim=1) * shares).sum(1, keepdim=True)
    on_edges = torch.tensor([view.on_edges for view in views], device=device).view(-1, 1, 1, 1)
    bent = along_edges(depth, picture.mean(1, keepdim=True), max(2, min(size) // 8), EDGE)
    return torch.where(on_edges, bent, depth)


def _sample(dice: Dice, bounds: DefocusRange) -> DefocusParams:
    radius = dice.log(*bounds.radius)
    count = 1 if dice.chance(bounds.even_share) else dice.whole(*bounds.layers)
    # where the plane of focus lies: often among the layers, at times before or behind all
    focus = dice.even(-0.3, 1.3)
    depths = [(number + 0.5) / count for number in range(count)]
    off = [abs(depth - focus) for depth in depths]
    nearest = min(off) if dice.chance(0.7) else 0.0  # one layer is in focus
    off = [value - nearest for value in off]
    radii = [radius * (value / max(off) if max(off) > 0 else 1.0) for value in off]
    slope, shapes = dice.even(0.1, 1.0), dice.even(0.1, 1.0)
    return DefocusParams(
        radii=tuple(radii),
        borders=tuple(0.15 + 0.7 * (number + dice.even(-0.3, 0.3)) / count for number in range(1, count)),
        lens=sample_disc(dice),
        slope=25 * dice.normal() if dice.chance(0.75) else dice.even(-180, 180),
        shares=(slope / (slope + shapes), shapes / (slope + shapes)),
        on_edges=dice.chance(bounds.edges_share),
        highlight=dice.even(*bounds.highlight) if dice.chance(bounds.highlight_share) else 0.0,
        noise=dice.even(*bounds.noise) if dice.chance(bounds.noise_share) else 0.0,
        quality=dice.whole(*bounds.quality) if dice.chance(bounds.jpeg_share) else None,
        seed=dice.seed(),
    )
