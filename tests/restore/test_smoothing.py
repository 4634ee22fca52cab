"""Filters over planes, and positions mirrored at borders."""

from __future__ import annotations

import numpy as np
import pytest

from dfrestore.restore.smoothing import folded, smoothed


@pytest.mark.parametrize("step", [1, 2])
def test_a_point_becomes_the_filter_with_its_taps_apart(step: int) -> None:
    taps = np.array([1, 2, 1], np.float32)
    point = np.zeros((11, 13), np.float32)
    point[5, 6] = 1
    made = smoothed(point, taps, step)
    assert made.shape == (11 - 2 * step, 13 - 2 * step)
    wanted = np.zeros_like(made)
    wanted[5 - 2 * step : 5 + 1 : step, 6 - 2 * step : 6 + 1 : step] = np.outer(taps, taps)
    assert np.array_equal(made, wanted)


def test_positions_beyond_the_borders_are_mirrored() -> None:
    assert folded(-4, 7, 3).tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]
    assert folded(-3, 3, 1).tolist() == [0] * 6
