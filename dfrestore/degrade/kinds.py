"""The kinds of degradation, each with the task that undoes it: one table for training and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.degrade import blur, compression, noise, rain
from dfrestore.degrade.presets import PRESETS as RAIN_PRESETS


class DegradeBatch(Protocol):
    """(B, 3, H, W) in [0, 1] to the same, each picture with its own parameters."""

    def __call__(self, clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None, /) -> Tensor: ...


class Apply(Protocol):
    """A whole float photo (H, W, 3) in [0, 1] to a new one; the seed decides everything."""

    def __call__(self, rgb: NDArray[Any], preset: str = "mixed", seed: int = 0, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Kind:
    """One degradation. ``task``: what takes it away. ``presets``: names; ``mixed`` is that of training."""

    name: str
    task: str
    presets: tuple[str, ...]
    degrade_batch: DegradeBatch
    apply: Apply


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("rain", "derain", tuple(RAIN_PRESETS), rain.degrade_batch, rain.apply),
            Kind("noise", "denoise", tuple(noise.PRESETS), noise.degrade_batch, noise.apply),
            Kind("blur", "deblur", tuple(blur.PRESETS), blur.degrade_batch, blur.apply),
            Kind("jpeg", "dejpeg", tuple(compression.PRESETS), compression.degrade_batch, compression.apply),
        )
    }
)
