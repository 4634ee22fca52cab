"""How much noise a picture has, from the picture alone.

The robust median of the finest diagonal wavelet band (Donoho and Johnstone, "Ideal spatial adaptation by wavelet
shrinkage", Biometrika 1994, section 4.2): white noise of sigma has the median 0.6745 sigma there. Photos have texture
almost everywhere, so only the flattest quarter counts. What is flat is told by coarser steps, of which white noise has
as many everywhere, so that choosing by them does not choose by the noise itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dfrestore.metrics.luma import Array

GREY = (0.299, 0.587, 0.114)
DARKEST, BRIGHTEST = 3.0, 252.0
"""Levels beyond which light is cut off, and noise with it."""
FLAT = 0.25
"""Of the places, those with the weakest coarse steps."""
_HIGH = (-0.12940952255126037, -0.2241438680420134, 0.8365163037378079, -0.48296291314453416)  # Daubechies, 4 taps
_MEDIAN = 0.6744897501960817  # of the absolute value of a standard normal number
_LEAST = 64  # places, to tell anything from


def noise_sigma(rgb: Array) -> float:
    """Standard deviation of the noise of the luma 0.299 R + 0.587 G + 0.114 B, in levels of 255.

    rgb: (H, W, 3) in [0, 255]. White noise of sigma in each channel is 0.67 sigma in luma. Texture
    counts as noise, and adds to it in squares: clean photos come out at 0.1 to 1.5, those of fur or leaves throughout
    at up to 7. Strong noise is cut off in the dark and the bright: at sigma 50 a tenth is missing. Noise that was
    smoothed, enlarged or compressed is more than is found here. 0 for pictures that are too small, or
    too dark or bright throughout, to tell.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"noise_sigma needs an array of shape (H, W, 3), not {rgb.shape}")
    if min(rgb.shape[:2]) < 2 * len(_HIGH):
        return 0.0
    grey = np.zeros(rgb.shape[:2], np.float32)
    for channel, weight in enumerate(GREY):
        grey += rgb[..., channel] * np.float32(weight)
    band = _filtered(_filtered(grey).T).T
    open_ = ((grey > DARKEST) & (grey < BRIGHTEST)).astype(np.uint8)
    whole = _least(_least(open_).T).T
    places = whole > 0
    if places.sum() < _LEAST:
        return 0.0
    steps = _steps(grey)[: band.shape[0], : band.shape[1]]
    flat = places & (steps <= np.quantile(steps[places], FLAT))
    return float(np.median(np.abs(band[flat]))) / _MEDIAN


def _steps(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """How steep the light is around each 2x2 pixels, without what is finer: (H // 2, W // 2)."""
    height, width = (side // 2 * 2 for side in grey.shape)
    pairs = grey[:height:2, :width] + grey[1:height:2, :width]
    means = np.pad((pairs[:, ::2] + pairs[:, 1::2]) / np.float32(4), 2, mode="edge")
    squares = (means[1:-1, 2:] - means[1:-1, :-2]) ** 2 + (means[2:, 1:-1] - means[:-2, 1:-1]) ** 2
    rows = squares[:-2] + squares[1:-1] + squares[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:], np.float32)


def _filtered(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The high band of each row at every second place."""
    count = (rows.shape[1] - len(_HIGH)) // 2 + 1
    made = np.zeros((rows.shape[0], count), np.float32)
    for index, tap in enumerate(_HIGH):
        made += np.float32(tap) * rows[:, index : index + 2 * count : 2]
    return made


def _least(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The smallest value that each place of :func:`_filtered` sees."""
    count = (rows.shape[1] - len(_HIGH)) // 2 + 1
    seen = [rows[:, index : index + 2 * count : 2] for index in range(len(_HIGH))]
    smallest: NDArray[np.uint8] = np.minimum.reduce(seen)
    return smallest
