"""What follows from the names and shapes of a network's tensors, whatever the method."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence


def count_of(shapes: Mapping[str, tuple[int, ...]], begin: str, end: str = "") -> int:
    """How many numbers i there are in names of the form ``begin.i.end...``"""
    pattern = re.compile(rf"{re.escape(begin)}\.(\d+)\.{re.escape(end)}")
    return len({found[1] for key in shapes if (found := pattern.match(key))})


def factor_of(sizes: Sequence[tuple[int, int]]) -> float:
    """The shortest decimal f with int(width * f) = hidden for each (width, hidden): authors' int() drops the rest.

    Raises ValueError where there is none, ZeroDivisionError for a width of 0.
    """
    low = max(hidden / width for width, hidden in sizes)
    for decimals in range(7):
        scale = float(10**decimals)
        start = int(low * scale)
        for factor in (start / scale, (start + 1) / scale):
            if all(int(width * factor) == hidden for width, hidden in sizes):
                return factor
    raise ValueError(f"no feed-forward factor gives the hidden widths {[hidden for _, hidden in sizes]}")
