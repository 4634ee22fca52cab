"""Masks: where a picture may change, as float32 (H, W) from 0 (known) to 1 (the hole).

A mask file is read like a photo. Empty and full masks are the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dfrestore.errors import FileFailure
from dfrestore.photo.enlarged import resized
from dfrestore.photo.photo import Photo
from dfrestore.photo.read import MAX_PIXELS, oriented, read

Strength = NDArray[np.float32]
"""float32 (H, W) in [0, 1]: how far each pixel may change; 1: the hole."""

_HALF = 127 / 255  # brighter is hole
FAINT = 3.5 / 255
"""Less than that is known in soft masks too: the noise of a scan, or what a soft edge ends in."""
_MOST_LABELS = 16
_SAME_ASPECT = 0.05  # limit for tiny pictures, where rounding to whole pixels would allow any shape


@dataclass(frozen=True, eq=False)
class Mask:
    """strength: see :data:`Strength`. notes: one line each on how the file was understood, for people."""

    strength: Strength
    notes: tuple[str, ...] = ()


def read_mask(path: str | Path, *, max_pixels: int = MAX_PIXELS, soft: bool | Literal["always"] = False) -> Mask:
    """The mask in a picture file, upright. soft: see :func:`mask_of`. Raises PhotoReadError."""
    return mask_of(read(path, max_pixels=max_pixels), soft=soft)


def mask_of(photo: Photo, *, soft: bool | Literal["always"] = False) -> Mask:
    """A picture read as a mask: what is brighter than 127 of 255 in any channel is the hole.

    In a mask of levels 0 and 1 (or of a few more labels), all but 0 is the hole; in a palette with black, all other
    colours; in a palette of two other colours, the brighter one. Transparent parts are known; if all opaque parts are
    black, they are the hole. soft: grey levels from 4 on are kept as strengths, in files without loss; ``always``: in
    all files, and in palettes of greys too.
    """
    light, notes = photo.rgb.max(axis=2), []
    if photo.origin.bits == 16 and _MOST_LABELS <= round(float(light.max()) * 65535) <= 255:
        notes.append("mask of 8 bit levels in a 16 bit file: read as 8 bit")
        light = light * np.float32(257)
    opacity = None if photo.alpha is None else _opacity(photo)
    if opacity is not None and opacity.min() < 1:
        if not (light * (opacity > 0)).any():
            notes.append("mask drawn in black on transparent: what is opaque counts as white")
            light = opacity
        else:
            light = light * opacity
    shades = soft == "always" and bool((photo.rgb == photo.rgb[..., :1]).all())
    hole, note = _labels(light, photo, palette=photo.origin.mode == "P" and not shades)
    if hole is not None:
        return Mask(hole.astype(np.float32), (*notes, note))
    # elsewhere faint levels are noise of the compression
    if soft == "always" or (soft and photo.origin.lossless):
        return Mask(np.where(light < FAINT, np.float32(0), light).astype(np.float32), tuple(notes))
    return Mask((light > _HALF).astype(np.float32), tuple(notes))


def alpha_mask(photo: Photo, name: str) -> Strength:
    """The transparent parts of a photo as its mask. name: of its file. FileFailure if it has no alpha."""
    if photo.alpha is None:
        raise FileFailure(f"{name}: has no alpha that could be its mask; give a file with --mask")
    return np.float32(1) - _opacity(photo)


def fitted(mask: Strength, photo: Photo, name: str) -> tuple[Strength, str | None]:
    """The mask in the photo's size, and one line for people on what was done to it, or None.

    A mask of the photo's aspect is resized. One that fits the photo as stored, before its EXIF
    orientation, is turned like the photo. Any other is a FileFailure that names both sizes and ``name``, the mask's
    file.
    """
    if mask.shape == photo.size:
        return mask, None
    turned = _as_turned(mask, photo.origin.orientation)
    if turned is not None and turned.shape == photo.size:
        return turned, f"mask turned like the photo ({_size(mask.shape)} to {_size(photo.size)})"
    if _same_aspect(mask.shape, photo.size):
        return _resized(mask, photo.size), f"mask resized ({_size(mask.shape)} to {_size(photo.size)})"
    if turned is not None and _same_aspect(turned.shape, photo.size):
        done = f"mask turned like the photo and resized ({_size(mask.shape)} to {_size(photo.size)})"
        return _resized(turned, photo.size), done
    raise FileFailure(
        f"{name}: the mask's {_size(mask.shape)} pixels do not fit the photo's {_size(photo.size)}; "
        "draw it on the photo, or scale both alike"
    )


def dilated(mask: Strength, radius: int) -> Strength:
    """The mask grown by ``radius`` pixels in all directions (a disc)."""
    return _near(mask, radius, lambda part: _disc_maximum(part, radius)) if radius > 0 else mask


def feathered(mask: Strength, width: int) -> Strength:
    """The mask with a soft edge outside of it: from 1 at the hole down to 0 within ``width`` pixels.

    The hole keeps its full strength, or what it covers would shine through along the edge.
    """
    return _near(mask, width, lambda part: _soft_edge(part, width)) if width > 0 else mask


def feathered_inside(mask: Strength, width: int) -> Strength:
    """The mask with a soft edge inside of it: from 0 just outside up to 1 within ``width`` pixels.

    What was 0 stays 0. The edge of the picture is no edge of the mask.
    """
    if width < 1 or mask.all():
        return mask
    return _near(mask, 1, lambda part: np.float32(1) - _soft_edge(np.float32(1) - part, width))


def in_size(mask: Strength, height: int, width: int) -> Strength:
    """The mask of a picture for that picture resized; where a pixel comes from one that was 0, it is 0.

    So what was known is the plain resize; a smooth mask alone would reach over its edge.
    """
    if mask.shape == (height, width):
        return mask
    sides = zip((height, width), mask.shape, strict=True)
    rows, columns = ((2 * np.arange(side) + 1) * before // (2 * side) for side, before in sides)
    return np.where((mask > 0)[rows][:, columns], resized(mask, height, width), np.float32(0))


def coverage(mask: Strength | NDArray[np.bool_]) -> float:
    """Share of the picture that is to change, from 0 to 1."""
    return float(mask.mean(dtype=np.float64))


def _opacity(photo: Photo) -> Strength:
    assert photo.alpha is not None
    opacity: Strength = photo.alpha.astype(np.float32) / np.float32(np.iinfo(photo.alpha.dtype).max)
    return opacity


def _labels(light: Strength, photo: Photo, *, palette: bool) -> tuple[NDArray[np.bool_] | None, str]:
    """The hole, if the levels are labels and not brightness, and a note that says so."""
    if not photo.origin.lossless:  # where dark levels are noise
        return None, ""
    unit = 65535 if photo.origin.bits == 16 else 255
    darkest, brightest = round(float(light.min()) * unit), round(float(light.max()) * unit)
    if darkest == 0 and 0 < brightest < _MOST_LABELS:
        what = "1" if brightest == 1 else f"1 to {brightest}"
        return light > 0, f"mask of levels 0 and {what}: all but 0 counts as white"
    if not palette or brightest == 0:
        return None, ""
    if darkest == 0:
        return light > 0, "mask of a palette: all but black counts as white"
    first = photo.rgb[0, 0]
    others = (photo.rgb != first).any(axis=2)
    if not others.any():
        return None, ""
    second = photo.rgb[np.unravel_index(int(others.argmax()), others.shape)]
    if not (photo.rgb[others] == second).all():
        return None, ""
    brighter = others if second.sum() > first.sum() else ~others
    return brighter, "mask of a palette of two colours: the brighter counts as white"


def _as_turned(mask: Strength, orientation: int) -> Strength | None:
    return np.ascontiguousarray(oriented(mask, orientation)) if orientation >= 5 else None


def _same_aspect(size: tuple[int, ...], full_size: tuple[int, int]) -> bool:
    """Whether one size is the other scaled and rounded to whole pixels."""
    (height, width), (full_height, full_width) = size, full_size
    error = abs(width * full_height - height * full_width)
    rounding = max(full_width + full_height, width + height) / 2
    return error <= rounding and error <= _SAME_ASPECT * width * full_height


def _resized(mask: Strength, size: tuple[int, int]) -> Strength:
    hard = not np.logical_and(mask > 0, mask < 1).any()
    strength = resized(mask, *size)
    return (strength >= 0.5).astype(np.float32) if hard else strength


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _near(mask: Strength, reach: int, change: Callable[[Strength], Strength]) -> Strength:
    """``change`` applied where the mask is not 0 and up to ``reach`` pixels around, so that the rest costs nothing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return mask
    box = tuple(slice(max(0, int(found[0]) - reach), int(found[-1]) + 1 + reach) for found in (rows, columns))
    result = np.zeros_like(mask)
    result[box] = change(mask[box])
    return result


def _disc_maximum(part: Strength, radius: int) -> Strength:
    """The largest value within ``radius``, row by row of the disc, from its rim to its middle."""
    result, row, reach = part.copy(), part.copy(), 0
    for down in range(radius, -1, -1):
        while (reach + 1) ** 2 + down**2 <= radius**2:
            reach += 1
            if reach < part.shape[1]:
                np.maximum(row[:, reach:], part[:, :-reach], out=row[:, reach:])
                np.maximum(row[:, :-reach], part[:, reach:], out=row[:, :-reach])
        if down < part.shape[0]:
            np.maximum(result[down:], row[: part.shape[0] - down], out=result[down:])
            np.maximum(result[: part.shape[0] - down], row[down:], out=result[: part.shape[0] - down])
    return result


def _soft_edge(part: Strength, width: int) -> Strength:
    """Grown by half of ``width`` and blurred by the other half: 1 where it was, 0 from ``width`` on."""
    grown, blur = width // 2, width - width // 2
    weights = np.hanning(2 * blur + 3)[1:-1]
    weights /= weights.sum()
    soft = part
    for axis in (0, 1):
        soft = _along(soft, axis, grown, None)
    for axis in (0, 1):
        soft = _along(soft, axis, blur, weights)
    return np.maximum(part, np.clip(soft, 0, 1))


def _along(part: Strength, axis: int, reach: int, weights: NDArray[np.float64] | None) -> Strength:
    """The largest value within ``reach`` along an axis, or with weights their weighted sum; edges are repeated."""
    padding = [(0, 0), (0, 0)]
    padding[axis] = (reach, reach)
    padded, size = np.pad(part, padding, mode="edge"), part.shape[axis]
    result = np.zeros_like(part)
    for i in range(2 * reach + 1):
        shifted = padded[i : i + size] if axis == 0 else padded[:, i : i + size]
        if weights is None:
            np.maximum(result, shifted, out=result)
        else:
            result += np.float32(weights[i]) * shifted
    return result
