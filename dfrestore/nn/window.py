"""Attention statistics of a part of the picture: sums over cells, windows of cells, matrices between cell centres.

Transposed attention is one C x C matrix from sums over all pixels: on a picture much larger than the training patches
those are other sums than the network has learnt from. Here q.k and the squared norms are summed by cells of a coarse
grid; all three are summed over neighbouring cells with the same weights, so that a window spans about the training
patch; what follows from them is a matrix for each cell, and between the cells' centres it is interpolated: no seams.
(After the idea of Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation", ECCV 2022,
who take a window for each pixel.) At the borders windows are shifted inwards. A picture no larger than the window has
one window: the whole picture's sums. Everything is differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrestore.nn.blocks import UNIT_EPS, TransposedAttention

LEAST_CELL = 8  # positions
CELLS_A_WINDOW = 4
# A cell's rows share a matrix in so many groups; between them it is interpolated (along a row: for every column).
ROW_GROUPS = 8


@dataclass(frozen=True)
class Axis:
    """``length`` positions in ``cells`` cells of ``side`` (even; the last one may be shorter).

    The window of cell i is made of the cells from ``first[i]`` on, as many as there are ``weights``, which say how
    much of each is in it, from 0 to 1.
    """

    length: int
    side: int
    cells: int
    first: tuple[int, ...]
    weights: tuple[float, ...]

    def window(self, i: int) -> range:
        """The cells in the window of cell i."""
        return range(self.first[i], self.first[i] + len(self.weights))


@dataclass(frozen=True)
class Grid:
    """The cells of a picture."""

    rows: Axis
    columns: Axis

    @property
    def whole(self) -> bool:
        """Whether every window is the whole picture."""
        return all(axis.weights == (1.0,) * axis.cells for axis in (self.rows, self.columns))


def grid(height: int, width: int, window: float) -> Grid:
    """Cells and windows for a level of ``height`` x ``width`` positions; window: its side in positions."""
    return Grid(axis(height, window), axis(width, window))


def cells_of(window: int | None, height: int, width: int, picture: int) -> Grid | None:
    """Cells for a level of ``height`` x ``width`` positions of a picture ``picture`` pixels high; None for no windows.

    window: side of the windows in pixels of the picture.
    """
    return None if window is None else grid(height, width, window * height / picture)


@lru_cache(256)
def axis(length: int, window: float) -> Axis:
    """One axis. A cell is a quarter of the window, but at least :data:`LEAST_CELL` positions."""
    side = max(LEAST_CELL, window / CELLS_A_WINDOW)
    side = 2 * math.ceil(length / max(1, math.floor(length / side)) / 2)
    cells = math.ceil(length / side)
    half = max(window / side, 1) / 2  # of a window, in cells
    if length <= window or cells <= 2 * half:
        return Axis(length, side, cells, (0,) * cells, (1.0,) * cells)
    reach = min(math.ceil(half - 0.5), (cells - 1) // 2)
    weights = tuple(min(1.0, max(0.0, half + 0.5 - abs(offset))) for offset in range(-reach, reach + 1))
    return Axis(
        length, side, cells, tuple(min(max(0, i - reach), cells - 1 - 2 * reach) for i in range(cells)), weights
    )


# -- sums -----------------------------------------------------------------------------------------------------------


def sums_of_cells(q: Tensor, k: Tensor, columns: Axis, heads: int) -> tuple[Tensor, Tensor]:
    """q.k (B, cells, heads, c, c) and squared norms (B, cells, 2, C) of rows of one row of cells, in fp32 at least.

    q, k: (B, n, W, C).
    """
    b, n, _, channels = q.shape
    wide = torch.promote_types(q.dtype, torch.float32)

    def split(x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, columns.cells * columns.side - columns.length))
        x = x.view(b, n, columns.cells, columns.side, heads, channels // heads)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(b * columns.cells * heads, n * columns.side, channels // heads)

    q, k = split(q), split(k)
    gram = torch.bmm(q.transpose(1, 2), k).to(wide)
    squares = torch.stack([(x * x).sum(dim=1, dtype=wide) for x in (q, k)], dim=1)
    squares = squares.view(b, columns.cells, heads, 2, channels // heads).transpose(2, 3)
    return (
        gram.view(b, columns.cells, heads, channels // heads, channels // heads),
        squares.reshape(b, columns.cells, 2, channels),
    )


def window_sums(cells: Sequence[Tensor], rows: Axis, columns: Axis) -> Tensor:
    """Sums over the windows of one row of cells: cells, the rows in its window, each (B, cells, ...)."""
    down = torch.stack([weight * row for weight, row in zip(rows.weights, cells, strict=True)]).sum(dim=0)
    first = torch.tensor(columns.first, device=down.device)
    return torch.stack([weight * down[:, first + o] for o, weight in enumerate(columns.weights)]).sum(dim=0)


def matrices(gram: Tensor, squares: Tensor, attn: TransposedAttention) -> Tensor:
    """(B, cells, C, C), to multiply v with from the right: the normalised sums' softmax, output projection folded in.

    gram (B, cells, heads, c, c), squares (B, cells, 2, C): sums of windows.
    """
    heads, c = gram.shape[2], gram.shape[3]
    channels = heads * c
    scale = squares.clamp_min(UNIT_EPS**2).rsqrt().view(*squares.shape[:3], heads, c)
    normalised = gram * scale[:, :, 0, :, :, None] * scale[:, :, 1, :, None, :]
    attention = (normalised * attn.temperature.to(gram.dtype)).softmax(dim=-1)
    projection = attn.project_out.weight.to(gram.dtype).view(channels, heads, c)
    # W A, head by head: columns of the projection that belong to a head times that head's matrix, transposed
    return torch.einsum("ohi,bxhij->bxhjo", projection, attention).reshape(*gram.shape[:2], channels, channels)


# -- application ----------------------------------------------------------------------------------------------------


def row_groups(rows: Axis) -> Iterator[tuple[int, int, int, float]]:
    """(first, end, i, f): rows whose matrices are (1 - f) of cell row i and f of cell row i + 1, from top to bottom.

    No group crosses the border or the centre of a cell. f is that of the middle of the group.
    """
    half = rows.side // 2
    step = max(1, rows.side // ROW_GROUPS)
    for start in range(0, rows.length, half):
        for first in range(start, min(start + half, rows.length), step):
            end = min(first + step, start + half, rows.length)
            place = (first + end) / 2 / rows.side - 0.5
            i = min(max(math.floor(place), 0), max(0, rows.cells - 2))
            yield first, end, i, min(1.0, max(0.0, place - i)) if rows.cells > 1 else 0.0


def multiply(v: Tensor, matrix: Tensor, columns: Axis) -> Tensor:
    """v (B, n, W, C) times the matrices (B, cells, C, C), interpolated between the centres of cells along a row.

    Each half of two neighbouring cells that lies between their centres is one product with both matrices.
    """
    b, n, width, channels = v.shape
    side, segments = columns.side, columns.cells + 1
    padded = F.pad(v, (0, 0, side // 2, segments * side - side // 2 - width)).view(b, n, segments, side, channels)
    right = ((torch.arange(side, dtype=torch.float64) + 0.5) / side).to(v.device, v.dtype)[:, None]
    both = torch.cat([padded * (1 - right), padded * right], dim=-1)
    both = both.transpose(1, 2).reshape(b * segments, n * side, 2 * channels)
    edge = torch.arange(segments, device=v.device)
    pairs = [matrix[:, (edge - 1).clamp_min(0)], matrix[:, edge.clamp_max(columns.cells - 1)]]
    weight = torch.cat(pairs, dim=2).view(b * segments, 2 * channels, channels)
    out = torch.bmm(both, weight).view(b, segments, n, side, channels).transpose(1, 2)
    return out.reshape(b, n, segments * side, channels)[:, :, side // 2 : side // 2 + width]


def attend(q: Tensor, k: Tensor, v: Tensor, attn: TransposedAttention, cells: Grid) -> Tensor:
    """Attention and its output projection (without bias) under local statistics; q, k, v (B, H, W, C)."""
    b, height, width, channels = v.shape
    rows, columns = cells.rows, cells.columns

    def by_cell_rows(x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, 0, 0, rows.cells * rows.side - height))
        return x.view(b * rows.cells, rows.side, width, channels)

    sums = sums_of_cells(by_cell_rows(q), by_cell_rows(k), columns, attn.heads)
    by_row = [x.view(b, rows.cells, *x.shape[1:]).unbind(1) for x in sums]  # of each row of cells: (B, cells, ...)
    of_row = []
    for i in range(rows.cells):
        gram, squares = (window_sums([row[j] for j in rows.window(i)], rows, columns) for row in by_row)
        of_row.append(matrices(gram, squares, attn).to(v.dtype))
    parts = []
    for first, end, i, f in row_groups(rows):
        matrix = torch.lerp(of_row[i], of_row[min(i + 1, rows.cells - 1)], f)
        parts.append(multiply(v[:, first:end], matrix, columns))
    return torch.cat(parts, dim=1)
