"""Relative total variation smoothing as its equations say, slowly: an oracle for ``dfrestore.degrade.texture``."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import spsolve

Array = NDArray[np.float64]


def smooth(image: Array, strength: float = 0.01, sigma: float = 3.0, sharpness: float = 0.02, rounds: int = 4) -> Array:
    """image: (H, W, 3) in [0, 1]; to the same, by direct solves in fp64."""
    image = image.astype(np.float64)
    height, width = image.shape[:2]
    x = image
    for k in range(rounds):
        across, down = weights(x, max(sigma / 2**k, 0.5), sharpness)
        matrix = scipy.sparse.lil_array((height * width, height * width))
        matrix.setdiag(1.0)
        for i in range(height):
            for j in range(width):
                if j + 1 < width:
                    _tie(matrix, i * width + j, i * width + j + 1, strength / 2 * across[i, j])
                if i + 1 < height:
                    _tie(matrix, i * width + j, (i + 1) * width + j, strength / 2 * down[i, j])
        columns = spsolve(scipy.sparse.csc_array(matrix), image.reshape(-1, 3))
        x = np.asarray(columns).reshape(image.shape)
    return x


def weights(x: Array, sigma: float, sharpness: float) -> tuple[Array, Array]:
    dx, dy = differences(x)
    outer = 1 / np.maximum(np.sqrt(dx**2 + dy**2).mean(2), sharpness)
    gx, gy = differences(blurred(x, sigma))
    across = outer / np.maximum(np.abs(gx).mean(2), 0.001)
    down = outer / np.maximum(np.abs(gy).mean(2), 0.001)
    across[:, -1] = 0
    down[-1, :] = 0
    return across, down


def differences(x: Array) -> tuple[Array, Array]:
    dx, dy = np.zeros_like(x), np.zeros_like(x)
    dx[:, :-1] = x[:, 1:] - x[:, :-1]
    dy[:-1] = x[1:] - x[:-1]
    return dx, dy


def blurred(x: Array, sigma: float) -> Array:
    size = {3.0: 15, 1.5: 9, 0.75: 5, 0.5: 3}[sigma]  # 5 sigma, rounded half up as in MATLAB, with its lowest bit set
    at = np.arange(size) - size // 2
    taps = np.exp(-(at**2) / (2 * sigma**2))
    taps /= taps.sum()
    for axis in (0, 1):
        x = scipy.ndimage.convolve1d(x, taps, axis, mode="constant")
    return x


def _tie(matrix: scipy.sparse.lil_array, a: int, b: int, weight: float) -> None:
    matrix[a, a] += weight
    matrix[b, b] += weight
    matrix[a, b] -= weight
    matrix[b, a] -= weight
