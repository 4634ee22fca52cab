"""The colours of the input under the details of the result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfrestore.restore.images import Rgb

SIGMA = 1 / 16
"""Of the low-pass, in parts of the picture's longer side."""
_CELLS = 8  # a sigma


def with_colour_of(rgb: Rgb, result: Rgb) -> Rgb:
    """result + lowpass(rgb - result), clipped to [0, 1]; float32 (H, W, 3), a new array.

    Per channel, Gaussian of :data:`SIGMA`, borders mirrored. Only the difference is smoothed, so that an edge which
    both have throws no halo.
    """
    sigma = SIGMA * max(rgb.shape[:2])
    kept: Rgb = np.empty_like(result, dtype=np.float32, order="C")
    for channel in range(3):
        shift = _smooth(rgb[..., channel] - result[..., channel], sigma)
        np.clip(result[..., channel] + shift, 0, 1, out=kept[..., channel])
    return kept


def _smooth(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian over (H, W), borders mirrored: on means of cells an eighth of sigma wide, then interpolated."""
    height, width = plane.shape
    cell = max(1.0, sigma / _CELLS)
    rows, columns = (max(1, round(side / cell)) for side in (height, width))
    coarse = Image.fromarray(np.ascontiguousarray(plane)).resize((columns, rows), Image.Resampling.BOX)
    smooth = _gaussian(rows, sigma * rows / height) @ np.asarray(coarse) @ _gaussian(columns, sigma * columns / width).T
    fine = Image.fromarray(smooth.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(fine)


def _gaussian(count: int, sigma: float) -> NDArray[np.float64]:
    """(count, count): row i weighs the positions around i, those beyond the ends mirrored back; rows sum to one."""
    reach = int(4 * sigma) + 1
    beyond = np.arange(-reach, count + reach)
    folded = np.minimum(beyond % (2 * count), 2 * count - 1 - beyond % (2 * count))
    distance = np.arange(count)[:, None] - beyond[None, :]
    weights = np.where(np.abs(distance) <= reach, np.exp(-(distance**2) / (2 * sigma**2)), 0)
    matrix = np.zeros((count, count))
    np.add.at(matrix.T, folded, weights.T)
    matrix /= matrix.sum(axis=1, keepdims=True)
    return matrix
