"""Masks of what is missing: LaMa's strokes and boxes, brush strokes, and the scratches and dust of old photos.

LaMa's masks (Suvorov et al., WACV 2022) are drawn as its public code draws them, number for number, but without
OpenCV: a thick line is a capsule, which differs from OpenCV's in about one pixel of its rim. Sizes are in pixels,
whatever the size of the picture. A mask follows from its own seed, so it is the same alone and in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.degrade.arrays import check_batch, to_photo, to_tensor
from dfrestore.degrade.dice import named_preset, throw_dice

Mask = NDArray[np.bool_]
MOST = 0.5  # of a picture may be missing in LaMa's masks for evaluation and in mixed; five candidates are drawn
CANDIDATES = 5


@dataclass(frozen=True)
class Segment:
    """A line from (x0, y0) to (x1, y1) with round ends, ``brush`` pixels wide as OpenCV counts."""

    x0: int
    y0: int
    x1: int
    y1: int
    brush: int


@dataclass(frozen=True)
class LamaMasks:
    """LaMa's generator of masks. strokes, boxes: how many, at least and at most, counted as its configuration does.

    box_share: of the masks that are boxes. width, length: LaMa's ``max_width`` and ``max_len``.
    """

    strokes: tuple[int, int]
    boxes: tuple[int, int] = (1, 4)
    box_share: float = 0.0
    width: int = 100
    length: int = 200
    turns: int = 4
    box_side: tuple[int, int] = (30, 150)
    margin: int = 10

    def draw(self, height: int, width: int, rng: RandomState) -> Mask:
        """(height, width), true where something is missing. Draws as LaMa does from numpy's global generator."""
        shares = [1 - self.box_share, self.box_share] if self.box_share else [1.0]
        if rng.choice(len(shares), p=shares) == 0:
            return drawn(list(self.segments(height, width, rng)), height, width)
        return self._boxes(height, width, rng)

    def segments(self, height: int, width: int, rng: RandomState) -> Iterator[Segment]:
        """The lines of all strokes, in the order of LaMa's ``make_random_irregular_mask``."""
        for stroke in range(rng.randint(self.strokes[0], self.strokes[1] + 2)):
            x, y = rng.randint(width), rng.randint(height)
            for _ in range(1 + rng.randint(5)):
                angle = 0.01 + rng.randint(self.turns)
                if stroke % 2 == 0:
                    angle = 2 * 3.1415926 - angle
                length = 10 + rng.randint(self.length)
                brush = 5 + rng.randint(self.width)
                end_x = int(np.clip(int(x + length * math.sin(angle)), 0, width))
                end_y = int(np.clip(int(y + length * math.cos(angle)), 0, height))
                yield Segment(x, y, end_x, end_y, brush)
                x, y = end_x, end_y

    def _boxes(self, height: int, width: int, rng: RandomState) -> Mask:
        """LaMa's ``make_random_rectangle_mask``; a picture too small for a box gets strokes."""
        low, most = self.box_side
        high = min(most + 1, height - 2 * self.margin, width - 2 * self.margin)
        if high <= low:
            return drawn(list(self.segments(height, width, rng)), height, width)
        mask = np.zeros((height, width), bool)
        for _ in range(rng.randint(self.boxes[0], self.boxes[1] + 1)):
            wide, tall = rng.randint(low, high), rng.randint(low, high)
            left = rng.randint(self.margin, width - self.margin - wide + 1)
            top = rng.randint(self.margin, height - self.margin - tall + 1)
            mask[top : top + tall, left : left + wide] = True
        return mask


LAMA = LamaMasks(strokes=(1, 5), box_share=0.5)
THICK = LamaMasks(strokes=(1, 5), boxes=(1, 3), box_share=0.3 / 1.3)
THIN = LamaMasks(strokes=(4, 50), width=10, length=40)


def drawn(segments: Sequence[Segment], height: int, width: int) -> Mask:
    """Capsules of radius (brush + 1) / 2, true inside; (height, width)."""
    mask = np.zeros((height, width), bool)
    for line in segments:
        _draw_line(mask, line.x0, line.y0, line.x1, line.y1, (line.brush + 1) / 2)
    return mask


def _draw_line(mask: Mask, x0: float, y0: float, x1: float, y1: float, radius: float) -> None:
    """True within ``radius`` of the line; only what lies near it is looked at."""
    height, width = mask.shape
    left, right = max(0, math.floor(min(x0, x1) - radius)), min(width, math.ceil(max(x0, x1) + radius) + 1)
    top, bottom = max(0, math.floor(min(y0, y1) - radius)), min(height, math.ceil(max(y0, y1) + radius) + 1)
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32) - np.float32(x0)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y0)
    dx, dy = x1 - x0, y1 - y0
    along = ((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-9)).clip(0, 1)
    mask[top:bottom, left:right] |= (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius * radius


def lama(height: int, width: int, rng: RandomState) -> Mask:
    """As LaMa and DiffIR train."""
    return LAMA.draw(height, width, rng)


def thick(height: int, width: int, rng: RandomState) -> Mask:
    """LaMa's evaluation set of this name, for 256 x 256."""
    return _not_too_much(THICK, height, width, rng)


def thin(height: int, width: int, rng: RandomState) -> Mask:
    """LaMa's evaluation set of this name, for 256 x 256."""
    return _not_too_much(THIN, height, width, rng)


def strokes(height: int, width: int, rng: RandomState) -> Mask:
    """Brush strokes 5 to 17 pixels wide, until 10 to 16 % are covered."""
    return _until(
        rng.uniform(0.10, 0.16), height, width, lambda mask: _curve(mask, rng, (5.0, 17.0), (40.0, 160.0), 0.5)
    )


def scratches(height: int, width: int, rng: RandomState) -> Mask:
    """What old photos have: long thin scratches, cracks that branch, specks of dust; 0.5 to 4 %."""
    share = math.exp(rng.uniform(math.log(0.005), math.log(0.04)))
    upright = rng.uniform() < 0.3  # film that ran past something: all scratches in one direction

    def one(mask: Mask) -> None:
        kind = rng.uniform()
        if kind < 0.45:
            _curve(mask, rng, (1.0, 3.0), (60.0, 400.0), 0.04, math.pi / 2 if upright else None)
        elif kind < 0.7:
            _crack(mask, rng)
        else:
            for _ in range(rng.randint(3, 12)):
                _curve(mask, rng, (1.0, 5.0), (0.0, 9.0), 1.0)

    return _until(share, height, width, one)


def mixed(height: int, width: int, rng: RandomState) -> Mask:
    """Strokes, LaMa's masks and scratches."""
    kind = rng.uniform()
    if kind < 0.4:
        return strokes(height, width, rng)
    return _not_too_much(LAMA, height, width, rng) if kind < 0.65 else scratches(height, width, rng)


Draw = Callable[[int, int, RandomState], Mask]
PRESETS: dict[str, Draw] = {
    "lama": lama,
    "thick": thick,
    "thin": thin,
    "strokes": strokes,
    "scratches": scratches,
    "mixed": mixed,
}


def draw_mask(height: int, width: int, preset: str = "mixed", seed: int = 0) -> Mask:
    """(height, width), true where something is missing; ValueError names the presets that exist.

    seed: of numpy's legacy generator; with ``lama``, ``np.random.seed(seed)`` before LaMa's own generator.
    """
    return named_preset("holes", PRESETS, preset)(height, width, RandomState(seed))


def mask_batch(
    count: int, size: tuple[int, int], preset: str = "mixed", generator: torch.Generator | None = None
) -> Tensor:
    """Masks fp32 (count, 1, H, W), 1 where something is missing; on the CPU."""
    seeds = [dice.seed() for dice in throw_dice(count, generator)]
    masks = [draw_mask(*size, preset, seed) for seed in seeds]
    return torch.from_numpy(np.stack(masks)[:, None]).float()


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """A batch (B, 3, H, W) to (B, 4, H, W): 0 in the holes, and the mask, 1 where something is missing."""
    check_batch(clean, "holes")
    mask = mask_batch(clean.shape[0], (clean.shape[2], clean.shape[3]), preset, generator).to(clean.device, clean.dtype)
    return torch.cat([clean * (1 - mask), mask], dim=1)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """A whole photo (H, W, 3) in [0, 1] to (H, W, 4) like :func:`degrade_batch`."""
    return to_photo(degrade_batch(to_tensor(rgb, "holes"), preset, torch.Generator().manual_seed(seed)))


def _not_too_much(masks: LamaMasks, height: int, width: int, rng: RandomState) -> Mask:
    """The first of a few candidates that leaves enough, else the one that leaves most."""
    found = [masks.draw(height, width, rng)]
    while found[-1].mean() > MOST and len(found) < CANDIDATES:
        found.append(masks.draw(height, width, rng))
    return min(found, key=lambda mask: bool(mask.mean() > MOST) and float(mask.mean()))


def _until(share: float, height: int, width: int, draw: Callable[[Mask], object]) -> Mask:
    """A mask that ``draw`` is called on until ``share`` of it is covered."""
    mask = np.zeros((height, width), bool)
    pixels = share * mask.size
    while np.count_nonzero(mask) < pixels or not mask.any():
        draw(mask)
    return mask


def _curve(
    mask: Mask,
    rng: RandomState,
    width: tuple[float, float],
    length: tuple[float, float],
    bend: float,
    heading: float | None = None,
) -> tuple[float, float, float]:
    """One winding line; ``bend``: how far its heading strays each 12 pixels, in radians. Returns where it ends."""
    x, y = rng.uniform(0, mask.shape[1]), rng.uniform(0, mask.shape[0])
    angle = rng.uniform(0, 2 * math.pi) if heading is None else heading + rng.normal() * 0.03
    return _wind(mask, rng, (x, y, angle), rng.uniform(*width) / 2, rng.uniform(*length), bend)


def _wind(
    mask: Mask, rng: RandomState, start: tuple[float, float, float], radius: float, length: float, bend: float
) -> tuple[float, float, float]:
    x, y, angle = start
    turning = 0.0
    for step in range(max(1, math.ceil(length / 12))):
        turning = 0.6 * turning + bend * rng.normal()
        angle += turning
        reach = min(12.0, length - 12 * step)
        end_x, end_y = x + reach * math.cos(angle), y + reach * math.sin(angle)
        _draw_line(mask, x, y, end_x, end_y, max(radius, 0.75))
        x, y = end_x, end_y
    return x, y, angle


def _crack(mask: Mask, rng: RandomState) -> None:
    """A jagged line that branches."""
    ends = [_curve(mask, rng, (1.0, 3.0), (20.0, 80.0), 0.5)]
    for _ in range(rng.randint(1, 6)):
        x, y, angle = ends[rng.randint(len(ends))]
        turned = (x, y, angle + rng.uniform(-1.0, 1.0))
        ends.append(_wind(mask, rng, turned, rng.uniform(0.5, 1.5), rng.uniform(15, 60), 0.5))
