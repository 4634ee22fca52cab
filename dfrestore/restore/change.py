"""How much of a photo its restoration changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfrestore.photo.enlarged import resized
from dfrestore.restore.images import Mask, Rgb
from dfrestore.tasks import TASKS

LEVELS = 255
HARDLY_MEAN, HARDLY_LARGEST = 1.0, 64.0
"""Below both, in levels, hardly anything changed. Measured: derain/compact changes the 14 clean photos of Set14 by 0.3
to 0.97 on average, by 49 at most; real rainy ones in which it finds rain by 1.5 to 5.2 on average, up to 79.
denoise/compact changes real noisy ones in which it finds noise by 1.4 or more on average.
"""
_BLOCK = 1 << 20  # values of a strip


@dataclass(frozen=True)
class Change:
    """The mean and the largest difference between photo and result, in levels of 255.

    hardly: it is what a photo changes in which the model finds nothing to take away. where: ``the mask``, if the mean
    is that of a part alone.
    """

    mean: float
    largest: float
    hardly: bool = False
    where: str = ""


def change(rgb: Rgb, result: Rgb, mask: Mask | None = None) -> Change:
    """What changed from ``rgb`` to ``result``, both (H, W, 3) in [0, 1]; a photo of another size is resized first.

    mask: (H, W) as large as the photo: the mean is that of the pixels that it covers at all.
    """
    height, width = result.shape[:2]
    total = largest = 0.0
    for channel in range(3):  # one plane is resized at a time, to spare memory
        plane = rgb[..., channel]
        base = plane if plane.shape == (height, width) else resized(plane, height, width)
        rows = max(1, _BLOCK // width)
        for top in range(0, height, rows):
            strip = slice(top, top + rows)
            differences = np.abs(np.clip(result[strip, :, channel], 0, 1) - base[strip])
            total += float(differences.sum(dtype=np.float64))
            largest = max(largest, float(differences.max()))
    pixels = height * width
    if mask is not None:
        pixels = round(float(np.count_nonzero(mask)) / mask.size * pixels)
    return Change(LEVELS * total / max(1, 3 * pixels), LEVELS * largest)


def is_hardly_any(found: Change, task: str, strength: float = 1.0) -> bool:
    """Whether it is no more than what clean photos change too; never for tasks that take nothing away.

    strength: 0 to 1, how much of the result there is.
    """
    small = found.mean < HARDLY_MEAN * strength and found.largest < HARDLY_LARGEST * strength
    return small and bool(TASKS[task].removes)


def rounded(found: Change | None) -> dict[str, float | bool] | None:
    """For JSON."""
    if found is None:
        return None
    return {"mean": round(found.mean, 3), "largest": round(found.largest, 1), "hardly": found.hardly}


def in_words(found: Change, task: str) -> str:
    """``changed by 2.3 levels of 255 on average, 41 at most``."""
    known = TASKS.get(task)  # None for a chain of tasks
    what = "differs from a plain resize" if known and known.scale else "changed"
    where = f" inside {place}" if (place := found.where or ("the mask" if known and known.mask else "")) else ""
    return f"{what} by {_shown(found.mean)} levels of {LEVELS} on average{where}, {_shown(found.largest)} at most"


def together(changes: Sequence[Change]) -> Change:
    """Of several photos of a run: the mean of their means, and the largest of all."""
    means = [found.mean for found in changes]
    return Change(sum(means) / len(means), max(found.largest for found in changes), where=changes[0].where)


def nothing_found(task: str, where: str = "here") -> str:
    """``hardly changed: this model finds no rain here``."""
    if task not in TASKS:
        return f"hardly changed: these models find nothing {where}"
    return f"hardly changed: this model finds no {TASKS[task].removes} {where}"


def _shown(levels: float) -> str:
    return f"{levels:.0f}" if levels >= 10 else f"{round(levels, 2):.2g}"
