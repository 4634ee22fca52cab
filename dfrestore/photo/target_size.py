"""How large a result is to be: ``--scale``, ``--size``, ``--long-edge``, ``--short-edge`` and ``--min-size``.

Sizes are written like ImageMagick's: ``WxH`` fits inside, ``WxH^`` fills, ``WxH!`` is exact, ``Wx`` and ``xH`` give one
side. ``>`` is ours: it only ever enlarges (ImageMagick writes ``<`` for that, which is refused here).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from dfrestore.errors import FileFailure, UsageError
from dfrestore.photo.encode import MAX_SIDE, exceeded
from dfrestore.photo.formats import WRITTEN_AS, normal_format

MAX_FACTOR = 16
"""How many times its own width or height a result may have."""

Fit = Literal["inside", "fill", "exact"]

_SIGNS: Mapping[Fit, str] = MappingProxyType({"inside": "", "fill": "^", "exact": "!"})
_ONLY_LARGER = ">"
_MOST_PIXELS = max(MAX_SIDE.values())  # a side that no format holds more of
_LONGEST = 100  # characters of a size or a factor
_FACTOR = re.compile(
    r"(?P<x>x)?(?P<number>-?[0-9]{1,30}(?:\.[0-9]{1,12})?)(?(x)|(?:x|\s*(?P<percent>%))?)", re.IGNORECASE | re.ASCII
)
_BOX = re.compile(
    r"(?P<width>-?[0-9]{1,30})?\s*(?:x\s*(?P<height>-?[0-9]{1,30})?)?\s*(?P<signs>[!^<>]{0,4})",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class ResultSize:
    """The size of one picture's result in pixels.

    untouched: the picture is large enough as it is, and nothing is to be done. note: one line for people, or None.
    """

    height: int
    width: int
    untouched: bool = False
    note: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


@dataclass(frozen=True)
class TargetSize:
    """What was asked for: a factor, or a box, or neither (the model's own factor). Made by :meth:`parse`.

    factor: 1 to 16. width, height: of the box in pixels; one alone leaves the other side free. fit: how the picture
    lies in the box. only_larger: no side ever becomes smaller. asked: the option, for messages; equal targets give
    equal results, whatever option asked for them.
    """

    factor: Decimal | None = None
    width: int | None = None
    height: int | None = None
    fit: Fit = "inside"
    only_larger: bool = False
    asked: str = field(default="the model's own factor", compare=False)

    @classmethod
    def parse(
        cls,
        scale: str | None = None,
        size: str | None = None,
        long_edge: int | None = None,
        short_edge: int | None = None,
        min_size: str | None = None,
    ) -> TargetSize:
        """The values of the options, of which one may be given. Raises UsageError.

        scale: ``4``, ``1.5``, ``200%``. size: ``WxH``, ``Wx``, ``W``, ``xH``, with ``^``, ``!``, ``>`` behind. Edges:
        that side's pixels, aspect kept. min_size: ``WxH``; both sides become at least that long, aspect kept.
        """
        values = (scale, size, long_edge, short_edge, min_size)
        names = ("--scale", "--size", "--long-edge", "--short-edge", "--min-size")
        given = [name for name, value in zip(names, values, strict=True) if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
        if scale is not None:
            return _scaled(scale)
        if size is not None:
            return _sized(size)
        if min_size is not None:
            return _at_least(min_size)
        if long_edge is not None:
            side = _side(long_edge, "--long-edge")
            return cls(width=side, height=side, asked=f"--long-edge {side}")
        if short_edge is not None:
            side = _side(short_edge, "--short-edge")
            return cls(width=side, height=side, fit="fill", asked=f"--short-edge {side}")
        return cls()

    def describe(self) -> str:
        """``x4``, ``x1.5``, ``3840x2160^``, ``width 3840``, ``height 2160>``: one text for each target.

        ``native`` is the model's own factor.
        """
        if self.factor is not None:
            return f"x{self.factor.normalize():f}"
        if self.width is None and self.height is None:
            return "native"
        if self.width is not None and self.height is not None:
            return self._box()
        side = "height" if self.width is None else "width"  # as a box it could be read as a factor: x4
        return f"{side} {self._box().replace('x', '')}"

    def _box(self) -> str:
        """What ``--size`` reads: ``3840x2160^``, ``3840x``, ``x2160>``."""
        box = f"{self.width or ''}x{self.height or ''}"
        return box + _SIGNS[self.fit] + (_ONLY_LARGER if self.only_larger else "")

    def result_size(self, height: int, width: int, native: int, name: str) -> ResultSize:
        """For an upright picture of this size and a model that enlarges ``native`` times; sides are rounded half up.

        name: of the picture's file. Raises FileFailure for a result of more than 16 times the picture's size.
        """
        tall, wide = self._sides(height, width, native)
        factor = max(Fraction(tall, height), Fraction(wide, width))
        if factor > MAX_FACTOR:
            raise FileFailure(
                f"{name}: {self.asked} is {_in_tenths(factor)} times its size; at most {MAX_FACTOR} times, "
                f"{MAX_FACTOR * width}x{MAX_FACTOR * height} here"
            )
        note = None
        if tall < height or wide < width:
            way_out = f"--size '{self._box()}{_ONLY_LARGER}' only ever enlarges"
            note = f"the result is smaller than the photo ({width}x{height} to {wide}x{tall}); {way_out}"
        return ResultSize(tall, wide, self.only_larger and (tall, wide) == (height, width), note)

    def _sides(self, height: int, width: int, native: int) -> tuple[int, int]:
        if self.fit == "exact":
            tall, wide = self.height or height, self.width or width
        else:
            factor = self._factor(height, width, native)
            tall, wide = (max(1, math.floor(side * factor + Fraction(1, 2))) for side in (height, width))
        return (max(tall, height), max(wide, width)) if self.only_larger else (tall, wide)

    def _factor(self, height: int, width: int, native: int) -> Fraction:
        """As an exact fraction, or a side that was asked for could be missed by a pixel."""
        if self.factor is not None:
            return Fraction(self.factor)
        pairs = ((self.height, height), (self.width, width))
        ratios = [Fraction(wanted, side) for wanted, side in pairs if wanted is not None]
        if not ratios:
            return Fraction(native)
        return max(ratios) if self.fit == "fill" else min(ratios)


def check_format_limit(format: str, height: int, width: int, name: str, *, fixed: bool = False) -> None:
    """Whether a result of this size can be written in ``format`` and read again; name: of its file.

    format: any that :func:`dfrestore.photo.encode` takes, else ValueError. fixed: no other size can be asked for.
    Raises FileFailure.
    """
    target = WRITTEN_AS.get(format) or normal_format(format)
    if target is None:
        raise ValueError(f"{format!r} is not written")
    limit = exceeded(target, height, width)
    if limit is None:
        return
    fitting = [f"use --format {other.lower()}" for other in ("PNG", "TIFF") if exceeded(other, height, width) is None]
    ways_out = fitting[:1] + ([] if fixed else ["ask for a smaller size"])
    raise FileFailure(
        f"{name}: a result of {width}x{height} is more than {target} holds ({limit}); {', or '.join(ways_out)}"
    )


def _scaled(text: str) -> TargetSize:
    found = _match(_FACTOR, text)
    if found is None:
        raise UsageError(f"--scale: {_quoted(text)} is not a factor like 4, 1.5 or 200%")
    factor = Decimal(found["number"]) / (100 if found["percent"] else 1)
    if not 1 <= factor <= MAX_FACTOR:
        way_out = "; for a certain size there is --size, like --size 3840x2160" if factor > MAX_FACTOR else ""
        raise UsageError(f"--scale: {_quoted(text)} is not a factor from 1 to {MAX_FACTOR}{way_out}")
    target = TargetSize(factor=factor)
    return replace(target, asked=f"--scale {target.describe().removeprefix('x')}")


def _sized(text: str) -> TargetSize:
    found = _match(_BOX, text)
    if found is None or not (found["width"] or found["height"]):
        raise UsageError(
            f"--size: {_quoted(text)} is not a size like 3840x2160 (fits inside), '3840x2160^' (fills), "
            "'3840x2160!' (exact), 3840x or x2160"
        )
    width, height = (_side(int(found[key]), "--size") if found[key] else None for key in ("width", "height"))
    fit, only_larger = _signs(found["signs"], text)
    if fit != "inside" and (width is None or height is None):
        other = "; for one edge there is --short-edge" if fit == "fill" else ""
        raise UsageError(f"--size: {_quoted(text)}: {_SIGNS[fit]} needs a width and a height{other}")
    target = TargetSize(width=width, height=height, fit=fit, only_larger=only_larger)
    return replace(target, asked=f"--size {target._box()}")


def _signs(signs: str, text: str) -> tuple[Fit, bool]:
    """How a picture lies in the box, and whether it is only ever enlarged."""
    if "<" in signs:
        raise UsageError(f"--size: {_quoted(text)}: < is not understood; > is what only ever enlarges here")
    if len(set(signs)) < len(signs):
        raise UsageError(f"--size: {_quoted(text)}: one of its signs stands there twice; write it once")
    if "^" in signs and "!" in signs:
        raise UsageError(f"--size: {_quoted(text)}: ^ (fills) and ! (exact) exclude each other; give one of them")
    fit: Fit = "fill" if "^" in signs else "exact" if "!" in signs else "inside"
    return fit, _ONLY_LARGER in signs


def _at_least(text: str) -> TargetSize:
    found = _match(_BOX, text)
    if found is None or not found["width"] or not found["height"] or found["signs"]:
        raise UsageError(f"--min-size: {_quoted(text)} is not a width and a height like 3840x2160")
    width, height = (_side(int(found[key]), "--min-size") for key in ("width", "height"))
    return TargetSize(width=width, height=height, fit="fill", only_larger=True, asked=f"--min-size {width}x{height}")


def _side(number: int, option: str) -> int:
    if not 1 <= number <= _MOST_PIXELS:
        shown = number if abs(number) <= _MOST_PIXELS else "such a number"  # Python writes none of 5000 digits
        raise UsageError(f"{option}: {shown} is not a side from 1 to {_MOST_PIXELS} pixels")
    return number


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return pattern.fullmatch(text.strip()) if len(text) <= _LONGEST else None


def _quoted(text: str) -> str:
    return f"'{text}'" if len(text) <= _LONGEST else f"'{text[:_LONGEST]}...'"


def _in_tenths(factor: Fraction) -> str:
    """Rounded up, so that a little more than the limit does not read like the limit."""
    return f"{math.ceil(factor * 10) / 10:.1f}".removesuffix(".0")
