"""JPEG's artefacts on clean pictures, exactly as Pillow's encoder leaves them: blocks, rings, washed-out colours.

A photo from the web was often saved more than once, and cropped in between. Then the 8x8 blocks of the earlier file
begin inside those of the later one, and a model that knows aligned grids only fails (Jiang et al., "Towards flexible
blind JPEG artifacts removal", ICCV 2021). All randomness comes from the caller's generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.degrade.arrays import check_batch, on_each, to_photo, to_tensor
from dfrestore.degrade.dice import Dice, named_preset, throw_dice
from dfrestore.degrade.jpeg import round_trip
from dfrestore.errors import FileFailure

UNIT = 16  # pixels: side of the units in which colours of half size are coded; a shifted grid begins within one
LARGEST_SIDE = 65_500 - UNIT  # pixels: what libjpeg writes, less the room for a shift


@dataclass(frozen=True)
class Saving:
    """One time that a picture was saved as a JPEG.

    quality: 1 to 100, as in Pillow and libjpeg. half_chroma: 4:2:0, else 4:4:4. shift: (x, y), how many pixels left of
    and above the picture the file began, before it was cropped; (0, 0): its blocks begin at the picture's corner.
    """

    quality: int
    half_chroma: bool = True
    shift: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100 or not all(0 <= n < UNIT for n in self.shift):
            raise ValueError(f"quality {self.quality} or shift {self.shift} is out of range")


@dataclass(frozen=True)
class JpegRange:
    """The ranges that savings are drawn from. Qualities are drawn evenly; shares are from 0 to 1.

    half_chroma: share of savings with 4:2:0. twice: share of pictures that are saved twice, each time with a quality of
    its own. shifted: share of these that are cropped in between. cropped: share of pictures that are cropped after the
    last time and then kept without loss.
    """

    quality: tuple[int, int]
    half_chroma: float = 1.0
    twice: float = 0.0
    shifted: float = 0.0
    cropped: float = 0.0


# name -> shares of ranges; the shares of a preset sum to 1
PRESETS: dict[str, tuple[tuple[float, JpegRange], ...]] = {
    "q10": ((1.0, JpegRange((10, 10))),),
    "q20": ((1.0, JpegRange((20, 20))),),
    "q40": ((1.0, JpegRange((40, 40))),),
    "mixed": ((1.0, JpegRange((10, 90), half_chroma=0.7, twice=0.35, shifted=0.7, cropped=0.1)),),
}


def sample_params(generator: torch.Generator | None, preset: str = "mixed") -> tuple[Saving, ...]:
    """How one picture was saved, first to last; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "mixed") -> list[tuple[Saving, ...]]:
    """:func:`sample_params` for ``count`` independent pictures, from one draw of the generator."""
    shares = named_preset("jpeg", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def add_jpeg(clean: Tensor, savings: tuple[Saving, ...]) -> Tensor:
    """``clean``, (3, H, W) or (B, 3, H, W) in [0, 1], saved like this; rounded to 8 bits, same device and dtype."""
    return on_each(_save, clean, savings, None)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """A batch (B, 3, H, W) in [0, 1], each picture saved as ``preset`` draws it. On the CPU, 0.4 ms for 64x64."""
    return _save(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """A whole photo (H, W, 3) in [0, 1] saved as ``preset`` draws it; a new fp32 array.

    FileFailure where a side is longer than :data:`LARGEST_SIDE`.
    """
    clean = to_tensor(rgb, "jpeg")
    if max(clean.shape[2:]) > LARGEST_SIDE:
        raise FileFailure(f"{clean.shape[3]} x {clean.shape[2]} is more than JPEG can hold ({LARGEST_SIDE} a side)")
    return to_photo(add_jpeg(clean, sample_params(torch.Generator().manual_seed(seed), preset)))


def _save(clean: Tensor, savings: Sequence[tuple[Saving, ...]], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "jpeg")
    pictures = (clean.detach().float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    saved = np.empty_like(pictures)
    for i, (picture, own) in enumerate(zip(pictures, savings, strict=True)):
        for saving in own:
            picture = _saved(picture, saving)
        saved[i] = picture
    return (torch.from_numpy(saved).permute(0, 3, 1, 2).float() / 255).to(clean.device, clean.dtype)


def _saved(picture: NDArray[np.uint8], saving: Saving) -> NDArray[np.uint8]:
    left, top = saving.shift
    if left or top:  # the cropped pixels are unknown: the picture is reflected
        picture = np.pad(picture, ((top, 0), (left, 0), (0, 0)), mode="reflect")
    picture = round_trip(np.ascontiguousarray(picture), saving.quality, half_chroma=saving.half_chroma)
    return picture[top:, left:]


def _sample(dice: Dice, bounds: JpegRange) -> tuple[Saving, ...]:
    last = _sample_saving(dice, bounds, bounds.cropped)
    return (_sample_saving(dice, bounds, bounds.shifted), last) if dice.chance(bounds.twice) else (last,)


def _sample_saving(dice: Dice, bounds: JpegRange, shifted: float) -> Saving:
    return Saving(
        quality=dice.whole(*bounds.quality),
        half_chroma=dice.chance(bounds.half_chroma),
        shift=(dice.whole(0, UNIT - 1), dice.whole(0, UNIT - 1)) if dice.chance(shifted) else (0, 0),
    )
