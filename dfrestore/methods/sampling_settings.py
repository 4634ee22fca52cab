"""What the samplings of several methods have in common in a header: the noise schedule, and lists of points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfrestore.methods.settings import two_betas, whole_number

MAX_STEPS = 1000


def noise_schedule(values: Any) -> tuple[int, tuple[float, float]]:
    """The number of timesteps and the betas of a ``schedule``. Raises ValueError."""
    if not isinstance(values, Mapping) or not {"timesteps", "betas"} >= set(values):
        raise ValueError(f"schedule {values!r} does not hold timesteps and betas")
    total = whole_number(values.get("timesteps", 1000), "schedule.timesteps", 2, 100_000)
    return total, two_betas(values.get("betas", [1e-4, 2e-2]))


def point_lists(values: Any, total: int) -> dict[int, tuple[int, ...]]:
    """``timesteps``, their counts as numbers: each list falls and has as many points as its count says.

    Raises ValueError.
    """
    if not isinstance(values, Mapping) or not all(isinstance(points, list | tuple) for points in values.values()):
        raise ValueError(f"timesteps {values!r} are not a list for each of some step counts")
    lists = {}
    for key, points in values.items():
        count = whole_number(int(key), "timesteps", 1, MAX_STEPS)
        found = tuple(whole_number(t, "timestep", 0, total - 1) for t in points)
        if len(found) != count or sorted(set(found), reverse=True) != list(found):
            raise ValueError(f"timestep list for {count} steps is not {count} falling values: {list(found)}")
        lists[count] = found
    return lists
