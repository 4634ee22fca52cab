"""Small pictures from large ones: MATLAB's bicubic, alone and slightly damaged, and as photos on the web become.

The last is Real-ESRGAN's chain of two orders (Wang et al., ICCV workshops 2021, figure 2; parameters of the public
option files): blur, resizing, noise and JPEG, twice, with a ringing filter at the end. A picture comes out the same
alone and in a batch, for everything is drawn from its own parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.arrays import check_batch, on_each, to_photo, to_tensor
from dfrestore.degrade.blur import convolve
from dfrestore.degrade.dice import Dice, Range, named_preset, throw_dice
from dfrestore.degrade.fields import seeded
from dfrestore.degrade.filters import Filter, last_filter, sample_filter
from dfrestore.degrade.jpeg import jpeg_loss
from dfrestore.degrade.resize import bicubic_down

Mode = Literal["area", "bilinear", "bicubic"]
MODES: tuple[tuple[float, Mode], ...] = ((1.0, "area"), (1.0, "bilinear"), (1.0, "bicubic"))


@dataclass(frozen=True)
class Noise:
    """``gaussian``: its sigma on 0..255. ``poisson``: times that of counted light. ``grey``: one for all colours."""

    gaussian: float = 0.0
    poisson: float = 0.0
    grey: bool = False


@dataclass(frozen=True)
class Order:
    """One order of the chain: blur, resizing by ``resized`` of the full size, noise, JPEG of ``quality``."""

    blur: Filter | None
    resized: float
    mode: Mode
    noise: Noise
    quality: int


@dataclass(frozen=True)
class LowresParams:
    """How one picture becomes small by ``scale``.

    orders: the chain, two; none: bicubic alone, then ``noise`` and a JPEG of ``quality`` where there is one. In the
    chain, ``last`` and resizing in ``mode`` come before the last JPEG, or after it where ``jpeg_first``. ``seed``: of
    the noise.
    """

    scale: int
    orders: tuple[Order, ...] = ()
    last: Filter | None = None
    mode: Mode = "bicubic"
    jpeg_first: bool = False
    noise: Noise = Noise()
    quality: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class LowresRange:
    """What one picture's way is drawn from; shares from 0 to 1. ``chained``: after Real-ESRGAN's two orders."""

    scale: int
    noise_share: float = 0.0
    noise: Range = (0.5, 4.0)
    jpeg_share: float = 0.0
    quality: tuple[int, int] = (75, 97)
    chained: bool = False


def _mixed(scale: int) -> tuple[tuple[float, LowresRange], ...]:
    """Bicubic, half of it a little noisy or compressed, so that a photo of the web does not come out worse."""
    return (0.5, LowresRange(scale)), (0.5, LowresRange(scale, noise_share=0.5, jpeg_share=0.7))


# name -> shares of ranges; the shares of a preset sum to 1, and all have one scale
PRESETS: dict[str, tuple[tuple[float, LowresRange], ...]] = {
    "x2": ((1.0, LowresRange(2)),),
    "x3": ((1.0, LowresRange(3)),),
    "x4": ((1.0, LowresRange(4)),),
    "mixed": _mixed(4),
    "mixed-x2": _mixed(2),
    "real": ((1.0, LowresRange(4, chained=True)),),
    "real-x2": ((1.0, LowresRange(2, chained=True)),),
}
SCALES: Mapping[str, int] = {name: parts[0][1].scale for name, parts in PRESETS.items()}


def sample_params(generator: torch.Generator | None, preset: str = "mixed") -> LowresParams:
    """How one picture becomes small; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "mixed") -> list[LowresParams]:
    """:func:`sample_params` for ``count`` independent pictures, from one draw of the generator."""
    shares = named_preset("lowres", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def make_small(clean: Tensor, params: LowresParams) -> Tensor:
    """``clean``, (3, H, W) or (B, 3, H, W) in [0, 1], reduced like this; H and W multiples of the scale."""
    return on_each(_reduced, clean, params, None)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """A batch (B, 3, H, W) in [0, 1] to (B, 3, H / scale, W / scale), each picture as ``preset`` draws it."""
    return _reduced(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """A whole photo (H, W, 3) in [0, 1] made small; H and W multiples of the preset's scale."""
    clean = to_tensor(rgb, "lowres")
    return to_photo(make_small(clean, sample_params(torch.Generator().manual_seed(seed), preset)))


def _reduced(clean: Tensor, ways: Sequence[LowresParams], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "lowres")
    pictures = clean.float()
    plain = [i for i, way in enumerate(ways) if not way.orders]
    height, width = clean.shape[2:]
    scale = ways[0].scale
    if height % scale or width % scale:
        raise ValueError(f"{width} x {height} pixels cannot be reduced by {scale}")
    small = pictures.new_empty(len(ways), 3, height // scale, width // scale)
    if plain:
        small[plain] = bicubic_down(pictures[plain], scale)
    for i, way in enumerate(ways):
        if way.orders:
            small[i : i + 1] = _chain(pictures[i : i + 1], way)
        else:
            small[i : i + 1] = _damaged(small[i : i + 1], way)
    return small.to(clean.dtype)


def _damaged(picture: Tensor, way: LowresParams) -> Tensor:
    picture = _noisy(picture, way.noise, seeded(way.seed))
    return picture if way.quality is None else jpeg_loss(picture, [way.quality])


def _chain(picture: Tensor, way: LowresParams) -> Tensor:
    """One picture (1, 3, H, W) through two orders, rounded to 8 bits in the end."""
    size = picture.shape[2], picture.shape[3]
    final = size[0] // way.scale, size[1] // way.scale
    generator = seeded(way.seed)
    for number, order in enumerate(way.orders):
        if order.blur is not None:
            picture = _filtered(picture, order.blur)
        picture = _resized(picture, (size[0] * order.resized, size[1] * order.resized), order.mode)
        picture = _noisy(picture, order.noise, generator)
        is_last = number == len(way.orders) - 1
        if is_last and not way.jpeg_first:
            picture = _finished(picture, final, way)
        picture = jpeg_loss(picture, [order.quality])
        if is_last and way.jpeg_first:
            picture = _finished(picture, final, way)
    return (picture.clamp(0, 1) * 255).round_() / 255


def _finished(picture: Tensor, final: tuple[float, float], way: LowresParams) -> Tensor:
    picture = _resized(picture, final, way.mode)
    return picture if way.last is None else _filtered(picture, way.last)


def _filtered(picture: Tensor, blur: Filter) -> Tensor:
    return convolve(picture, blur.kernel().to(picture.device).unsqueeze(0))


def _resized(picture: Tensor, size: tuple[float, float], mode: Mode) -> Tensor:
    whole = max(1, int(size[0])), max(1, int(size[1]))
    if mode == "area":
        return functional.interpolate(picture, whole, mode="area")
    return functional.interpolate(picture, whole, mode=mode, align_corners=False)


def _noisy(picture: Tensor, noise: Noise, generator: torch.Generator) -> Tensor:
    """In [0, 1] afterwards where there is noise."""
    if not noise.gaussian and not noise.poisson:
        return picture
    if noise.gaussian:
        shape = (1, 1 if noise.grey else 3, *picture.shape[2:])
        draws = torch.randn(shape, generator=generator) * (noise.gaussian / 255)
        return (picture + draws.to(picture.device)).clamp(0, 1)
    level = (picture.clamp(0, 1) * 255).round() / 255
    if noise.grey:
        level = (level * torch.tensor([0.299, 0.587, 0.114], device=level.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    # photons for white: a power of two that tells the picture's levels apart
    photons = 2.0 ** math.ceil(math.log2(max(1, len(torch.unique((level * 255).round().byte())))))
    counted = torch.poisson((level * photons).cpu(), generator=generator).to(picture.device) / photons
    return (picture + (counted - level) * noise.poisson).clamp(0, 1)


def _sample(dice: Dice, bounds: LowresRange) -> LowresParams:
    seed = dice.seed()
    if not bounds.chained:
        noise = dice.even(*bounds.noise) if dice.chance(bounds.noise_share) else 0.0
        quality = dice.whole(*bounds.quality) if dice.chance(bounds.jpeg_share) else None
        return LowresParams(bounds.scale, noise=Noise(noise), quality=quality, seed=seed)
    first = Order(
        blur=sample_filter(dice, (0.2, 3.0)),
        resized=_sample_size(dice, (0.2, 0.7, 0.1), (0.15, 1.5)),
        mode=dice.pick(MODES),
        noise=_sample_noise(dice, (1.0, 30.0), (0.05, 3.0)),
        quality=dice.whole(30, 95),
    )
    second = Order(
        blur=sample_filter(dice, (0.2, 1.5)) if dice.chance(0.8) else None,
        resized=_sample_size(dice, (0.3, 0.4, 0.3), (0.3, 1.2)) / bounds.scale,
        mode=dice.pick(MODES),
        noise=_sample_noise(dice, (1.0, 25.0), (0.05, 2.5)),
        quality=dice.whole(30, 95),
    )
    jpeg_first, mode = dice.chance(0.5), dice.pick(MODES)
    return LowresParams(bounds.scale, (first, second), last_filter(dice), mode, jpeg_first, seed=seed)


def _sample_size(dice: Dice, shares: tuple[float, float, float], bounds: Range) -> float:
    """A factor above 1, below 1 or 1, by these shares."""
    up, down, keep = shares
    low, high = dice.pick(((up, (1.0, bounds[1])), (down, (bounds[0], 1.0)), (keep, (1.0, 1.0))))
    return dice.even(low, high)


def _sample_noise(dice: Dice, gaussian: Range, poisson: Range) -> Noise:
    grey = dice.chance(0.4)
    if dice.chance(0.5):
        return Noise(gaussian=dice.even(*gaussian), grey=grey)
    return Noise(poisson=dice.even(*poisson), grey=grey)
