"""DDIM of C2F-DFT, slowly and literally, in numpy fp64: the oracle of ``dfrestore.diffusion``.

Written from the description of the authors' sampler (their GaussianDiffusion, option ``linear``), one line an equation,
without looking at the package. Indices are 0-based; alpha_bar at -1 is 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def betas(count: int = 1000) -> Array:
    return np.array([1e-4 + i * (2e-2 - 1e-4) / (count - 1) for i in range(count)])


def alpha_bar(t: int, count: int = 1000) -> float:
    product = 1.0
    for beta in betas(count)[: t + 1]:
        product *= 1.0 - float(beta)
    return product


def visited(option: int, count: int = 1000) -> list[int]:
    """The authors' timesteps for their option ``sampling_timesteps``, falling; 3 means four evaluations."""
    skip = count // option
    return sorted(range(0, count, skip), reverse=True)


def evenly(steps: int, count: int = 1000) -> list[int]:
    """``steps`` evenly spread timesteps from count - 1 down to 0, in whole numbers, halves to the even neighbour."""
    if steps == 1:
        return [count - 1]
    times = []
    for i in range(steps):
        below, rest = divmod((count - 1) * (steps - 1 - i), steps - 1)
        up = 2 * rest > steps - 1 or (2 * rest == steps - 1 and below % 2 == 1)
        times.append(below + up)
    return times


def sample(network: Callable[[Array, int], Array], x: Array, times: list[int]) -> list[tuple[Array, Array]]:
    """(x after the step, its estimate x0) of every step; the network's output is the noise."""
    states = []
    for i, t in enumerate(times):
        s = times[i + 1] if i + 1 < len(times) else -1
        ab_t, ab_s = alpha_bar(t), alpha_bar(s)
        e = network(x, t)
        x0 = (x - np.sqrt(1 - ab_t) * e) / np.sqrt(ab_t)
        x = np.sqrt(ab_s) * x0 + np.sqrt(1 - ab_s) * e
        states.append((x, x0))
    return states
