"""Comparison strips: a photo before | after, with what made it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from dfrestore.photo import Photo, format_of_path
from dfrestore.photo.sheet import GAP, contact_sheet
from dfrestore.photo.view import view
from dfrestore.restore.extras import mark
from dfrestore.restore.images import Rgb

WIDEST = 4096
"""Of a strip, in pixels."""
_SIDE = (WIDEST - 3 * GAP) // 2
_LETTERS, _LEAST = 110, 320  # letters a strip's width, pixels of a caption


def comparison(taken: Photo, result: Rgb, name: str, made_by: str) -> Image.Image:
    """RGB: the photo ``name`` and its result (H, W, 3), reduced alike to at most 4096 pixels of width together.

    In sRGB, transparent parts on white.
    """
    before, after = (view(rgb, taken.alpha, taken.origin.icc, _SIDE) for rgb in (taken.rgb, result))
    text = max(12, 2 * max(before.width, _LEAST) // _LETTERS)
    tiles = [(f"before: {name}", np.asarray(before)), (f"after: {made_by}", np.asarray(after))]
    return contact_sheet([tiles], text=text, least=_LEAST)


def encoded(strip: Image.Image, place: str) -> bytes:
    """PNG or JPEG, by the ending of ``place``."""
    buffer = io.BytesIO()
    if format_of_path(place) == "PNG":
        strip.save(buffer, "PNG", exif=mark())
    else:
        strip.save(buffer, "JPEG", quality=92, subsampling=0, exif=mark())
    return buffer.getvalue()
