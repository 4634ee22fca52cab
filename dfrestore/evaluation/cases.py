"""Pairs in memory: what a restoration gets, and what its result is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfrestore.errors import FileFailure
from dfrestore.metrics import to_8bit
from dfrestore.photo import Photo, read
from dfrestore.photo.enlarged import enlarged
from dfrestore.photo.mask import Strength, fitted, read_mask
from dfrestore.photo.pairs import Pair

Picture = NDArray[np.uint8]
GREY = 127
"""What a hole is filled with where nothing else stands in it, and how it is shown."""


@dataclass(frozen=True, eq=False)
class Case:
    """photo: the input. target: uint8 (H, W, 3). mask: (H, W), 1 in the hole and 0 elsewhere, or None.

    icc: colour profiles of input and target. notes: one line each, for people.
    """

    photo: Photo
    target: Picture
    mask: Strength | None = None
    icc: tuple[bytes | None, bytes | None] = (None, None)
    notes: tuple[str, ...] = ()


Open = Callable[[Pair], Case]
"""How a pair gets into memory. Raises FileFailure for a pair that it cannot open."""


def open_pair(pair: Pair) -> Case:
    """Both files, and the masks of the pair. Raises FileFailure and its kinds."""
    photo, clean = read(pair.input), read(pair.target)
    mask, notes = _mask(pair, photo)
    return Case(photo, to_8bit(clean.rgb), mask, (photo.origin.icc, clean.origin.icc), notes)


def open_hollowed(pair: Pair) -> Case:
    """The target, and as the input the target with its hole in grey. Raises as :func:`open_pair`."""
    clean = read(pair.target)
    mask, notes = _mask(pair, clean)
    if mask is None:
        raise FileFailure(f"{pair.target}: has no mask")
    holed = replace(clean, rgb=np.where(mask[..., None] > 0, np.float32(GREY / 255), clean.rgb))
    return Case(holed, to_8bit(clean.rgb), mask, (clean.origin.icc, clean.origin.icc), notes)


def cut_to(target: Picture, photo: Photo, scale: int) -> Picture:
    """The target without the rows and columns, right and bottom, that a picture ``scale`` times smaller does not have.

    FileFailure unless the photo's size is the target's, divided by ``scale`` and rounded down.
    """
    (height, width), (full_height, full_width) = photo.size, target.shape[:2]
    if (full_height // scale, full_width // scale) != (height, width):
        raise FileFailure(
            f"{width}x{height} pixels against {full_width}x{full_height} of the target; it must be {scale} times as "
            f"large, as the model enlarges: {width * scale}x{height * scale}"
        )
    return target[: height * scale, : width * scale]


def bicubic(photo: Photo, scale: int) -> Picture:
    """The photo enlarged by bicubic interpolation, a = -0.5, as MATLAB does it; rounded to 8 bit."""
    height, width = photo.size
    return to_8bit(enlarged(photo, height * scale, width * scale).rgb)


def shown(picture: Picture, scale: int = 1, mask: Strength | None = None) -> Picture:
    """An input as it is shown beside its target: each pixel ``scale`` times as large, the hole in grey."""
    if scale > 1:
        picture = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    return picture if mask is None else np.where(mask[..., None] > 0, np.uint8(GREY), picture)


def _mask(pair: Pair, photo: Photo) -> tuple[Strength | None, tuple[str, ...]]:
    """All masks of the pair as one, in the photo's size."""
    if not pair.masks:
        return None, ()
    parts, notes = [], []
    for path in pair.masks:
        part, note = _one_mask(path, photo)
        parts.append(part)
        notes += [f"{path.name}: {note}"] if note else []
    mask = parts[0] if len(parts) == 1 else np.maximum.reduce(parts)
    if mask.all():
        raise FileFailure(f"{pair.masks[0]}: the mask covers the whole picture, so that nothing is known")
    return mask, tuple(notes)


def _one_mask(path: Path, photo: Photo) -> tuple[Strength, str | None]:
    mask, note = fitted(read_mask(path).strength, photo, str(path))
    if not mask.any():
        raise FileFailure(f"{path}: the mask is empty; white is what is missing")
    return mask, note
