"""Where a mask comes from, as ``--mask`` says it, and how it is made ready: drawn, united, grown, checked, told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from dfrestore.errors import FileFailure, UsageError, did_you_mean
from dfrestore.photo.mask import FAINT, Strength, alpha_mask, coverage, dilated, feathered
from dfrestore.photo.photo import Photo
from dfrestore.photo.region import four_numbers, outside

LOSSY_TOLERANCE = 32
"""Levels that a colour painted into a JPEG of quality 75 strays; one painted into a PNG is found exactly."""

_COLOR = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})(?:~([0-9]{1,3}))?", re.IGNORECASE)
_TO_KNOW = "what is known must be black in it, and out of reach of --feather"
_ALPHA, _COLOR_WORD, _RECT_WORD = "alpha", "color", "rect"


@dataclass(frozen=True)
class PathMask:
    """A mask file, or a folder of them."""

    path: Path


@dataclass(frozen=True)
class AlphaMask:
    """What is transparent in the photo."""


@dataclass(frozen=True)
class ColorMask:
    """What has this colour in the photo. color: levels 0 to 255 of red, green, blue.

    tolerance: how many levels of 255 each channel may differ; None: 0 in files that hold their pixels exactly,
    :data:`LOSSY_TOLERANCE` in others.
    """

    color: tuple[int, int, int]
    tolerance: int | None = None


@dataclass(frozen=True)
class RectMask:
    """A rectangle of the upright photo, in pixels. x, y: its left upper corner, which may lie outside."""

    x: int
    y: int
    width: int
    height: int


DrawnMask: TypeAlias = AlphaMask | ColorMask | RectMask
MaskSource: TypeAlias = PathMask | DrawnMask


def parse(text: str) -> MaskSource:
    """``FILE``, ``FOLDER``, ``alpha``, ``color:#rrggbb[~T]`` (or ``#rgb``) or ``rect:x,y,w,h``.

    A file that has one of these names is written ``./alpha``. Raises UsageError.
    """
    if not text:
        raise UsageError("--mask is empty; give a FILE, a FOLDER, alpha, color:#rrggbb or rect:x,y,w,h")
    word, colon, rest = text.partition(":")
    if text == _ALPHA:
        return AlphaMask()
    if colon and word == _COLOR_WORD:
        return _color(text, rest)
    if colon and word == _RECT_WORD:
        return _rect(text, rest)
    if colon and word.isalpha() and (near := did_you_mean(word.lower(), (_COLOR_WORD, _RECT_WORD))):
        raise UsageError(f"--mask {text}: '{word}:' is not known{near} (a file of that name is written ./{text})")
    return PathMask(Path(text))


def _color(text: str, rest: str) -> ColorMask:
    found = _COLOR.fullmatch(rest)
    if found is None:
        raise UsageError(f"--mask {text}: write a colour as color:#ff00ff, or color:#ff00ff~16 to let 16 levels pass")
    digits, levels = found.group(1), found.group(2)
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    if levels is not None and int(levels) > 255:
        raise UsageError(f"--mask {text}: the tolerance after ~ is a number of levels from 0 to 255")
    red, green, blue = bytes.fromhex(digits)
    return ColorMask((red, green, blue), None if levels is None else int(levels))


def _rect(text: str, rest: str) -> RectMask:
    numbers = four_numbers(rest)
    if numbers is None:
        raise UsageError(f"--mask {text}: write a rectangle as rect:x,y,w,h in whole pixels, as in rect:10,20,300,40")
    x, y, width, height = numbers
    if width < 1 or height < 1:
        raise UsageError(f"--mask {text}: the rectangle's width and height must be at least 1")
    return RectMask(x, y, width, height)


def drawn(source: DrawnMask, photo: Photo, name: str) -> Strength:
    """The mask that the photo itself, or a rectangle of it, makes. name: of its file.

    FileFailure: a photo without alpha, a rectangle wholly outside.
    """
    match source:
        case AlphaMask():
            return alpha_mask(photo, name)
        case ColorMask():
            return _of_color(source, photo)
        case RectMask():
            return _of_rect(source, photo.size, name)


def _of_color(source: ColorMask, photo: Photo) -> Strength:
    """What shows the colour; so not the colours that lie hidden where the photo is wholly transparent."""
    tolerance = source.tolerance
    if tolerance is None:
        tolerance = 0 if photo.origin.lossless else LOSSY_TOLERANCE
    same = np.ones(photo.size, bool) if photo.alpha is None else photo.alpha > 0
    for channel, level in enumerate(source.color):
        # half a level more: those of 16 bit files lie between
        same &= np.abs(photo.rgb[:, :, channel] * np.float32(255) - np.float32(level)) < tolerance + 0.5
    return same.astype(np.float32)


def _of_rect(source: RectMask, size: tuple[int, int], name: str) -> Strength:
    mask = np.zeros(size, np.float32)
    rows = slice(max(0, source.y), max(0, source.y + source.height))
    columns = slice(max(0, source.x), max(0, source.x + source.width))
    mask[rows, columns] = 1
    if not mask.any():
        raise outside(name, _words(source), size)
    return mask


def united(masks: Iterable[Strength]) -> Strength:
    """What any of the masks covers: their maximum. At least one, all of one size; none is changed."""
    whole: Strength | None = None
    for mask in masks:
        whole = mask if whole is None else np.maximum(whole, mask)
    if whole is None:
        raise ValueError("no mask to unite")
    return whole


def finished(mask: Strength, *, invert: bool = False, dilate: int = 0, feather: int = 0) -> Strength:
    """The mask inverted, then grown by ``dilate`` pixels, then with a soft edge of ``feather`` pixels outside."""
    whole = np.float32(1) - mask if invert else mask
    whole = feathered(dilated(whole, dilate), feather)
    return np.where(whole < FAINT, np.float32(0), whole)


def checked(mask: Strength, name: str, *sources: MaskSource, invert: bool = False) -> str | None:
    """One line of warning where more than half of the picture is to be filled, if only a little, else None.

    name: of the file to blame. sources, invert: what made the mask, for advice. Raises FileFailure: an empty mask, a
    full one, which leaves no pixel that is rather kept than filled, or one that leaves none as it is: a model sees only
    what is 0 in the mask.
    """
    if not mask.any():
        raise FileFailure(f"{name}: nothing to fill: the mask is empty; {_remedy(sources)}")
    other = "leave out --invert if it is the wrong way round" if invert else "--invert if it is the wrong way round"
    if (least := float(mask.min())) >= 0.5:
        raise FileFailure(f"{name}: nothing to fill from: the mask is full, it covers the whole picture; {other}")
    if least > 0:
        raise FileFailure(
            f"{name}: nothing to fill from: the mask covers every pixel, the least of them by {percent(least)}; "
            f"{_TO_KNOW}"
        )
    if coverage(mask) > 0.5:
        return f"mask covers {percent(coverage(mask))} of the picture; {other}"
    if (touched := coverage(mask > 0)) > 0.5:
        return f"mask covers {percent(touched)} of the picture a little, and none of that is filled from; {_TO_KNOW}"
    return None


def _remedy(sources: tuple[MaskSource, ...]) -> str:
    """What may bring something into an empty mask."""
    match sources:
        case (AlphaMask(),):
            return "no pixel is transparent"
        case (ColorMask(tolerance=tolerance) as source,):
            more = max(LOSSY_TOLERANCE, 2 * (tolerance or 0))
            way = f"; allow more levels, as in {_hex(source)}~{more}" if more <= 255 else ""
            return f"no pixel is {_words(source)}{way}"
        case _:
            return "paint what is to be filled in white"


def describe(mask: Strength, *sources: MaskSource, invert: bool = False) -> str:
    """Polarity and coverage: ``white is filled, 12.3 % of the picture``. sources: those united in the mask."""
    what = list(dict.fromkeys(map(_words, sources))) or ["white"]
    words = " and ".join(what)
    verb = "are" if len(what) > 1 and not invert else "is"
    return f"{'all but ' if invert else ''}{words} {verb} filled, {percent(coverage(mask))} of the picture"


def _words(source: MaskSource) -> str:
    match source:
        case PathMask():
            return "white"
        case AlphaMask():
            return "what is transparent"
        case ColorMask(tolerance=None | 0):
            return _hex(source)
        case ColorMask(tolerance=tolerance):
            return f"{_hex(source)} within {tolerance} level{'' if tolerance == 1 else 's'}"
        case RectMask(x, y, width, height):
            return f"the rectangle {width}x{height} at {x},{y}"


def _hex(source: ColorMask) -> str:
    return f"#{bytes(source.color).hex()}"


def percent(share: float) -> str:
    """A share that is not 0 or 1 is not told as if it were."""
    if 0 < share < 0.0005:
        return "less than 0.1 %"
    if 0.9995 <= share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.1f} %"
