"""The broad colours of the input in the result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfrestore.restore.images import LUMA, Mask, Rgb

SIGMA = 1 / 16
"""Of the low-pass, in parts of the picture's longer side."""
_CELLS = 8  # a sigma


def with_colour_of(rgb: Rgb, result: Rgb, known: Mask | None = None) -> Rgb:
    """result + chroma(lowpass(rgb - result)), clipped to [0, 1]; float32 (H, W, 3), a new array.

    known: (H, W), 0 where rgb says nothing of the colours, else 1; there the shift is that of what is around. None: 1.
    Gaussian of :data:`SIGMA` per channel, borders mirrored; chroma: without its luma, for brightness is what rain
    and noise change and a model mends. Only the difference is smoothed: an edge that both have throws no halo.
    """
    height, width = rgb.shape[:2]
    sigma = SIGMA * max(height, width)
    cell = max(1.0, sigma / _CELLS)
    rows, columns = (max(1, round(side / cell)) for side in (height, width))
    down, across = _gaussian(rows, sigma * rows / height), _gaussian(columns, sigma * columns / width)

    # on means of cells: a fraction of the work, and nothing is lost where all is smooth
    def smooth(plane: NDArray[np.float32]) -> NDArray[np.float64]:
        plane = plane if known is None else plane * known
        smoothed: NDArray[np.float64] = down @ _resized(plane, (columns, rows), Image.Resampling.BOX) @ across.T
        return smoothed

    shift = np.stack([smooth(rgb[..., c] - result[..., c]) for c in range(3)], axis=2)
    if known is not None:
        shift /= np.maximum(smooth(known), 1e-6)[..., None]
    shift -= (shift @ LUMA)[..., None]
    kept: Rgb = np.empty_like(result, dtype=np.float32, order="C")
    for c in range(3):
        fine = _resized(shift[..., c].astype(np.float32), (width, height), Image.Resampling.BICUBIC)
        np.clip(result[..., c] + fine, 0, 1, out=kept[..., c])
    return kept


def _resized(plane: NDArray[np.float32], size: tuple[int, int], filter: Image.Resampling) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, filter))


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
