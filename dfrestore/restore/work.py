"""One picture's work: its restoration for each member of an ensemble, and the blending of the result with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from dfrestore.engine import Progress, Watch
from dfrestore.photo.mask import in_size
from dfrestore.restore.colour import with_colour_of
from dfrestore.restore.ensemble import Turn
from dfrestore.restore.finish import PLAIN, Finish
from dfrestore.restore.images import Mask, Rgb, enlarged_rgb


@dataclass(frozen=True)
class Work:
    """One picture, and how it is restored. mask: the one that the network sees. warnings: filled during the work."""

    rgb: Rgb
    mask: Mask | None
    steps: int
    seed: int
    watch: Watch | None
    warnings: list[str]

    def of_member(self, member: int, members: int, turn: Turn) -> Work:
        """The same for one member of an ensemble; its watch counts the evaluations of all members."""
        watch = None if self.watch is None else partial(_watch_of_member, self.watch, member, members)
        mask = None if self.mask is None else turn.apply(self.mask)
        return replace(self, rgb=turn.apply(self.rgb), mask=mask, seed=self.seed + member, watch=watch)


def _watch_of_member(watch: Watch, member: int, members: int, done: float, total: float) -> None:
    watch(member * total + done, members * total)


def counting(progress: Watch | None) -> Callable[[Progress], object]:
    """What shows each record of a work to ``progress``."""
    return lambda state: progress(state.done, state.total) if progress is not None else None


def blend(rgb: Rgb, result: Rgb, strength: float, mask: Mask | None = None) -> Rgb:
    """``strength`` of the result, the rest of the input; 1 gives the result itself, 0 the input.

    mask: (H, W), so much of the strength at each pixel; where it is 0, the input's values are exactly kept.
    """
    share: Any = np.float32(strength) if mask is None else (np.float32(strength) * mask)[:, :, None]
    blended: Rgb = rgb + share * (result - rgb)
    return blended


def checked_mask(mask: Mask | None, rgb: Rgb) -> Mask | None:
    """Raises ValueError for a mask of another size or other values."""
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"a mask is an array (H, W), not {type(mask).__name__}; dfrestore.photo.mask reads files")
    if mask.shape != rgb.shape[:2]:
        raise ValueError(f"a mask of the picture's {rgb.shape[:2]} is needed, not {mask.shape}")
    if not (mask.min() >= 0 and mask.max() <= 1):
        raise ValueError("a mask holds values from 0 to 1")
    return mask.astype(np.float32)


def with_known(estimate: Rgb, rgb: Rgb, mask: Mask | None) -> Rgb:
    """An estimate of the network's, in which the input stays where the mask says so."""
    return on_top(rgb, estimate, strength=1, mask=mask, keep_color=False)


def on_top(
    rgb: Rgb,
    result: Rgb,
    *,
    strength: float,
    mask: Mask | None,
    keep_color: bool,
    fills: bool = False,
    finish: Finish = PLAIN,
    seed: int = 0,
) -> Rgb:
    """The network's result with the input's broad colours where wanted, finished, blended with the input.

    If the result is larger, the input and the mask are resized to it first. fills: the mask is of holes, whose colours
    are not to be kept.
    """
    size = result.shape[:2]
    if strength == 1 and mask is None and not keep_color and finish == PLAIN:
        return result
    base = enlarged_rgb(rgb, *size)
    mask = None if mask is None else in_size(mask, *size)
    if keep_color:
        known = (mask == 0).astype(np.float32) if fills and mask is not None else None
        result = with_colour_of(base, result, known)
    result = finish.apply(base, result, seed)
    if strength == 1 and mask is None:
        return result
    return blend(base, result, strength, mask)
