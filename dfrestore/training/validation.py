"""What a run is judged by: the middles of held-out photos, and their PSNR, or the stage's own verdict."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.methods import Network
from dfrestore.methods.method import Pair, Stage, Verdict
from dfrestore.nn import How
from dfrestore.training.config import TrainConfig
from dfrestore.training.data import Degrade, generator_for
from dfrestore.training.photos import Photos

DRAWS = 1000  # stands for the stage in the draws of validation


def validation_pairs(
    photos: Photos, config: TrainConfig, network: Network, degrade: Degrade | None
) -> tuple[list[Tensor], list[Tensor]]:
    """(clean, degraded) middles, float32 in [0, 1], of sides that the network takes; always the same.

    clean: (3, sH, sW), degraded: (3 or 4, H, W); s: the network's scale.
    """
    side, multiple, scale = config.data.validation_size, network.multiple, network.scale
    grid = scale if photos.paired else 1
    clean = [_centre(pixels, side, multiple * scale, grid).float() / 255 for pixels in photos.pixels]
    if photos.masks:
        holes = [_centre(pixels, side, multiple)[:1].float() / 255 for pixels in photos.masks]
        inputs = [_centre(pixels, side, multiple).float() / 255 for pixels in photos.inputs]
        return clean, [torch.cat([i * (1 - hole), hole]) for i, hole in zip(inputs, holes, strict=True)]
    if photos.paired:
        return clean, [_centre(pixels, side // scale, multiple).float() / 255 for pixels in photos.inputs]
    return clean, [_degraded(crop, config, i, degrade) for i, crop in enumerate(clean)]


def verdict(
    stage: Stage, network: Network, pairs: tuple[list[Tensor], list[Tensor]], device: torch.device, how: How
) -> Verdict:
    """Of a stage that judges itself, on what :func:`validation_pairs` gives, one at least; each process sees all."""
    with torch.no_grad():
        sums = [
            stage.judged(network, Pair(degraded.to(device), clean.to(device)), index, how).cpu()
            for index, (clean, degraded) in enumerate(zip(*pairs, strict=True))
        ]
    return stage.verdict(network, torch.stack(sums).sum(0))


def psnr(a: Tensor, b: Tensor) -> float:
    """dB between pictures in [0, 1], RGB, rounded to 8 bit."""
    error = ((a * 255).round() - (b * 255).round()).square().mean().item()
    return 10 * math.log10(255**2 / max(error, 1e-10))


def shown(degraded: Tensor, clean: Tensor) -> Tensor:
    """A degraded picture as the clean one's like, (3, H, W): bicubic where that is larger, a mask left out."""
    picture = degraded[:3]
    if picture.shape == clean.shape:
        return picture
    size = (clean.shape[1], clean.shape[2])
    return functional.interpolate(picture[None], size, mode="bicubic", align_corners=False)[0].clamp(0, 1)


def _centre(pixels: Tensor, side: int, multiple: int, grid: int = 1) -> Tensor:
    """The middle, with sides of this ``multiple``, which begins at multiples of ``grid``."""
    height, width = (min(side, n) // multiple * multiple for n in pixels.shape[1:])
    top, left = ((n - m) // 2 // grid * grid for n, m in zip(pixels.shape[1:], (height, width), strict=True))
    return pixels[:, top : top + height, left : left + width].contiguous()


def _degraded(clean: Tensor, config: TrainConfig, index: int, degrade: Degrade | None) -> Tensor:
    if degrade is None:
        raise ValueError("clean photos need a degradation")
    generator = generator_for(config.seed, DRAWS, index)
    return (degrade(clean[None], config.data.preset, generator)[0] * 255).round() / 255
