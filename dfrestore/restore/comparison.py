"""Comparison strips: a photo before | after, with what made it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from dfrestore.photo import Photo, format_of_path
from dfrestore.photo.enlarged import enlarged
from dfrestore.photo.mask import dilated
from dfrestore.photo.sheet import GAP, contact_sheet
from dfrestore.photo.view import view
from dfrestore.restore.extras import mark
from dfrestore.restore.images import Mask, Rgb

WIDEST = 4096
"""Of a strip, in pixels."""
_SIDE = (WIDEST - 3 * GAP) // 2
_OUTLINE = (1.0, 0.0, 1.0)
_LETTERS, _LEAST = 110, 320  # letters a strip's width, pixels of a caption


def comparison(taken: Photo, result: Rgb, name: str, made_by: str, mask: Mask | None = None) -> Image.Image:
    """RGB: the photo ``name`` and its result (H, W, 3), reduced alike to at most 4096 pixels of width together.

    In sRGB, transparent parts on white. A photo that is smaller than its result is shown enlarged by a plain resize.
    mask: (H, W), outlined in the photo.
    """
    base = enlarged(taken, *result.shape[:2])
    shown = base.rgb if mask is None else outlined(base.rgb, mask)
    before, after = (view(rgb, base.alpha, base.origin.icc, _SIDE) for rgb in (shown, result))
    text = max(12, 2 * max(before.width, _LEAST) // _LETTERS)
    tiles = [(f"before: {name}", np.asarray(before)), (f"after: {made_by}", np.asarray(after))]
    return contact_sheet([tiles], text=text, least=_LEAST)


def outlined(rgb: Rgb, mask: Mask) -> Rgb:
    """A copy with a magenta line around what the mask covers by more than half, wide enough to be seen when reduced."""
    inside = mask > 0.5
    reach = max(1, round(max(inside.shape) / _SIDE))
    around = dilated(inside.astype(np.float32), reach) > 0
    shown = rgb.copy()
    shown[around & ~inside] = _OUTLINE
    return shown


def encoded(strip: Image.Image, place: str) -> bytes:
    """PNG or JPEG, by the ending of ``place``."""
    buffer = io.BytesIO()
    if format_of_path(place) == "PNG":
        strip.save(buffer, "PNG", exif=mark())
    else:
        strip.save(buffer, "JPEG", quality=92, subsampling=0, exif=mark())
    return buffer.getvalue()
