"""Grain like that of film, put onto a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dfrestore.restore.images import Mask, Rgb, luma_of
from dfrestore.restore.smoothing import smoothed

MOST = 20 / 255
"""Standard deviation of the brightness in mid grey at an amount of 1."""
COLOUR = 0.25
"""Of each channel's own grain, in parts of that of the brightness."""
_SIZES = ((2.0, (1, 2, 1)), (1.0, (1, 6, 15, 20, 15, 6, 1)))
"""Grains and their clumps: how much of each, and its filter in both directions; Gaussians of 0.7 and 1.2 pixels.

In pixels of the result, however many it has: a crop has the grain of the whole, and 100 % looks the same everywhere.
"""
_REACH = 3
_PLANES = 4  # of random numbers: brightness, red, green, blue
_ROWS = 128


def with_grain(rgb: Rgb, amount: float, seed: int, *, coloured: bool = True) -> Rgb:
    """rgb with grain, clipped to [0, 1]; float32 (H, W, 3), a new array. amount: 0 to 1.

    It is strongest in mid grey and falls to 0 in black and white, as 4 y (1 - y) of the luma y, so the clipping hardly
    touches it and means stay. coloured: the channels differ a little; their luma does not change by that. The grain of
    a pixel follows from the seed and from its distances from the top and the left alone.
    """
    height, width = rgb.shape[:2]
    made: Rgb = np.empty(rgb.shape, np.float32)
    for top in range(0, height, _ROWS):
        strip = rgb[top : top + _ROWS]
        luma = luma_of(strip)
        weight = np.float32(4 * MOST * amount) * luma * (1 - luma)
        numbers = _numbers(seed, top, top + strip.shape[0] + 2 * _REACH, width + 2 * _REACH)
        grain = _grained(numbers[..., 0])[..., None]
        if coloured:
            own = np.stack([_grained(numbers[..., plane]) for plane in range(1, _PLANES)], axis=2)
            own -= luma_of(own)[..., None]
            grain = grain + np.float32(COLOUR) * own
        np.clip(strip + weight[..., None] * grain, 0, 1, out=made[top : top + _ROWS])
    return made


def is_grey(rgb: Rgb) -> bool:
    """Whether the three channels of every pixel are the same."""
    return bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())


def _numbers(seed: int, first: int, last: int, width: int) -> NDArray[np.float32]:
    """Random numbers of mean 0 and variance 1 for rows ``first`` to ``last``: (rows, width, _PLANES).

    Each is the sum of four even draws of 16 bits, and near enough to normal once it is smoothed. Made of the raw
    numbers of Philox, a generator for each row, which NumPy promises to keep the same.
    """
    made = np.empty((last - first, width, _PLANES), np.float32)
    for row in range(first, last):
        raw = np.random.Philox(key=np.array([seed, row], np.uint64)).random_raw(width * _PLANES)
        quarters = np.stack([(raw >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48)])
        made[row - first] = quarters.sum(axis=0).astype(np.float32).reshape(width, _PLANES)
    made -= np.float32(2 * 0xFFFF)
    made *= np.float32(3**0.5 / 0x10000)
    return made


def _grained(white: Mask) -> Mask:
    """(H + 2 * reach, W + 2 * reach) -> (H, W), smoothed to grains; of variance 1 where ``white`` has it."""
    grain = np.zeros((white.shape[0] - 2 * _REACH, white.shape[1] - 2 * _REACH), np.float32)
    for taps in _filters():
        grain += smoothed(white, taps)
    return grain


def _filters() -> list[NDArray[np.float32]]:
    """The filter of each size in one direction, padded to the same length; all together keep the variance."""
    reach = [len(taps) // 2 for _, taps in _SIZES]
    padded = [np.pad(np.array(taps, float), _REACH - far) for far, (_, taps) in zip(reach, _SIZES, strict=True)]
    scaled = [taps * (share**0.5 / np.linalg.norm(taps)) for taps, (share, _) in zip(padded, _SIZES, strict=True)]
    norm = np.linalg.norm(sum(np.outer(taps, taps) for taps in scaled))
    return [(taps / norm**0.5).astype(np.float32) for taps in scaled]
