"""Degradations as pure, seeded functions on float pictures in [0, 1]: rain (streaks, mist, their presets).

Reading files, choosing crops, compression of inputs and anything about networks live elsewhere.
"""

from __future__ import annotations

from dfrestore.degrade.presets import PRESETS, RainRange, sample_params
from dfrestore.degrade.rain import add_rain, apply, degrade_batch, rain_layer
from dfrestore.degrade.streaks import RainParams, StreakLayer

__all__ = [
    "PRESETS",
    "RainParams",
    "RainRange",
    "StreakLayer",
    "add_rain",
    "apply",
    "degrade_batch",
    "rain_layer",
    "sample_params",
]
