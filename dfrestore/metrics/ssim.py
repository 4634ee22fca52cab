"""Structural similarity of Wang et al. (2004) with the settings of the authors' MATLAB code.

An 11 x 11 Gaussian of sigma 1.5, population covariance, C1 = (0.01 peak)^2, C2 = (0.03 peak)^2, and the mean
over the positions where the whole window lies inside the picture: 5 pixels fewer on each side.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dfrestore.metrics.luma import Array, check_pair, crop, luma

RADIUS = 5
SIGMA = 1.5
STRIP = 128  # rows filtered at a time: the maps of a whole photo would take gigabytes

Map = NDArray[np.float64]


def _gaussian() -> tuple[float, ...]:
    """The window's 11 weights along one axis; they sum to 1."""
    weights = [math.exp(-0.5 * (x / SIGMA) ** 2) for x in range(-RADIUS, RADIUS + 1)]
    return tuple(weight / sum(weights) for weight in weights)


TAPS = _gaussian()


def ssim(a: Array, b: Array, *, peak: float = 255.0, border: int = 0) -> float:
    """Mean SSIM of two arrays (H, W), in [-1, 1], 1 for identical ones; computed in fp64.

    ``border``: pixels left out on each side before anything else. ValueError where shapes differ or where less
    than 11 x 11 pixels remain.
    """
    check_pair(a, b)
    if a.ndim != 2:
        raise ValueError(f"ssim needs arrays of shape (H, W), not {a.shape}; see ssim_y and ssim_rgb")
    a, b = crop(a, border), crop(b, border)
    height, width = int(a.shape[0]), int(a.shape[1])
    if min(height, width) < 2 * RADIUS + 1:
        raise ValueError(f"SSIM needs at least 11x11 pixels, not {width}x{height}")
    total = 0.0
    for top in range(0, height - 2 * RADIUS, STRIP):
        rows = slice(top, min(top + STRIP + 2 * RADIUS, height))
        total += float(_ssim_map(a[rows].astype(np.float64), b[rows].astype(np.float64), peak).sum())
    return total / ((height - 2 * RADIUS) * (width - 2 * RADIUS))


def ssim_y(a: Array, b: Array, *, rounded: bool = False, border: int = 0) -> float:
    """SSIM of the luma of two pictures (H, W, 3) in [0, 255]."""
    check_pair(a, b)
    return ssim(luma(a, rounded=rounded), luma(b, rounded=rounded), border=border)


def ssim_rgb(a: Array, b: Array, *, border: int = 0) -> float:
    """Mean of the SSIM of each channel of two pictures (H, W, 3) in [0, 255]."""
    check_pair(a, b)
    if a.ndim != 3:
        raise ValueError(f"ssim_rgb needs arrays of shape (H, W, C), not {a.shape}")
    return float(np.mean([ssim(a[..., c], b[..., c], border=border) for c in range(a.shape[2])]))


def _ssim_map(a: Map, b: Map, peak: float) -> Map:
    """SSIM at each position where the window fits: (H, W) -> (H - 10, W - 10)."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = _smooth(a), _smooth(b)
    mean_ab, mean_aa, mean_bb = mean_a * mean_b, mean_a * mean_a, mean_b * mean_b
    variances = _smooth(a * a + b * b) - (mean_aa + mean_bb)
    covariance = _smooth(a * b) - mean_ab
    result: Map = (2 * mean_ab + c1) * (2 * covariance + c2) / ((mean_aa + mean_bb + c1) * (variances + c2))
    return result


def _smooth(x: Map) -> Map:
    """Separable Gaussian over the valid positions: (H, W) -> (H - 10, W - 10)."""
    height, width = x.shape[0] - 2 * RADIUS, x.shape[1] - 2 * RADIUS
    rows = TAPS[0] * x[:height]
    for i, tap in enumerate(TAPS[1:], start=1):
        rows += tap * x[i : i + height]
    both: Map = TAPS[0] * rows[:, :width]
    for i, tap in enumerate(TAPS[1:], start=1):
        both += tap * rows[:, i : i + width]
    return both
