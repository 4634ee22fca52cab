"""How much a picture shows the 8x8 blocks of JPEG, wherever they begin, from the picture alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dfrestore.metrics.luma import Array

SIDE = 8
GREY = (0.299, 0.587, 0.114)
MOST = 12.0
"""Levels: steps above it are edges of what is shown, and count as this."""
_FLAT = 0.05  # levels: added to both, so that a picture without any steps has none at the blocks either


@dataclass(frozen=True)
class Blockiness:
    """strength: how much larger steps between pixels are at the borders of blocks than elsewhere, 0 for as large, 1 for
    twice as large; the weaker of the two directions counts, for what is shown seldom repeats itself in both. offset:
    (column, row) from 0 to 7 at which a block begins.
    """

    strength: float
    offset: tuple[int, int]


def blockiness(rgb: Array) -> Blockiness:
    """Of a picture (H, W, 3) in [0, 255], by its luma. Pictures with a side below 32 pixels have none.

    Photos without JPEG come out below 0.05. It sees the first grid it finds: a photo that was enlarged after it was
    compressed has its blocks elsewhere, and none are found.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"blockiness needs an array of shape (H, W, 3), not {rgb.shape}")
    if min(rgb.shape[:2]) < 4 * SIDE:
        return Blockiness(0.0, (0, 0))
    grey = np.zeros(rgb.shape[:2], np.float32)
    for channel, weight in enumerate(GREY):
        grey += rgb[..., channel] * np.float32(weight)
    across, column = _along(grey)
    down, row = _along(grey.T)
    return Blockiness(min(across, down), (column, row))


def _along(grey: NDArray[np.float32]) -> tuple[float, int]:
    """(strength, place from 0 to 7 at which blocks begin) along the rows."""
    steps = np.diff(grey, axis=1)
    # what a step is beyond the mean of its neighbours: a slope has none
    beyond = np.abs(steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2)
    column = np.minimum(beyond, np.float32(MOST)).mean(axis=0)
    phases = np.array([column[place::SIDE].mean() for place in range(SIDE)])
    best = int(phases.argmax())
    # the two beside a border see half of its step
    others = [phase for place, phase in enumerate(phases) if min((place - best) % SIDE, (best - place) % SIDE) > 1]
    strength = (float(phases[best]) + _FLAT) / (float(np.mean(others)) + _FLAT) - 1
    return max(0.0, strength), (best + 2) % SIDE  # the step at place 0 is the one before column 2
