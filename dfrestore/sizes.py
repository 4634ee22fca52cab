"""Sizes as people write them: ``8G`` of memory, ``200M`` pixels."""

from __future__ import annotations

import re

from dfrestore.errors import UsageError

_NUMBER = r"([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([KMGT]?)"
_BYTES = re.compile(rf"{_NUMBER}(?:i?B)?", re.IGNORECASE | re.ASCII)
_PIXELS = re.compile(rf"{_NUMBER}(?:P|px)?", re.IGNORECASE | re.ASCII)
_LETTERS = "KMGT"


def parse_bytes(text: str, name: str) -> int:
    """``8G``, ``512M``, ``1.5 GiB``, ``64kb``, ``800`` -> bytes, in powers of 1024; 0 is a size too.

    name: of the option or setting, for the message. Raises :class:`UsageError`.
    """
    value = _scaled(_BYTES, text, 1024)
    if value is None:
        raise UsageError(f"{name}: '{text}' is not a size like 8G or 512M")
    return value


def parse_pixels(text: str, name: str) -> int:
    """``200M``, ``64000000``, ``24Mpx`` -> a number of pixels, in powers of 1000. Raises :class:`UsageError`."""
    value = _scaled(_PIXELS, text, 1000)
    if value is None:
        raise UsageError(f"{name}: '{text}' is not a number of pixels like 200M")
    return value


def _scaled(pattern: re.Pattern[str], text: str, base: int) -> int | None:
    found = pattern.fullmatch(text.strip())
    if found is None:
        return None
    return int(float(found[1]) * base ** (_LETTERS.index(found[2].upper()) + 1 if found[2] else 0))
