"""The kinds of degradation, each with the task that undoes it: one table for training and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.degrade import blur, compression, defocus, drops, haze, holes, lowres, noise, rain, snow, texture
from dfrestore.degrade.presets import PRESETS as RAIN_PRESETS


class DegradeBatch(Protocol):
    """(B, 3, H, W) in [0, 1] to the same, each picture with its own parameters.

    Smaller by the preset's scale; (B, 4, H, W) with the mask of what is missing where a kind makes holes.
    """

    def __call__(self, clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None, /) -> Tensor: ...


class Apply(Protocol):
    """A whole float photo (H, W, 3) in [0, 1] to a new one, as :class:`DegradeBatch`; the seed decides everything."""

    def __call__(self, rgb: NDArray[Any], preset: str = "mixed", seed: int = 0, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Kind:
    """One degradation.

    task: the one that undoes it, or learns from it. presets: their names; training uses ``mixed``. scales: by how much
    a preset makes pictures smaller, where it does; the sides of what it is given must be multiples of that. mask: the
    result has a fourth channel, 1 where something is missing.
    """

    name: str
    task: str
    presets: tuple[str, ...]
    degrade_batch: DegradeBatch
    apply: Apply
    scales: Mapping[str, int] = field(default_factory=dict)
    mask: bool = False

    def scale(self, preset: str) -> int:
        """How many times smaller ``preset`` makes a picture; 1: it keeps its size."""
        return self.scales.get(preset, 1)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("rain", "derain", tuple(RAIN_PRESETS), rain.degrade_batch, rain.apply),
            Kind("noise", "denoise", tuple(noise.PRESETS), noise.degrade_batch, noise.apply),
            Kind("blur", "deblur", tuple(blur.PRESETS), blur.degrade_batch, blur.apply),
            Kind("jpeg", "dejpeg", tuple(compression.PRESETS), compression.degrade_batch, compression.apply),
            Kind("haze", "dehaze", tuple(haze.PRESETS), haze.degrade_batch, haze.apply),
            Kind("snow", "desnow", tuple(snow.PRESETS), snow.degrade_batch, snow.apply),
            Kind("drops", "raindrop", tuple(drops.PRESETS), drops.degrade_batch, drops.apply),
            Kind("defocus", "defocus", tuple(defocus.PRESETS), defocus.degrade_batch, defocus.apply),
            Kind("lowres", "upscale", tuple(lowres.PRESETS), lowres.degrade_batch, lowres.apply, lowres.SCALES),
            Kind("holes", "inpaint", tuple(holes.PRESETS), holes.degrade_batch, holes.apply, mask=True),
            Kind("texture", "texture", tuple(texture.PRESETS), texture.degrade_batch, texture.apply),
        )
    }
)


def kind_for(task: str) -> Kind | None:
    """The degradation that ``task`` undoes; None where there is none."""
    return next((kind for kind in KINDS.values() if kind.task == task), None)
