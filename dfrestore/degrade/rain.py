"""Rain on clean pictures: batches of patches for training, whole photos for everything else.

A picture in rain is B' + R with B' the picture behind mist and R the sum of streak layers (additive, clipped; Yang
et al., CVPR 2017, equations 2 to 4), or the same layers as a screen or as semi-opaque paint. All draws come from
the generator given: the same generator state gives the same rain (on a CPU bit for bit).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.arrays import check_batch, on_each, to_photo, to_tensor
from dfrestore.degrade.presets import sample_many, sample_params
from dfrestore.degrade.streaks import RainParams, streak_maps


def rain_layer(height: int, width: int, params: RainParams, generator: torch.Generator | None = None) -> Tensor:
    """The streaks alone: grey map (height, width), fp32 in [0, 1], on the generator's device."""
    return streak_maps([params], height, width, generator)[0].clamp_(0, 1)


def add_rain(clean: Tensor, params: RainParams, generator: torch.Generator | None = None) -> Tensor:
    """Rain of these parameters on ``clean``, (3, H, W) or (B, 3, H, W) in [0, 1]; same shape, device and dtype.

    In a batch each picture gets its own streaks of the same parameters.
    """
    return on_each(_lay_over, clean, params, generator)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """Rain on a batch (B, 3, H, W) in [0, 1], each picture with its own parameters of ``preset``."""
    return _lay_over(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "rain", seed: int = 0, *, scale: float = 1.0) -> NDArray[np.float32]:
    """Rain on a whole photo (H, W, 3) in [0, 1]; a new fp32 array. ``scale`` enlarges the streaks for large photos."""
    generator = torch.Generator().manual_seed(seed)
    clean = to_tensor(rgb, "rain")
    return to_photo(add_rain(clean, sample_params(generator, preset).scaled(scale), generator))


def _lay_over(clean: Tensor, rains: Sequence[RainParams], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "rain")
    height, width = clean.shape[2:]
    device = clean.device
    streaks = streak_maps(rains, height, width, generator).to(device).unsqueeze(1)
    tint = torch.tensor([rain.tint for rain in rains], device=device).view(-1, 3, 1, 1)
    mode = torch.tensor([("additive", "screen", "alpha").index(r.blend) for r in rains], device=device)
    mode = mode.view(-1, 1, 1, 1)
    picture = clean.float()
    if any(rain.veil > 0 for rain in rains):
        picture = _behind_mist(picture, rains, generator)
    # additive: B + R;  screen: B + (1 - B) R;  alpha: B + (tint - B) R with R clipped: one formula, B + R (tint - B s)
    opaque = torch.where(mode > 0, streaks.clamp(max=1), streaks)
    shade = torch.where(mode == 0, 0, torch.where(mode == 1, tint, torch.ones_like(tint)))
    return (picture + opaque * (tint - picture * shade)).clamp_(0, 1).to(clean.dtype)


def _behind_mist(picture: Tensor, rains: Sequence[RainParams], generator: torch.Generator | None) -> Tensor:
    """Mix airlight into pictures (B, 3, H, W); the share varies smoothly over each picture."""
    device = picture.device
    source = generator.device if generator is not None else None
    coarse = torch.rand(len(rains), 1, 3, 3, generator=generator, device=source).to(device)
    smooth = functional.interpolate(coarse, size=picture.shape[2:], mode="bilinear", align_corners=True)
    veil, variation = torch.tensor([(r.veil, r.veil_variation) for r in rains], device=device).unbind(1)
    share = veil.view(-1, 1, 1, 1) * (1 - variation.view(-1, 1, 1, 1) * smooth)
    airlight = torch.tensor([r.airlight for r in rains], device=device).view(-1, 3, 1, 1)
    return torch.lerp(picture, airlight.expand_as(picture), share)
