"""What a run is judged by: the middles of held-out photos, and their PSNR."""

from __future__ import annotations

import math

from torch import Tensor

from dfrestore.training.config import TrainConfig
from dfrestore.training.data import Degrade, generator_for
from dfrestore.training.photos import Photos

DRAWS = 1000  # the place of validation among the stages, for its draws


def validation_pairs(
    photos: Photos, config: TrainConfig, multiple: int, degrade: Degrade | None
) -> tuple[list[Tensor], list[Tensor]]:
    """(clean, degraded) middles, each (3, H, W) float32 in [0, 1] with sides of this ``multiple``; always the same."""
    side = config.data.validation_size
    clean = [_centre(pixels, side, multiple).float() / 255 for pixels in photos.pixels]
    if photos.paired:
        return clean, [_centre(pixels, side, multiple).float() / 255 for pixels in photos.inputs]
    return clean, [_degraded(crop, config, i, degrade) for i, crop in enumerate(clean)]


def psnr(a: Tensor, b: Tensor) -> float:
    """dB between pictures in [0, 1], RGB, rounded to 8 bit."""
    error = ((a * 255).round() - (b * 255).round()).square().mean().item()
    return 10 * math.log10(255**2 / max(error, 1e-10))


def _centre(pixels: Tensor, side: int, multiple: int) -> Tensor:
    height, width = (min(side, n) // multiple * multiple for n in pixels.shape[1:])
    top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
    return pixels[:, top : top + height, left : left + width].contiguous()


def _degraded(clean: Tensor, config: TrainConfig, index: int, degrade: Degrade | None) -> Tensor:
    if degrade is None:
        raise ValueError("clean photos need a degradation")
    generator = generator_for(config.seed, DRAWS, index)
    return (degrade(clean[None], config.data.preset, generator)[0] * 255).round() / 255
