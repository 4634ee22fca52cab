"""GMSD as the authors' MATLAB code computes it, line by line: an oracle for ``dfrestore.metrics.gmsd``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import convolve2d

Array = NDArray[np.float64]


def gmsd(rgb_1: Array, rgb_2: Array) -> float:
    """Of two pictures (H, W, 3) in [0, 255]."""
    t, down_step = 170, 2
    dx = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]]) / 3
    maps = []
    for rgb in (rgb_1, rgb_2):
        y = 0.299 * rgb[:, :, 0] + 0.587 * rgb[:, :, 1] + 0.114 * rgb[:, :, 2]
        average = same(y, np.ones((2, 2)) / 4)
        y = average[::down_step, ::down_step]
        maps.append(np.sqrt(same(y, dx) ** 2 + same(y, dx.T) ** 2))
    quality = (2 * maps[0] * maps[1] + t) / (maps[0] ** 2 + maps[1] ** 2 + t)
    return float(np.sqrt(((quality - quality.mean()) ** 2).sum() / (quality.size - 1)))


def same(y: Array, kernel: Array) -> Array:
    """MATLAB's conv2(y, kernel, 'same'): the middle of the full result, later by a half where that is between two."""
    full = convolve2d(y, kernel)
    top, left = (size // 2 for size in kernel.shape)
    return full[top : top + y.shape[0], left : left + y.shape[1]]
