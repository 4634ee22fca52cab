"""A photo in another size by a plain resize, with all that belongs to it; an enlarging network replaces its pixels.

Size tags in its metadata are updated when the photo is written.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfrestore.photo.photo import Photo, Pixels, Rgb

Plane = NDArray[np.float32]
_BLOCK = 1 << 20  # pixels of a strip, so that temporaries are small compared with the photo
_REACH = 2  # pixels of the coarser of both grids that the cubic kernel reaches to each side


def enlarged(photo: Photo, height: int, width: int) -> Photo:
    """The photo in ``height`` x ``width`` pixels: bicubic, with antialiasing where that is smaller.

    Alpha is resized smoothly; a binary alpha stays binary. Colours where it was 0 are first replaced by those around
    (:func:`filled`), so that no rim appears. Grey stays grey. ValueError for a size below 1 x 1.
    """
    if min(height, width) < 1:
        raise ValueError(f"no picture has a size of {width} x {height}")
    if photo.size == (height, width):
        return photo
    source = photo.rgb if photo.alpha is None else filled(photo.rgb, photo.alpha)
    rgb = np.empty((height, width, 3), np.float32)
    if photo.origin.grey:
        rgb[...] = resized(source[..., 0], height, width)[..., None]
    else:
        for channel in range(3):
            resized(source[..., channel], height, width, into=rgb[..., channel])
    alpha = None if photo.alpha is None else resized_alpha(photo.alpha, height, width)
    return replace(photo, rgb=rgb, alpha=alpha)


def with_pixels(photo: Photo, rgb: Rgb) -> Photo:
    """The photo with pixels of another size, made elsewhere; its alpha is resized to them, as :func:`enlarged` does."""
    size = (rgb.shape[0], rgb.shape[1])
    if photo.size == size:
        return photo
    return replace(photo, rgb=rgb, alpha=None if photo.alpha is None else resized_alpha(photo.alpha, *size))


def resized(plane: Plane, height: int, width: int, into: Plane | None = None) -> Plane:
    """A plane (H, W) of values in [0, 1] in another size, clipped to [0, 1]; a strip at a time. into: takes the result.

    Bicubic with a = -0.5, antialiased where it shrinks, as Pillow and MATLAB do it; pixel centres are kept in place.
    """
    out = np.empty((height, width), np.float32) if into is None else into
    ratio = plane.shape[0] / height
    reach = math.ceil(_REACH * max(1.0, ratio)) + 1
    rows = max(1, int(_BLOCK / max(width, plane.shape[1] * ratio)))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        first = max(0, math.floor(top * ratio) - reach)
        last = min(plane.shape[0], math.ceil(bottom * ratio) + reach)
        strip = Image.fromarray(np.ascontiguousarray(plane[first:last], np.float32))
        box = (0, top * ratio - first, plane.shape[1], min(bottom * ratio, plane.shape[0]) - first)
        made = strip.resize((width, bottom - top), Image.Resampling.BICUBIC, box)
        np.clip(np.asarray(made), 0, 1, out=out[top:bottom])
    return out


def filled(rgb: Rgb, alpha: Pixels) -> Rgb:
    """``rgb`` with the colours where ``alpha`` is 0 replaced by nearby ones; ``rgb`` itself where there are none.

    Known colours are averaged in ever larger squares, and the smallest square that knows any gives the colour
    (push-pull: Gortler et al., "The lumigraph", SIGGRAPH 1996). A photo without any opaque pixel stays as it is.
    """
    known = alpha > 0
    if known.all() or not known.any():
        return rgb
    levels = [(rgb, known)]
    while not levels[-1][1].all():
        levels.append(_halved(*levels[-1]))
    result = levels.pop()[0]
    for colours, sure in reversed(levels):
        height, width = sure.shape
        coarse = result.repeat(2, axis=0)[:height].repeat(2, axis=1)[:, :width]
        result = np.where(sure[..., None], colours, coarse)
    return result


def _halved(colours: Rgb, known: NDArray[np.bool_]) -> tuple[Rgb, NDArray[np.bool_]]:
    """Means of the known pixels of each square of two by two, and whether there were any."""
    height, width = known.shape
    total = np.zeros((-(-height // 2), -(-width // 2), 3), np.float32)
    count = np.zeros((*total.shape[:2], 1), np.float32)
    for y in (0, 1):
        for x in (0, 1):
            part = known[y::2, x::2, None]
            rows, columns = part.shape[:2]
            total[:rows, :columns] += np.where(part, colours[y::2, x::2], np.float32(0))
            count[:rows, :columns] += part
    total /= np.maximum(count, 1)
    return total, count[..., 0] > 0


def resized_alpha(alpha: Pixels, height: int, width: int) -> Pixels:
    """Alpha (H, W) in another size: smooth; a binary one stays binary."""
    most = np.iinfo(alpha.dtype).max
    opacity = resized(alpha.astype(np.float32) / np.float32(most), height, width)
    if not np.logical_and(alpha > 0, alpha < most).any():
        opacity = np.where(opacity >= 0.5, np.float32(1), np.float32(0))
    result: Pixels = np.rint(opacity.astype(np.float64) * most).astype(alpha.dtype)
    return result
