"""Contact sheets: rows of captioned pictures, to judge degradations by eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dfrestore.errors import one_line

Tile = tuple[str, NDArray[Any]]
"""A caption and a picture, uint8 (H, W, 3)."""

_GAP, _CAPTION, _TEXT = 6, 18, 12


def middle(rgb: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle of a picture (H, W, 3), at most ``side`` pixels high and wide, at full size: noise shows as it is."""
    height, width = rgb.shape[:2]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return rgb[top : top + side, left : left + side]


def contact_sheet(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """The tiles in rows, each under its caption (shortened to the tile's width); ValueError without tiles."""
    widths = [sum(tile.shape[1] + _GAP for _, tile in row) + _GAP for row in rows]
    heights = [max(tile.shape[0] for _, tile in row) + _CAPTION + _GAP for row in rows if row]
    if not heights:
        raise ValueError("a contact sheet needs pictures")
    sheet = Image.new("RGB", (max(widths), sum(heights) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    top = _GAP
    for row, height in zip((row for row in rows if row), heights, strict=True):
        left = _GAP
        for caption, tile in row:
            draw.text((left, top), _shortened(caption, tile.shape[1], font), fill="black", font=font)
            sheet.paste(Image.fromarray(np.ascontiguousarray(tile)), (left, top + _CAPTION))
            left += tile.shape[1] + _GAP
        top += height
    return sheet


def _shortened(caption: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    text = one_line(caption)
    while text and font.getlength(text) > width:
        text = text[:-2].rstrip(".") + "." if len(text) > 2 else ""
    return text
