"""Contact sheets: rows of captioned pictures, to judge by eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dfrestore.errors import one_line

Tile = tuple[str, NDArray[Any]]
"""A caption and a picture, uint8 (H, W, 3)."""

GAP = 6
"""Pixels between pictures, and around them."""


def middle(rgb: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle of a picture (H, W, 3), at most ``side`` pixels high and wide, at full size: noise shows as it is."""
    height, width = rgb.shape[:2]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return rgb[top : top + side, left : left + side]


def contact_sheet(rows: Sequence[Sequence[Tile]], *, text: int = 12, least: int = 0) -> Image.Image:
    """The tiles in rows, each under its caption (shortened to the tile's width); ValueError without tiles.

    text: height of the letters in pixels. least: width of a narrow tile's column, to give its caption room.
    """
    rows = [row for row in rows if row]
    widths = [sum(max(tile.shape[1], least) + GAP for _, tile in row) + GAP for row in rows]
    caption = text * 3 // 2
    heights = [max(tile.shape[0] for _, tile in row) + caption + GAP for row in rows]
    if not heights:
        raise ValueError("a contact sheet needs pictures")
    sheet = Image.new("RGB", (max(widths), sum(heights) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(text)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for words, tile in row:
            width = max(tile.shape[1], least)
            draw.text((left, top), _shortened(words, width, font), fill="black", font=font)
            sheet.paste(Image.fromarray(np.ascontiguousarray(tile)), (left, top + caption))
            left += width + GAP
        top += height
    return sheet


def _shortened(caption: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    text = one_line(caption)
    while text and font.getlength(text) > width:
        text = text[:-2].rstrip(".") + "." if len(text) > 2 else ""
    return text
