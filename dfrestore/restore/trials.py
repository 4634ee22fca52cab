"""Trials: how much of a damage there is, by what a model that takes it away changes in a sample of the picture.

A detector knows what damage looks like. A model that restores knows what the picture would be without it: it leaves
good photos nearly as they are, and what it changes is what there is to take away. So its change, as a PSNR, is a second
opinion on the same scale (see :mod:`dfrestore.severities`). Each of the two is mistaken about other photos.

The sample is four crops at full size and a view of the whole. The crops lie side by side in one picture: alone, a fine
texture may be taken for rain, and beside a place in which no rain falls it is not. Blur is told better crop by crop.
Drops have to be seen in both: light spots out of focus are drops at one size alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from dfrestore.methods.detector.looks import look
from dfrestore.restore.images import Rgb
from dfrestore.restore.restorer import Restorer
from dfrestore.severities import DAMAGES, psnr_of

CROPS, SIDE = 4, 128
"""Of the busiest place, the flattest and two between; in pixels."""
VIEW = 320
"""Pixels: longer side of the whole picture."""


@dataclass(frozen=True)
class Sample:
    """What of a picture is tried, for all kinds of damage: float32 (H, W, 3) in [0, 1] each. beside: all crops."""

    crops: tuple[Rgb, ...]
    beside: Rgb
    view: Rgb

    @classmethod
    def of(cls, rgb: Rgb) -> Sample:
        """Of a picture (H, W, 3) in [0, 1]; small ones have fewer and smaller crops."""
        picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
        (crops,), (view,) = look(picture, crop=SIDE, crops=CROPS, view=VIEW)
        own = tuple(_pixels(crop) for crop in crops)
        row = len(own) // 2 if len(own) == CROPS else len(own)
        rows = [np.concatenate(own[i : i + row], axis=1) for i in range(0, len(own), row)]
        return cls(own, np.concatenate(rows), _pixels(view))

    def looked_at(self, damage: str) -> tuple[Sequence[Rgb], ...]:
        """Where this damage is looked for: in each of these groups it has to be seen."""
        match damage:
            case "drops":
                return (self.view,), (self.beside,)
            case "haze":
                return ((self.view,),)
            case "motion" | "defocus":
                return (self.crops,)
        return ((self.beside,),)


Trial: TypeAlias = Callable[[str, Restorer, Sample], float]
"""(name of a damage, the model that takes it away, what is tried) -> severity, 0 to 1."""


def tried(damage: str, restorer: Restorer, sample: Sample) -> float:
    """The severity, 0 to 1, of what ``restorer`` takes away from the sample. Raises OutOfMemoryFailure."""
    return min(DAMAGES[damage].severity(psnr_of(_change(restorer, group))) for group in sample.looked_at(damage))


def _change(restorer: Restorer, pictures: Sequence[Rgb]) -> float:
    """The mean square change, over pictures of one size."""
    return math.fsum(float(np.square(restorer(rgb) - rgb).mean()) for rgb in pictures) / len(pictures)


def _pixels(planes: Tensor) -> Rgb:
    pixels: Rgb = planes.permute(1, 2, 0).contiguous().numpy()
    return pixels
