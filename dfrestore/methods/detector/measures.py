"""What is measured of looks without learning: a few dozen numbers beside the network's own features.

Noise, blocks and blur are statistics of small differences, which a small network learns slowly beside large edges. The
measures: how strongly the steps between pixels cluster at one phase of eight (JPEG's blocks); quantiles of the finest
diagonal band, of luma and of two colour differences (noise); steps at four scales, along rows and columns (blur,
its direction, and photos that were enlarged); the darkest and brightest channel and the colours of the view (haze: He
et al., CVPR 2009). Amplitudes are logarithms, so that a layer of weights can compare them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 8  # pixels: side of JPEG's blocks
STEP = 8 / 255  # larger steps count as this: they are edges
LEAST = 0.25 / 255  # added to amplitudes before their logarithm
SCALES = 4
QUANTILES = (0.1, 0.3, 0.6)
THINNED = 4  # one of so many rows and columns is ranked: quantiles need no more
DARK = 5  # pixels of the view: side of the places whose darkest channel counts
COUNT = 6 + 2 * 3 * len(QUANTILES) + 4 * (SCALES + 1) + 11
"""How many there are."""


def measures(crops: Tensor, views: Tensor) -> Tensor:
    """(B, :data:`COUNT`) float32, each about from -2 to 2, of crops (B, n, 3, c, c') and views (B, 3, v, v')."""
    batch, count = crops.shape[:2]
    flat = crops.flatten(0, 1).float()
    luma = _luma(flat)
    of_each = torch.cat([_blocks(luma), _noise(flat, luma), _scales(luma)], dim=1).view(batch, count, -1)
    blocks, noise, scales = torch.split(of_each, [6, 3 * len(QUANTILES), 2 * (SCALES + 1)], dim=2)
    pooled = [blocks.mean(1), noise.mean(1), noise.amin(1), scales.mean(1), scales.amax(1)]
    return torch.cat([*pooled, _haze(views.float())], dim=1)


def _luma(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, H, W)."""
    return 0.299 * pictures[:, 0] + 0.587 * pictures[:, 1] + 0.114 * pictures[:, 2]


def _amplitude(values: Tensor) -> Tensor:
    """Of values in [0, 1]: a logarithm that is -2 for nothing and about 2 for 32 levels."""
    return _scaled((values + LEAST).log())


def _scaled(logarithms: Tensor) -> Tensor:
    return logarithms / 1.25 + 3.54


def _blocks(luma: Tensor) -> Tensor:
    """(B, 6): along rows and along columns, the excess of the strongest phase of steps and of the second one, in
    levels, and the share of steps that are hardly there.
    """
    return torch.cat([_phases(luma), _phases(luma.transpose(1, 2))], dim=1)


def _phases(luma: Tensor) -> Tensor:
    """(B, 3), along the last dimension."""
    steps = (luma[..., 1:] - luma[..., :-1]).abs()
    around = 0.5 * (steps[..., :-2] + steps[..., 2:])
    excess = (steps[..., 1:-1] - around).clamp(-STEP, STEP)
    whole = excess.shape[-1] // BLOCK * BLOCK
    phases = excess[..., :whole].reshape(*excess.shape[:2], -1, BLOCK).mean((1, 2))
    strongest = phases.sort(dim=1, descending=True).values
    usual = strongest[:, 2:].mean(1)
    still = (steps < 0.75 / 255).float().mean((1, 2))
    return torch.stack([(strongest[:, 0] - usual) * 255, (strongest[:, 1] - usual) * 255, 2 * still - 1], dim=1)


def _noise(pictures: Tensor, luma: Tensor) -> Tensor:
    """(B, 3 quantiles of each of three planes)."""
    red, green, blue = pictures.unbind(1)
    planes = torch.stack([luma, red - green, blue - green], dim=1)
    band = planes[..., 1:, 1:] - planes[..., 1:, :-1] - planes[..., :-1, 1:] + planes[..., :-1, :-1]
    sizes = band.abs()[..., ::THINNED, ::THINNED].flatten(2).sort(dim=2).values / 2
    places = [int(share * (sizes.shape[2] - 1)) for share in QUANTILES]
    return _amplitude(sizes[..., places]).flatten(1)


def _scales(luma: Tensor) -> Tensor:
    """(B, 10): for rows and for columns, how large steps are, how many times larger at a half, a quarter, an eighth of
    the size than at the one before, and how much they differ from those beside them.
    """
    luma = luma[:, None]
    smaller = [luma, *(functional.avg_pool2d(luma, 2**scale) for scale in range(1, SCALES))]
    found: list[Tensor] = []
    for dim in (2, 3):
        sizes = [_log_mean(small.diff(dim=dim)) for small in smaller]
        ratios = [3 * (larger - size) - 1 for size, larger in pairwise(sizes)]
        found += [_scaled(sizes[0]), *ratios, 3 * (_log_mean(luma.diff(n=2, dim=dim)) - sizes[0])]
    return torch.stack(found, dim=1)


def _log_mean(steps: Tensor) -> Tensor:
    return (steps.abs().mean((1, 2, 3)) + LEAST).log()


def _haze(views: Tensor) -> Tensor:
    """(B, 11): quantiles of the darkest and brightest channel, how much luma varies, how colourful, the mean colour."""
    dark = -functional.max_pool2d(-views.amin(1, keepdim=True), DARK, stride=THINNED, padding=DARK // 2)
    bright = views.amax(1, keepdim=True)[..., ::THINNED, ::THINNED]
    spread = _luma(views).flatten(1).std(1)
    colourful = (views.amax(1) - views.amin(1)).flatten(1).mean(1)
    of_all = torch.stack([spread * 2, colourful * 2], dim=1)
    levels = [*_at(dark, (0.02, 0.5, 0.98)), *_at(bright, (0.02, 0.5, 0.98))]
    return torch.cat([torch.stack(levels, dim=1), of_all, views.flatten(2).mean(2)], dim=1) * 4 - 2


def _at(planes: Tensor, shares: tuple[float, ...]) -> list[Tensor]:
    """Quantiles of (B, 1, H, W), each (B,)."""
    ordered = planes.flatten(1).sort(dim=1).values
    return [ordered[:, int(share * (ordered.shape[1] - 1))] for share in shares]
