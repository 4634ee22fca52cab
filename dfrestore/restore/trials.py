"""Trials: how much of a damage there is, by what a model that takes it away changes on a few crops of the picture.

A detector knows what damage looks like. A model that restores knows what the picture would be without it: it leaves
good photos nearly as they are, and what it changes is what there is to take away. So its change, as a PSNR, is a second
opinion on the same scale (see :mod:`dfrestore.severities`). Each of the two is mistaken about other photos.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch

from dfrestore.methods.detector.looks import Looks, look
from dfrestore.restore.images import Rgb
from dfrestore.restore.restorer import Restorer
from dfrestore.severities import DAMAGES, psnr_of

Trial: TypeAlias = Callable[[str, Restorer, Looks], float]
"""(name of a damage, the model that takes it away, :func:`places_of` a picture) -> severity, 0 to 1."""

CROPS, SIDE = 4, 128
"""Of the busiest place, the flattest and two between; in pixels."""
VIEW = 320
"""Pixels: longer side of the whole picture where damage lies here and there, in places that crops miss."""


def places_of(rgb: Rgb) -> Looks:
    """Where a picture (H, W, 3) in [0, 1] is tried, for all kinds of damage."""
    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    return look(picture, crop=SIDE, crops=CROPS, view=VIEW)


def tried(damage: str, restorer: Restorer, places: Looks) -> float:
    """The severity, 0 to 1, of what ``restorer`` takes away there. Raises OutOfMemoryFailure."""
    crops, view = places
    chosen = view if damage == "drops" else crops[0]
    changed = [_change(restorer, place.permute(1, 2, 0).contiguous().numpy()) for place in chosen]
    return DAMAGES[damage].severity(psnr_of(math.fsum(changed) / len(changed)))


def _change(restorer: Restorer, rgb: Rgb) -> float:
    difference = restorer(rgb) - rgb
    return float(np.square(difference).mean())
