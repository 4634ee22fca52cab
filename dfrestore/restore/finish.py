"""What is done to a network's result before it is blended with the input, beside :mod:`.colour`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from dfrestore.restore.detail import with_detail
from dfrestore.restore.grain import is_grey, with_grain
from dfrestore.restore.images import Rgb, luma_of

Part: TypeAlias = Literal["chroma", "luma"]
_ROWS = 256


@dataclass(frozen=True)
class Finish:
    """only: the part of the result that is taken; the other stays the input's; None: both.

    keep_detail: how much of the detail comes back that was taken out as noise, from 0 to 1 (see :mod:`.detail`); not
    for results of which more is gone than noise.
    grain: how much grain is put onto the result, from 0 to 1 (see :mod:`.grain`).
    """

    only: Part | None = None
    keep_detail: float = 0.0
    grain: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.only not in ("chroma", "luma", None):
            raise ValueError(f"only is chroma or luma, not {self.only}")
        for name in ("keep_detail", "grain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is from 0 to 1, not {getattr(self, name)}")

    @property
    def changed(self) -> dict[str, Any]:
        """The fields that are not at their defaults."""
        usual = asdict(PLAIN)
        return {name: value for name, value in asdict(self).items() if value != usual[name]}

    def describe(self) -> str:
        """``luma alone, detail 0.5 kept, grain 25 %``; empty for :data:`PLAIN`."""
        parts = [f"{self.only} alone"] if self.only else []
        if self.keep_detail:
            parts.append(f"detail {self.keep_detail:g} kept")
        if self.grain:
            parts.append(f"grain {100 * self.grain:g} %")
        return ", ".join(parts)

    def apply(self, rgb: Rgb, result: Rgb, seed: int) -> Rgb:
        """The result (H, W, 3), finished; rgb: the input in the same size. All in [0, 1]; PLAIN: the result itself."""
        if self.keep_detail:
            result = with_detail(rgb, result, self.keep_detail)
        if self.only:
            result = only_part(rgb, result, self.only)
        if self.grain:
            result = with_grain(result, self.grain, seed, coloured=not is_grey(rgb))
        return result


PLAIN = Finish()


def only_part(rgb: Rgb, result: Rgb, part: Part) -> Rgb:
    """rgb with the luma of the change alone, or with all of the change but its luma; float32 (H, W, 3), a new array.

    Both are linear in result - rgb and add up to it, up to the clipping to [0, 1]. The luma (BT.601) of a change goes
    to all three channels alike, so grey stays grey, and the differences between the channels stay the input's. The
    chroma is the rest, whose luma is 0.
    """
    made: Rgb = np.empty(result.shape, np.float32)
    for top in range(0, result.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        change = result[rows] - rgb[rows]
        luma = luma_of(change)[..., None]
        np.clip(rgb[rows] + (luma if part == "luma" else change - luma), 0, 1, out=made[rows])
    return made
