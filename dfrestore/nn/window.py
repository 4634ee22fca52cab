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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrestore.nn.blocks import UNIT_EPS, TransposedAttention
from dfrestore.windows import Windows

LEAST_CELL = 8  # positions
CELLS_A_WINDOW = 4


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
class Band:
    """Rows from ``first`` to ``end``, which lie between the centres of the cell rows ``above`` and ``below``."""

    first: int
    end: int
    above: int
    below: int


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


def cells_of(windows: Windows | None, level: int, height: int, width: int, picture: int) -> Grid | None:
    """Cells for a level of ``height`` x ``width`` positions, the picture ``picture`` pixels high; None: no windows."""
    side = None if windows is None else windows.at(level)
    return None if side is None else grid(height, width, side * height / picture)


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


def sums_of_cells(qk: Tensor, columns: Axis, heads: int) -> tuple[Tensor, Tensor]:
    """q.k (B, cells, heads, c, c) and squared norms (B, cells, 2, C) of rows of one row of cells, in fp32 at least.

    qk: (B, n, W, 2C), q beside k.
    """
    b, n, _, both = qk.shape
    wide = torch.promote_types(qk.dtype, torch.float32)
    qk = F.pad(qk, (0, 0, 0, columns.cells * columns.side - columns.length))
    qk = qk.view(b, n, columns.cells, columns.side, both).transpose(1, 2)
    qk = qk.reshape(b * columns.cells, n * columns.side, both)
    slices = qk.view(*qk.shape[:2], 2, heads, both // 2 // heads).unbind(3)  # of each head: (B * cells, N, 2, c)
    gram = torch.stack([torch.bmm(x[:, :, 0].transpose(1, 2), x[:, :, 1]) for x in slices], dim=1).to(wide)
    squares = (qk * qk).sum(dim=1).to(wide)  # asked for fp32 at once, PyTorch copies all of it
    return gram.view(b, columns.cells, *gram.shape[1:]), squares.view(b, columns.cells, 2, both // 2)


def window_sums(cells: Sequence[Tensor], rows: Axis, columns: Axis) -> Tensor:
    """Sums over the windows of one row of cells: cells, the rows in its window, each (B, cells, ...)."""
    down = _weighted_sum(cells, rows.weights)
    inside = columns.cells - len(columns.weights) + 1
    across = _weighted_sum([down[:, o : o + inside] for o in range(len(columns.weights))], columns.weights)
    before = columns.first.count(0) - 1  # windows shifted inwards at the borders are the same there
    after = columns.cells - inside - before
    return torch.cat([across[:, :1].expand_as(down[:, :before]), across, across[:, -1:].expand_as(down[:, :after])], 1)


def _weighted_sum(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total = torch.add(total, part, alpha=weight)
    return total


def matrices(gram: Tensor, squares: Tensor, attn: TransposedAttention) -> Tensor:
    """(B, cells, C, C), to multiply v with from the right: the normalised sums' softmax, output projection folded in.

    gram (B, cells, heads, c, c), squares (B, cells, 2, C): sums of windows, or of a whole picture as one cell.
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


def bands(rows: Axis) -> Iterator[Band]:
    """The rows between the borders and the centres of cells, from top to bottom."""
    half = rows.side // 2
    for first in range(0, rows.length, half):
        below = (first + half) // rows.side
        yield Band(first, min(first + half, rows.length), max(0, below - 1), min(below, rows.cells - 1))


def corners(above: Tensor, below: Tensor) -> Tensor:
    """(B, cells + 1, 4C, C): of each segment of a band, the matrices around it, left and right, above and below.

    above, below (B, cells, C, C): the matrices of the cell rows that the band lies between.
    """
    left_and_right = ([torch.cat([m[:, :1], m], dim=1), torch.cat([m, m[:, -1:]], dim=1)] for m in (above, below))
    return torch.cat([matrix for pair in left_and_right for matrix in pair], dim=2)


class Corners:
    """:func:`corners` of band after band, made once for those that follow each other between the same cells.

    matrices: of each row of cells, (B, cells, C, C), as far as the bands that are asked for need them.
    """

    def __init__(self, matrices: Mapping[int, Tensor]) -> None:
        self._matrices = matrices
        self._rows = (-1, -1)
        self._made = torch.empty(0)

    def around(self, band: Band) -> Tensor:
        """Those of the band, (B, cells + 1, 4C, C)."""
        rows = band.above, band.below
        if rows != self._rows:
            self._rows, self._made = rows, corners(*(self._matrices[i] for i in rows))
        return self._made


def multiply(v: Tensor, around: Tensor, band: Band, cells: Grid) -> Tensor:
    """v (B, n, W, C), the rows of a band, times the matrices interpolated between the centres of cells.

    around: :func:`corners`. Each quarter of four neighbouring cells that lies between their centres is one product
    with the four matrices.
    """
    b, n, width, channels = v.shape
    side, segments = cells.columns.side, cells.columns.cells + 1
    v = F.pad(v, (0, 0, side // 2, segments * side - side // 2 - width))
    v = v.view(b, n, segments, side, channels).transpose(1, 2).contiguous()
    shares = _shares(band.first, n, cells.rows.side)[:, None, :, None] * _shares(side // 2, side, side)[:, None]
    shares = shares.flatten(2)[..., None].to(v.device, v.dtype)  # (n, side, 4, 1)
    weighted = (v.unsqueeze(-2) * shares).view(b * segments, n * side, 4 * channels)
    out = torch.bmm(weighted, around.flatten(0, 1)).view(b, segments, n, side, channels).transpose(1, 2)
    return out.reshape(b, n, segments * side, channels)[:, :, side // 2 : side // 2 + width]


def _shares(first: int, count: int, side: int) -> Tensor:
    """(count, 2): how much of a position's matrix is that of the centre before it and of the one after it."""
    after = (torch.arange(first, first + count, dtype=torch.float64) + 0.5 + side / 2) / side % 1
    return torch.stack([1 - after, after], dim=1)


def attend(q: Tensor, k: Tensor, v: Tensor, attn: TransposedAttention, cells: Grid) -> Tensor:
    """Attention and its output projection (without bias) under local statistics; q, k, v (B, H, W, C)."""
    b, height, width, channels = v.shape
    rows, columns = cells.rows, cells.columns
    qk = F.pad(torch.cat([q, k], dim=-1), (0, 0, 0, 0, 0, rows.cells * rows.side - height))
    sums = sums_of_cells(qk.view(b * rows.cells, rows.side, width, 2 * channels), columns, attn.heads)
    by_row = [x.view(b, rows.cells, *x.shape[1:]).unbind(1) for x in sums]  # of each row of cells: (B, cells, ...)
    of_row = {}
    for i in range(rows.cells):
        gram, squares = (window_sums([row[j] for j in rows.window(i)], rows, columns) for row in by_row)
        of_row[i] = matrices(gram, squares, attn).to(v.dtype)
    made = Corners(of_row)
    return torch.cat([multiply(v[:, b.first : b.end], made.around(b), b, cells) for b in bands(rows)], dim=1)
