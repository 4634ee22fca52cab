"""Damage of any kind and of several kinds at once, with how severe each is: what a detector of damage learns from.

A picture gets none, one, or two to three kinds, in the order in which they befall a photo: first what lies in the
lens, then the weather, the sensor's noise, and the file. Each severity is measured where it is applied, between the
picture before and after it, so that it does not depend on what follows. The kinds' own functions draw them, without
the noise and the JPEG that some add by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade import blur, compression, defocus, drops, haze, noise, rain, snow
from dfrestore.degrade.compression import UNIT, Saving
from dfrestore.degrade.dice import Dice, throw_dice
from dfrestore.degrade.drawings import drawing
from dfrestore.degrade.fields import seeded
from dfrestore.degrade.presets import sample_params as sample_rain
from dfrestore.severities import DAMAGES, psnr_of

Add = Callable[[Tensor, Dice], Tensor]
"""One damage on a picture (3, H, W) in [0, 1], as the dice draw it: a new picture of the same size."""

TOGETHER: tuple[tuple[str, ...], ...] = (
    ("defocus", "motion", "lowres"),
    ("haze",),
    ("rain", "snow", "drops"),
    ("noise",),
    ("jpeg",),
)
"""In the order of a photo's life. Of each group a picture has one kind at most."""

THINNED = 0.3  # of haze, rain, snow and drops: share that is mixed with the picture before, so that there is little too
SPARED, ALONE = 0.22, 0.48  # shares of pictures without damage, and with one kind
OFTEN = {"drops": 2.0, "defocus": 1.5, "rain": 1.5}
"""What a detector learns slowly is drawn so many times as often as the others."""
DRAWINGS, NIGHTS = 0.06, 0.08  # shares of drawings in place of photos, and of photos that are made dark


@dataclass(frozen=True)
class Mixture:
    """A damaged picture (3, H, W) in whole levels of 255, and the severity of each of :data:`DAMAGES`, float32."""

    picture: Tensor
    severities: Tensor


def draw_mixture(clean: Tensor, seed: int) -> Mixture:
    """``clean``, (3, H, W) in [0, 1], with what the seed draws; now and then a drawing or a dark photo in its place."""
    (dice,) = throw_dice(1, seeded(seed))
    kinds = draw_kinds(dice)
    if dice.chance(DRAWINGS):
        clean = drawing(clean.shape[1], clean.shape[2], dice.seed()).to(clean.device)
    elif dice.chance(NIGHTS):
        clean = clean * dice.even(0.15, 0.6)
    return damaged(clean, kinds, dice.seed())


def draw_kinds(dice: Dice) -> tuple[str, ...]:
    """Names of none, one, or two to three kinds; a group is as likely as its members together."""
    draw = dice.even(0, 1)
    if draw < SPARED:
        return ()
    count = 1 if draw < SPARED + ALONE else dice.whole(2, 3)
    groups = list(TOGETHER)
    chosen = []
    for _ in range(count):
        group = dice.pick(tuple((sum(map(_share, group)), group) for group in groups))
        groups.remove(group)
        chosen.append(dice.pick(tuple((_share(name), name) for name in group)))
    return tuple(chosen)


def may_meet(name: str, other: str) -> bool:
    """Whether one picture may have both kinds: they are of different groups."""
    return not any({name, other} <= {*group} for group in TOGETHER)


def _share(name: str) -> float:
    return OFTEN.get(name, 1.0)


def damaged(clean: Tensor, kinds: Sequence[str], seed: int) -> Mixture:
    """``clean``, (3, H, W) in [0, 1], with these kinds of damage, in the order of :data:`TOGETHER`.

    The seed draws how strong each is; each kind has its own numbers, whatever others there are. KeyError for an
    unknown kind.
    """
    severities = dict.fromkeys(DAMAGES, 0.0)
    picture = clean.float()
    for name in sorted(kinds, key=_ORDER.index):
        (dice,) = throw_dice(1, seeded(seed + 7919 * _ORDER.index(name)))
        after = _ADD[name](picture, dice).clamp(0, 1)
        severities[name] = DAMAGES[name].severity(psnr_of(float((after - picture).square().mean())))
        picture = after
    return Mixture((picture * 255).round() / 255, torch.tensor(list(severities.values())))


# -- the kinds ------------------------------------------------------------------------------------------------------


def _rain(picture: Tensor, dice: Dice) -> Tensor:
    generator = seeded(dice.seed())
    return _thinned(rain.add_rain(picture, sample_rain(generator), generator), picture, dice)


def _snow(picture: Tensor, dice: Dice) -> Tensor:
    return _thinned(snow.add_snow(picture, _bare(snow.sample_params(seeded(dice.seed())))), picture, dice)


def _drops(picture: Tensor, dice: Dice) -> Tensor:
    return _thinned(drops.add_drops(picture, _bare(drops.sample_params(seeded(dice.seed())))), picture, dice)


def _haze(picture: Tensor, dice: Dice) -> Tensor:
    generator, preset = seeded(dice.seed()), dice.pick(((0.5, "mixed"), (0.5, "camera")))
    return _thinned(haze.add_haze(picture, _bare(haze.sample_params(generator, preset))), picture, dice)


def _noise(picture: Tensor, dice: Dice) -> Tensor:
    generator = seeded(dice.seed())
    return noise.add_noise(picture, _bare(noise.sample_params(generator, "blind")), generator)


def _motion(picture: Tensor, dice: Dice) -> Tensor:
    generator = seeded(dice.seed())
    preset = dice.pick(((0.5, "motion"), (0.3, "short"), (0.2, "path")))
    return blur.add_blur(picture, _bare(blur.sample_params(generator, preset)), generator)


def _defocus(picture: Tensor, dice: Dice) -> Tensor:
    return defocus.add_defocus(picture, _bare(defocus.sample_params(seeded(dice.seed()))))


def _jpeg(picture: Tensor, dice: Dice) -> Tensor:
    """Of any quality, its blocks beginning anywhere, as after cropping; some saved twice."""
    savings = []
    for _ in range(2 if dice.chance(0.15) else 1):
        shift = (dice.whole(0, UNIT - 1), dice.whole(0, UNIT - 1))
        quality = dice.whole(8, 97)
        savings.append(Saving(quality, half_chroma=dice.chance(0.85 if quality < 90 else 0.3), shift=shift))
    return compression.add_jpeg(picture, tuple(savings))


def _lowres(picture: Tensor, dice: Dice) -> Tensor:
    """Reduced to between 4/5 and a quarter of its sides, and enlarged again."""
    height, width = picture.shape[1:]
    factor = dice.log(1.25, 4.0)
    size = max(1, round(height / factor)), max(1, round(width / factor))
    how = dice.pick(((0.6, "bicubic"), (0.4, "bilinear")))
    small = functional.interpolate(picture[None], size, mode=how, align_corners=False, antialias=True).clamp(0, 1)
    up = dice.pick(((0.55, "bicubic"), (0.35, "bilinear"), (0.1, "nearest")))
    options: dict[str, Any] = {} if up == "nearest" else {"align_corners": False}
    return functional.interpolate((small * 255).round() / 255, (height, width), mode=up, **options)[0]


_ADD: dict[str, Add] = {
    "rain": _rain,
    "snow": _snow,
    "drops": _drops,
    "haze": _haze,
    "noise": _noise,
    "motion": _motion,
    "defocus": _defocus,
    "jpeg": _jpeg,
    "lowres": _lowres,
}
_ORDER = tuple(name for group in TOGETHER for name in group)
_BARE = {"noise": 0.0, "quality": None, "rain": None, "rounded": False}


def _bare(params: Any) -> Any:
    """The same parameters without what belongs to other kinds: noise and JPEG afterwards, rain in haze."""
    return replace(params, **{f.name: _BARE[f.name] for f in fields(params) if f.name in _BARE})


def _thinned(after: Tensor, before: Tensor, dice: Dice) -> Tensor:
    strength = dice.even(0.1, 1.0) if dice.chance(THINNED) else 1.0
    return torch.lerp(before, after, strength)
