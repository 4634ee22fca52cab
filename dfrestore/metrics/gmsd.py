"""Gradient magnitude similarity deviation: how unevenly a picture's edges differ from those of the clean one.

Xue et al., "Gradient magnitude similarity deviation: a highly efficient perceptual image quality index", IEEE Trans.
Image Processing 2014, with the settings of the authors' MATLAB code: halved by the mean of 2 x 2 pixels, Prewitt
filters, c = 170, zeros outside the picture, sample deviation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dfrestore.metrics.luma import Array, check_pair

C = 170.0
GREY = (0.299, 0.587, 0.114)  # of MATLAB's rgb2gray: unlike those of PSNR on Y, its values fill 0 to 255
LEAST = 3

Map = NDArray[np.float64]


def gmsd(a: Array, b: Array) -> float:
    """GMSD of two pictures (H, W, 3), or two of one channel (H, W), in [0, 255]; 0 for identical ones, in fp64.

    Symmetric; the larger the worse, seldom above 0.35. ValueError where shapes differ or a side is below 3 pixels.
    """
    check_pair(a, b)
    if a.ndim not in (2, 3) or (a.ndim == 3 and a.shape[2] != 3):
        raise ValueError(f"GMSD needs arrays of shape (H, W, 3) or (H, W), not {a.shape}")
    if min(a.shape[:2]) < LEAST:
        raise ValueError(f"GMSD needs at least {LEAST}x{LEAST} pixels, not {a.shape[1]}x{a.shape[0]}")
    steep_a, steep_b = (_steepness(_halved(_grey(picture))) for picture in (a, b))
    alike = (2 * steep_a * steep_b + C) / (steep_a * steep_a + steep_b * steep_b + C)
    return float(alike.std(ddof=1))


def _grey(picture: Array) -> Map:
    if picture.ndim == 2:
        return picture.astype(np.float64)
    grey = np.zeros(picture.shape[:2])
    for channel, weight in enumerate(GREY):
        grey += picture[..., channel] * weight
    return grey


def _halved(grey: Map) -> Map:
    """The mean of each 2 x 2 pixels; where a side is odd, zeros follow it."""
    even = np.pad(grey, [(0, size % 2) for size in grey.shape])
    result: Map = (even[::2, ::2] + even[::2, 1::2] + even[1::2, ::2] + even[1::2, 1::2]) / 4
    return result


def _steepness(grey: Map) -> Map:
    """Length of the gradient by Prewitt's filters, each of whose rows is divided by 3."""
    padded = np.pad(grey, 1)
    columns = padded[:-2] + padded[1:-1] + padded[2:]
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    result: Map = np.hypot(columns[:, 2:] - columns[:, :-2], rows[2:] - rows[:-2]) / 3
    return result
