"""How sure a mean over pictures is: bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0
LEAST = 5
"""Of fewer pictures an interval says nothing: their resamples are few, and all of them alike."""

_AT_ONCE = 2_000_000  # indices in memory


def mean_interval(
    values: Sequence[float], *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float]:
    """(low, high) for the mean of what ``values`` are a sample of: the percentile bootstrap.

    Of many samples, about ``level`` give an interval that holds that mean. The values are drawn anew with replacement,
    as many as there are, ``resamples`` times; low and high are percentiles of the means (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, section 13.3). For a paired comparison give the differences of the pairs. The
    same values and seed give the same interval. Raises ValueError for no values, values that are not finite, and a
    level that is not between 0 and 1.
    """
    data = np.asarray(values, np.float64)
    if data.ndim != 1 or not data.size or not np.isfinite(data).all():
        raise ValueError("an interval needs at least one value, and finite ones only")
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"a level between 0 and 1 and at least one resample are needed, not {level} and {resamples}")
    draw = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _AT_ONCE // data.size)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        means[start : start + count] = data[draw.integers(data.size, size=(count, data.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
