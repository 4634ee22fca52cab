"""A small symmetric filter over a plane, along both axes."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.float32]


def smoothed(plane: Plane, taps: Plane, step: int = 1) -> Plane:
    """(H, W) -> (H - m, W - m), where the filter lies inside: m = step * (taps - 1).

    taps: weights of an odd number of pixels, ``step`` pixels apart.
    """
    return _along(_along(plane, taps, step, 0), taps, step, 1)


def folded(first: int, last: int, count: int) -> NDArray[np.int64]:
    """The positions ``first`` to ``last`` on an axis of so many pixels, mirrored at its ends."""
    position = np.arange(first, last) % (2 * count)
    return np.minimum(position, 2 * count - 1 - position)


def _along(plane: Plane, taps: Plane, step: int, axis: int) -> Plane:
    count = plane.shape[axis] - step * (len(taps) - 1)
    made = np.zeros((count, plane.shape[1]) if axis == 0 else (plane.shape[0], count), np.float32)
    for index, weight in enumerate(taps):
        if weight:
            part = slice(index * step, index * step + count)
            made += weight * (plane[part] if axis == 0 else plane[:, part])
    return made
