"""The cells and windows of a picture: where sums are gathered, and between which centres matrices are interpolated.

Along an axis the positions are cut into cells of equal side. The window of a cell is made of the cells around it, each
with a weight; at the borders windows are shifted inwards. A picture no larger than a window is one window. Between
centres the matrices change from column to column across, and in steps of a few rows down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from dfrestore.windows import Windows

LEAST_CELL = 16  # positions: windows of fewer cost more and gain nothing (measured)
CELLS_A_WINDOW = 4
# Steps down from centre to centre, at least, as long as a step has a row: finer ones cost more, and change less than
# 16 bit do (measured). Steps of more than MOST_STEP_ROWS rows gain nothing.
STEPS, MOST_STEP_ROWS = 8, 4


@dataclass(frozen=True)
class Axis:
    """``length`` positions in ``cells`` cells of ``side`` (the last one may be shorter).

    ``step_rows`` rows are a step; half a side is a whole number of them. The window of cell i is made of the cells from
    ``first[i]`` on, as many as there are ``weights``, which say how much of each is in it, from 0 to 1.
    """

    length: int
    side: int
    step_rows: int
    cells: int
    first: tuple[int, ...]
    weights: tuple[float, ...]

    def window(self, i: int) -> range:
        """The cells in the window of cell i."""
        return range(self.first[i], self.first[i] + len(self.weights))

    @property
    def bands(self) -> int:
        """How many bands there are: band i lies between the centres of cells i - 1 and i, the outer two are halves."""
        return self.cells + 1

    def begin(self, i: int) -> int:
        """Where band i would begin if it were full: at the centre of cell i - 1."""
        return i * self.side - self.side // 2

    def band(self, i: int) -> tuple[int, int]:
        """First position and end of band i; the last one is empty where the last cell ends at its centre."""
        return min(self.length, max(0, self.begin(i))), min(self.length, self.begin(i + 1))

    def is_full(self, i: int) -> bool:
        """Whether band i is of a whole side."""
        first, end = self.band(i)
        return end - first == self.side

    def neighbours(self, i: int) -> tuple[int, int]:
        """The cells between whose centres band i lies; at the border the same one twice."""
        return max(0, i - 1), min(i, self.cells - 1)


@dataclass(frozen=True)
class Grid:
    """The cells of a picture."""

    rows: Axis
    columns: Axis

    @property
    def whole(self) -> bool:
        """Whether every window is the whole picture."""
        return all(axis.weights == (1.0,) * axis.cells for axis in (self.rows, self.columns))


@dataclass(frozen=True)
class Piece:
    """``rows`` of each of the ``bands``: all of several, or some of one (counted from where it would begin)."""

    bands: range
    rows: range

    @property
    def count(self) -> int:
        """How many rows it has in all."""
        return len(self.bands) * len(self.rows)

    def of(self, axis: Axis) -> tuple[int, int]:
        """First position and end."""
        return axis.begin(self.bands[0]) + self.rows.start, axis.begin(self.bands[-1]) + self.rows.stop


def pieces(axis: Axis, bands: range, most: int, ring: int) -> Iterator[Piece]:
    """The bands in pieces of about ``most`` positions, or one band, or one step.

    Bands lie in a ring of ``ring`` bands: no piece crosses its end.
    """
    i = bands.start
    while i < bands.stop:
        first, end = (place - axis.begin(i) for place in axis.band(i))
        count = min(most // axis.side, bands.stop - i, ring - i % ring)
        full = list(takewhile(axis.is_full, range(i, i + count)))
        if len(full) > 1:
            yield Piece(range(i, i + len(full)), range(axis.side))
            i += len(full)
            continue
        step = evenly(end - first, most, axis.step_rows)
        yield from (Piece(range(i, i + 1), range(k, min(k + step, end))) for k in range(first, end, step))
        i += 1


def evenly(length: int, most: int, multiple: int = 1) -> int:
    """The size of equal parts of ``length``, about ``most`` each, of whole multiples; the last part may be smaller."""
    return multiple * max(1, math.ceil(length / max(1, round(length / most)) / multiple))


def grid(height: int, width: int, window: float) -> Grid:
    """Cells and windows for a level of ``height`` x ``width`` positions; window: its side in positions."""
    return Grid(axis(height, window), axis(width, window))


def cells_of(windows: Windows | None, level: int, height: int, width: int, picture: int) -> Grid | None:
    """Cells for a level of ``height`` x ``width`` positions, the picture ``picture`` pixels high; None: no windows."""
    side = None if windows is None else windows.at(level)
    return None if side is None else grid(height, width, side * height / picture)


@lru_cache(256)
def axis(length: int, window: float) -> Axis:
    """One axis. A cell is about a quarter of the window, but at least :data:`LEAST_CELL` positions."""
    least = max(LEAST_CELL, window / CELLS_A_WINDOW)
    step_rows = min(max(1, int(least / STEPS)), MOST_STEP_ROWS)
    side = _side(length, least, 2 * step_rows)
    cells = math.ceil(length / side)
    half = max(window / side, 1) / 2  # of a window, in cells
    if length <= window or cells <= 2 * half:
        return Axis(length, side, step_rows, cells, (0,) * cells, (1.0,) * cells)
    reach = min(math.ceil(half - 0.5), (cells - 1) // 2)
    weights = tuple(min(1.0, max(0.0, half + 0.5 - abs(offset))) for offset in range(-reach, reach + 1))
    first = tuple(min(max(0, i - reach), cells - 1 - 2 * reach) for i in range(cells))
    return Axis(length, side, step_rows, cells, first, weights)


def _side(length: int, least: float, multiple: int) -> int:
    """Of cells of ``least`` or up to a third more: the multiple that leaves the last cell the fullest."""
    lowest = math.ceil(least / multiple) * multiple
    sides = range(lowest, max(lowest, int(least * 4 / 3)) + 1, multiple)
    return max(sides, key=lambda side: ((length - 1) % side + 1) / side)
