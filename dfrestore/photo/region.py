"""Rectangles of an upright photo: where alone it may change, or what of it is wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dfrestore.errors import FileFailure, UsageError
from dfrestore.photo.mask import Strength, feathered_inside
from dfrestore.photo.photo import Photo

FEATHER = 16
"""Pixels inside a region, at most, over which it comes in; a quarter of its shorter side where that is less."""

_NUMBERS = re.compile(r"\s*(-?[0-9]{1,9})" + 3 * r"\s*,\s*(-?[0-9]{1,9})" + r"\s*")


@dataclass(frozen=True)
class Region:
    """In pixels of the upright photo. x, y: the left upper corner, 0 or more; the size is 1 or more."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        """``100x80 at 10,20``."""
        return f"{self.width}x{self.height} at {self.x},{self.y}"

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """x, y, width, height."""
        return self.x, self.y, self.width, self.height

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of the rows and columns of an array (H, W, ...); they end where that does."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def four_numbers(text: str) -> tuple[int, int, int, int] | None:
    """``10,20,300,40``; None for anything else."""
    found = _NUMBERS.fullmatch(text)
    if found is None:
        return None
    x, y, width, height = map(int, found.groups())
    return x, y, width, height


def parse_region(text: str, option: str) -> Region:
    """``x,y,w,h``, as ``option`` takes it. Raises UsageError."""
    numbers = four_numbers(text)
    if numbers is None:
        raise UsageError(f"{option} {text}: write x,y,w,h in whole pixels, as in {option} 10,20,300,40")
    region = Region(*numbers)
    if region.width < 1 or region.height < 1:
        raise UsageError(f"{option} {text}: the width and height must be at least 1")
    if region.x < 0 or region.y < 0:
        raise UsageError(f"{option} {text}: x and y are counted from the left upper corner, and must be at least 0")
    return region


def outside(name: str, what: str, size: tuple[int, int]) -> FileFailure:
    """For a rectangle that has no pixel of a picture of this (height, width). what: it in words, ``the region ...``."""
    return FileFailure(f"{name}: {what} lies outside of the picture, which is {size[1]}x{size[0]}")


def within(region: Region, size: tuple[int, int], name: str) -> Region:
    """The part of a region that lies in a picture of (height, width). name: of its file, for the FileFailure."""
    height, width = size
    if region.x >= width or region.y >= height:
        raise outside(name, f"the region {region}", size)
    return replace(region, width=min(region.width, width - region.x), height=min(region.height, height - region.y))


def scaled(region: Region, size: tuple[int, int], result: tuple[int, int]) -> Region:
    """A region of a picture of ``size`` in that picture resized to ``result``, both (height, width).

    To the nearest whole pixel, one at least, so that neighbours stay neighbours.
    """
    x, width = _along(region.x, region.width, size[1], result[1])
    y, height = _along(region.y, region.height, size[0], result[0])
    return Region(x, y, width, height)


def _along(start: int, length: int, size: int, result: int) -> tuple[int, int]:
    first, end = ((2 * place * result + size) // (2 * size) for place in (start, start + length))
    first = min(first, result - 1)
    return first, max(1, end - first)


def strength_of(regions: Sequence[Region], size: tuple[int, int]) -> Strength:
    """(H, W): 0 outside of the regions, 1 inside; their common edge comes in softly, over :data:`FEATHER` pixels.

    All of that is inside. At the edge of the picture, and where regions touch, there is none.
    """
    mask = np.zeros(size, np.float32)
    for region in regions:
        mask[region.slices] = 1
    sides = (min(region.width, region.height) for region in regions)
    return feathered_inside(mask, min(FEATHER, min(sides, default=0) // 4))


def cropped(photo: Photo, region: Region) -> Photo:
    """A part of the photo, with all that belongs to it."""
    alpha = None if photo.alpha is None else photo.alpha[region.slices]
    return replace(photo, rgb=photo.rgb[region.slices], alpha=alpha)
