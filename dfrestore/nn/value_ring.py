"""What windows need during a walk over a large picture: rows kept until their matrices are made, and sums of cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dfrestore.nn import window
from dfrestore.nn.branches import Mixing
from dfrestore.nn.cells import Grid, Piece, pieces
from dfrestore.nn.rows import Rows

# What a walk yields: (first, end) of some rows, and a function that adds the branch to their pixels (N, C) in place.
Mixed = Iterator[tuple[int, int, Callable[[Tensor], object]]]


class ValueRing:
    """Keeps rows until the matrices around them are made: steps in a ring, in columns that lie between two centres."""

    def __init__(self, x: Tensor, cells: Grid, how: Rows, branch: Mixing, most: int) -> None:
        """x: the picture's features. most: rows of a piece that is handed out."""
        down, across = cells.rows, cells.columns
        self._cells, self._how, self._most = cells, how, most
        # what the windows reach over, and what a strip adds to it
        strip = max(1, how.step(x.shape[1], x.shape[2] * branch.project.out_channels) // down.side)
        self._bands = min(down.bands, len(down.weights) + strip)
        shape = (self._bands * down.side // down.step_rows, across.bands, down.step_rows, across.side, x.shape[3])
        self._ring = how.store("kept", shape, x)
        self._next = 0  # band

    def keep(self, first: int, kept: Tensor) -> None:
        """kept (1, n, W, C), rows from ``first`` on."""
        stored = 0
        while stored < kept.shape[1]:
            steps = self._of_ring(first + stored, kept.shape[1] - stored)
            rows = kept[0, stored : stored + len(steps) * self._cells.rows.step_rows]
            for part, place in self._places(rows, steps):
                place.copy_(part)
            stored += len(rows)

    def mixed(self, made: dict[int, Tensor]) -> Mixed:
        """The bands for which all matrices are made.

        made: row of cells -> its matrices, of the centres left and right of each column; those that no later band needs
        are removed.
        """
        down = self._cells.rows
        ready = next((i for i in range(self._next, down.bands) if down.neighbours(i)[1] not in made), down.bands)
        for piece in pieces(down, range(self._next, ready), self._most, self._bands):
            first, end = piece.of(down)
            yield first, end, lambda rows, piece=piece: self._add(rows, piece, made)  # type: ignore[misc]
        self._next = ready
        for old in [j for j in made if j < down.neighbours(ready)[0]]:
            del made[old]

    def _add(self, rows: Tensor, piece: Piece, made: dict[int, Tensor]) -> None:
        """rows (N, C) of the picture += what was kept of them times its matrices."""
        how, channels = self._how, rows.shape[1]
        kept = self._of_ring(piece.of(self._cells.rows)[0], piece.count)
        products = how.buffer("products", (*kept.shape[:-1], 2 * channels), kept)
        out = how.buffer("mixed", tuple(kept.shape), kept)
        window.multiply(kept.to(how.dtype), self._matrices(piece, made), out=(products, out))
        for part, mixed in self._places(rows.view(piece.count, -1, channels), out):
            part += mixed

    def _of_ring(self, first: int, rows: int) -> Tensor:
        """The steps of so many rows from ``first`` on, a step's first, or up to the end of the ring."""
        down = self._cells.rows
        begin = (first - down.begin(0)) // down.step_rows % len(self._ring)
        return self._ring[begin : begin + math.ceil(rows / down.step_rows)]

    def _places(self, rows: Tensor, steps: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Views of the same values in rows (n, W, C) and in steps; the last step may be cut by the picture's end."""
        height, columns = self._cells.rows.step_rows, self._cells.columns
        full = len(rows) // height
        if full:
            yield from window.columns_of(
                torch.unflatten(rows[: full * height], 0, (full, height)), steps[:full], columns
            )
        if full < len(steps):
            rest = rows[None, full * height :]
            yield from window.columns_of(rest, steps[full:, :, : rest.shape[1]], columns)

    def _matrices(self, piece: Piece, made: dict[int, Tensor]) -> Tensor:
        """(steps, columns, C, 2C)."""
        down = self._cells.rows
        first, end = piece.rows.start // down.step_rows, math.ceil(piece.rows.stop / down.step_rows)
        like = next(iter(made.values()))
        memory = self._how.buffer("matrices", (1, len(piece.bands) * (end - first), *like.shape[1:]), like)
        for band, out in zip(piece.bands, torch.split(memory, end - first, dim=1), strict=True):
            above, below = (made[j] for j in down.neighbours(band))
            window.between(above, below, down, slice(first, end), out=out)
        return memory[0]


class CellSums:
    """The sums of the last rows of cells, as far back as a window reaches."""

    def __init__(self, cells: Grid, branch: Mixing) -> None:
        self._cells, self._branch = cells, branch
        self._held: dict[int, Tensor] = {}  # (1, cells, K)

    def add(self, first: int, summed: Tensor) -> None:
        """Add rows from ``first`` on, (1, n, W, S): those of several rows of cells, or some of those of one."""
        side = self._cells.rows.side
        full = summed.shape[1] // side  # none of them where ``first`` is not a cell's first row
        parts = [torch.unflatten(summed[0, : full * side], 0, (full, side))] if full else []
        parts += [summed[:, full * side :]] if summed.shape[1] % side else []
        row = first // side
        for part in parts:
            for found in torch.split(self._branch.sums_of_cells(part, self._cells.columns), 1):
                held = self._held.get(row)
                self._held[row] = found if held is None else held + found
                row += 1

    def in_window(self, i: int) -> list[Tensor]:
        """The sums (1, cells, K) of the rows in the window of cell row ``i``; sums not needed later are dropped."""
        used = self._cells.rows.window(i)
        for old in [j for j in self._held if j < used[0]]:
            del self._held[old]
        return [self._held[j] for j in used]
