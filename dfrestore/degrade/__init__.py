"""Degradations as pure, seeded functions on float pictures in [0, 1]: rain, noise, blur, JPEG, haze, snow, drops on the
glass, defocus, low resolution, holes, photos without their texture, and the presets of them all.

:data:`KINDS` holds them all; the names without a prefix are rain's. Pairs of files are made by ``pairs``; choosing
crops, compression of training inputs and anything about networks live elsewhere.
"""

from __future__ import annotations

from dfrestore.degrade.blur import BlurParams, add_blur
from dfrestore.degrade.camera import Camera
from dfrestore.degrade.kinds import KINDS, Kind, kind_for
from dfrestore.degrade.noise import NoiseParams, add_noise
from dfrestore.degrade.presets import PRESETS, RainRange, sample_params
from dfrestore.degrade.rain import add_rain, apply, degrade_batch, rain_layer
from dfrestore.degrade.sensor import Sensor
from dfrestore.degrade.streaks import RainParams, StreakLayer
from dfrestore.degrade.trajectories import Motion, motion_kernels

__all__ = [
    "KINDS",
    "PRESETS",
    "BlurParams",
    "Camera",
    "Kind",
    "Motion",
    "NoiseParams",
    "RainParams",
    "RainRange",
    "Sensor",
    "StreakLayer",
    "add_blur",
    "add_noise",
    "add_rain",
    "apply",
    "degrade_batch",
    "kind_for",
    "motion_kernels",
    "rain_layer",
    "sample_params",
]
