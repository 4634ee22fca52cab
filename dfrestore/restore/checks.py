"""Whether a result may be called one, and whether an error means that memory ran out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INPUT_STD = 2 / 255
"""An input that varies less than this may well have a constant result."""
RESULT_STD = 0.25 / 255
"""A result that varies less than this is flat to the eye."""

_ROWS = 256


def fault(rgb: NDArray[np.float32], result: NDArray[np.float32]) -> str | None:
    """What is wrong with ``result``, made from ``rgb`` (both (H, W, 3)), or None."""
    spread = variation(result)
    if not np.isfinite(spread):
        return "values that are not finite"
    if spread < RESULT_STD and variation(rgb) > INPUT_STD:
        return "one constant colour"
    return None


def variation(rgb: NDArray[np.float32]) -> float:
    """The largest standard deviation of a channel; NaN or infinite when a value is. In strips, to spare memory."""
    total = np.zeros(3)
    squares = np.zeros(3)
    for top in range(0, rgb.shape[0], _ROWS):
        strip = rgb[top : top + _ROWS].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            total += strip.sum(axis=(0, 1))
            squares += (strip**2).sum(axis=(0, 1))
    pixels = rgb.shape[0] * rgb.shape[1]
    with np.errstate(invalid="ignore"):
        variance = squares / pixels - (total / pixels) ** 2
    return float(np.sqrt(np.maximum(variance, 0)).max())
