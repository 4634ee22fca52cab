"""How much rain, and of what kinds: named ranges, and one picture's parameters drawn from them.

Ranges surround what public rain sets show (light, single direction: Rain100L; up to five superposed directions:
Rain100H, both Yang et al., CVPR 2017; fine video rain: NTURain, Chen et al., CVPR 2018). Every parameter is drawn
on its own. Only the opacity follows from the others: from the error that the rain should make, in dB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from dfrestore.degrade.dice import Dice, Range, named_preset, throw_dice
from dfrestore.degrade.streaks import Blend, RainParams, StreakLayer, moments

MIN_ASPECT = 5.0  # shorter streaks look like snow


@dataclass(frozen=True)
class RainRange:
    """Ranges (low, high) from which one rain is drawn; ``decibels`` is the PSNR on luma that the streaks alone aim at.

    Lengths, widths and coverage are drawn on a log scale, the rest evenly. ``coverage`` is that of all layers.
    """

    decibels: Range
    layers: tuple[int, int]
    coverage: Range
    length: Range = (9.0, 100.0)
    width: Range = (0.8, 4.5)
    lean: float = 25.0  # degrees: mean direction is normal around the vertical with this deviation
    any_direction: float = 0.12  # share of rains that may fall in any direction
    fan: float = 30.0  # degrees between the layers of one rain and its mean direction, at most
    noise_share: float = 0.25  # of the layers are motion-blurred noise
    blends: tuple[tuple[float, Blend], ...] = ((0.7, "additive"), (0.17, "screen"), (0.13, "alpha"))
    veil_share: float = 0.1
    veil: Range = (0.03, 0.2)
    tinted_share: float = 0.2
    brightness: Range = (1.0, 1.0)  # of the streaks' colour: below 1 they are grey and may hide brighter things


DRIZZLE = RainRange(decibels=(26.0, 30.8), layers=(1, 2), coverage=(0.04, 0.4), length=(9.0, 70.0), width=(0.7, 3.0))
LIGHT = RainRange(decibels=(24.0, 34.0), layers=(1, 2), coverage=(0.03, 0.5))
FINE = RainRange(
    decibels=(18.0, 29.0),
    layers=(1, 3),
    coverage=(0.03, 0.4),
    length=(8.0, 60.0),
    width=(0.7, 2.8),
    lean=12.0,
    any_direction=0.08,
    fan=8.0,
    noise_share=0.15,
    blends=((0.2, "additive"), (0.2, "screen"), (0.6, "alpha")),
    veil_share=0.05,
    tinted_share=0.4,
    brightness=(0.55, 1.0),
)
RAIN = RainRange(decibels=(19.2, 23.6), layers=(1, 3), coverage=(0.1, 1.0))
MEDIUM = RainRange(decibels=(17.5, 24.0), layers=(1, 4), coverage=(0.1, 1.5), length=(9.0, 120.0))
STORM = RainRange(
    decibels=(9.8, 12.8),
    layers=(2, 5),
    coverage=(0.8, 3.5),
    length=(18.0, 140.0),
    width=(1.0, 5.0),
    lean=15.0,
    fan=40.0,
    blends=((0.8, "additive"), (0.1, "screen"), (0.1, "alpha")),
)
HEAVY = replace(STORM, decibels=(10.0, 17.0), layers=(1, 5), coverage=(0.4, 4.0), width=(0.8, 6.0), lean=20.0)

# name -> shares of ranges; the shares of a preset sum to 1
PRESETS: dict[str, tuple[tuple[float, RainRange], ...]] = {
    "drizzle": ((1.0, DRIZZLE),),
    "fine": ((1.0, FINE),),
    "rain": ((1.0, RAIN),),
    "storm": ((1.0, STORM),),
    "mixed": ((0.3, LIGHT), (0.2, FINE), (0.15, MEDIUM), (0.35, HEAVY)),
}


def sample_params(generator: torch.Generator | None, preset: str = "mixed") -> RainParams:
    """One rain of a preset; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "mixed") -> list[RainParams]:
    """``count`` independent rains of a preset, from one draw of the generator."""
    shares = named_preset("rain", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def _sample(dice: Dice, bounds: RainRange) -> RainParams:
    target = dice.even(*bounds.decibels)
    coverage = dice.log(*bounds.coverage)
    count = dice.whole(*bounds.layers)
    heading = dice.even(-90, 90) if dice.chance(bounds.any_direction) else dice.normal() * bounds.lean
    fan = bounds.fan * dice.even(0, 1)
    weights = [dice.even(0.3, 1.0) for _ in range(count)]
    layers = [_sample_layer(dice, bounds, heading, fan, coverage * w / sum(weights)) for w in weights]
    blend = dice.pick(bounds.blends)
    tint = tuple(dice.even(0.88, 1.0) for _ in range(3)) if dice.chance(bounds.tinted_share) else (1.0, 1.0, 1.0)
    veil = dice.even(*bounds.veil) if dice.chance(bounds.veil_share) else 0.0
    grey = dice.even(0.55, 0.95)
    airlight = (grey, grey * dice.even(0.97, 1.03), grey * dice.even(0.95, 1.05))
    variation = dice.even(0.1, 0.8)
    brightness = dice.even(*bounds.brightness)
    return RainParams(
        layers=_with_opacity(layers, target),
        blend=blend,
        tint=(tint[0] * brightness, tint[1] * brightness, tint[2] * brightness),
        veil=veil,
        airlight=airlight,
        veil_variation=variation,
    )


def _sample_layer(dice: Dice, bounds: RainRange, heading: float, fan: float, coverage: float) -> StreakLayer:
    length = dice.log(*bounds.length)
    return StreakLayer(
        kind="noise" if dice.chance(bounds.noise_share) else "drawn",
        coverage=coverage,
        length=length,
        width=min(dice.log(*bounds.width), length / MIN_ASPECT),
        angle=heading + fan * dice.even(-1, 1),
        opacity=dice.even(0.4, 1.0),  # relative to the other layers until _with_opacity
        angle_spread=dice.log(0.3, 8.0),
        length_spread=dice.even(0.0, 0.7),
        width_spread=dice.even(0.0, 0.5),
        opacity_spread=dice.even(0.0, 0.9),
        softness=dice.even(0.0, 1.6),
        taper=dice.even(0.0, 1.0),
        unevenness=dice.even(0.0, 0.7),
        ripple=dice.even(0.0, 0.9) if dice.chance(0.4) else 0.0,
        waviness=dice.even(0.0, 0.7) if dice.chance(0.2) else 0.0,
    )


def _with_opacity(layers: list[StreakLayer], decibels: float) -> tuple[StreakLayer, ...]:
    """Scale relative opacities so that the expected error is ``decibels``; denser where white streaks are too few."""
    # a grey difference d in [0, 1] is 219/255 d on studio-range luma
    wanted = 10 ** (-decibels / 20) * 255 / 219
    mean = sum(moments(x)[0] * x.opacity for x in layers)
    square = sum(moments(x)[1] * x.opacity**2 for x in layers)
    gain = wanted / math.sqrt(mean**2 + square)
    brightest = max(x.opacity for x in layers) * gain
    if brightest <= 1:
        return tuple(replace(x, opacity=x.opacity * gain) for x in layers)
    scale = gain / brightest  # opacities end at 1, the rest of the error comes from more streaks
    mean, square = mean * scale, square * scale**2
    denser = (-square + math.sqrt(square**2 + 4 * mean**2 * wanted**2)) / (2 * mean**2)
    return tuple(replace(x, opacity=min(1.0, x.opacity * scale), coverage=x.coverage * denser) for x in layers)
