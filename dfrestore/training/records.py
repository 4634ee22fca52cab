"""What a trainer reports: a record per step, a record per validation, and the error with which it gives up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from dfrestore.errors import DfrestoreError


@dataclass(frozen=True)
class StepRecord:
    """One iteration: its number in the stage (from 1), loss, learning rate, gradient norm, crops, seconds it took.

    parts: the stage's other losses, by name; with several processes, those of the first one.
    """

    stage: str
    iteration: int
    loss: float
    lr: float
    grad_norm: float
    patch: int
    batch: int
    seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def skipped(self) -> bool:
        """Loss or gradient were not finite, so the weights stayed as they were."""
        return not (math.isfinite(self.loss) and math.isfinite(self.grad_norm))


@dataclass(frozen=True)
class ValidationRecord:
    """Mean PSNR (dB, RGB, 8 bit) of the EMA network's restorations by step count, and of the inputs."""

    stage: str
    iteration: int
    psnr: dict[int, float]
    psnr_input: float
    best: bool


@dataclass(frozen=True)
class VerdictRecord:
    """What the EMA network is worth, in a stage that does not restore; see ``Verdict`` of the methods."""

    stage: str
    iteration: int
    score: float
    rows: Mapping[str, Mapping[str, float]]
    best: bool


Validation = ValidationRecord | VerdictRecord


class Diverged(DfrestoreError):
    """Too many steps in a row without a finite loss. clean, degraded: the last one's batch."""

    def __init__(self, message: str, clean: Tensor, degraded: Tensor) -> None:
        super().__init__(message)
        self.clean, self.degraded = clean, degraded
