"""From pictures to the numbers that are compared: 8-bit rounding, luma, cropped borders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
# BT.601 studio range, the coefficients of MATLAB's rgb2ycbcr for R, G, B in [0, 1]
WEIGHTS = (65.481, 128.553, 24.966)
OFFSET = 16.0


def to_8bit(rgb: Array) -> NDArray[np.uint8]:
    """Floats in [0, 1], any shape, as the 8-bit values a PNG would hold (clipped, rounded half to even)."""
    return np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)


def luma(rgb: Array, *, rounded: bool = False) -> NDArray[np.float64]:
    """Y of BT.601 in [16, 235] from RGB (H, W, 3) in [0, 255]: 16 + 65.481 R + 128.553 G + 24.966 B.

    Not rounded unless ``rounded``, which gives the whole numbers of MATLAB's ``rgb2ycbcr`` on uint8.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"luma needs an array of shape (H, W, 3), not {rgb.shape}")
    y = np.full(rgb.shape[:2], OFFSET)
    for channel, weight in enumerate(WEIGHTS):
        y += rgb[..., channel] * (weight / 255.0)
    return np.floor(y + 0.5) if rounded else y  # MATLAB rounds halves up, numpy to even


def check_pair(a: Array, b: Array) -> None:
    """Raise ValueError unless both arrays have the same shape and hold something."""
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError(f"nothing to compare in arrays of shape {a.shape}")


def crop(a: Array, border: int) -> Array:
    """``a`` without ``border`` pixels on each of its four sides (a view)."""
    if border < 0 or (border and 2 * border >= min(a.shape[:2])):
        raise ValueError(f"a border of {border} leaves nothing of {a.shape[1]}x{a.shape[0]} pixels")
    return a[border : a.shape[0] - border, border : a.shape[1] - border]
