"""Attention statistics of a part of the picture: sums over cells, windows of cells, matrices between cell centres.

Transposed attention is one C x C matrix from sums over all pixels: on a picture much larger than the training patches
those are other sums than the network has learnt from. Here q.k and the squared norms are summed by cells of a coarse
grid; all three are summed over neighbouring cells with the same weights, so that a window spans about the training
patch; what follows from them is a matrix for each cell, and between the cells' centres it is interpolated: no seams.
(After the idea of Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation", ECCV 2022,
who take a window for each pixel.) Everything is differentiable.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrestore.nn.blocks import UNIT_EPS, TransposedAttention
from dfrestore.nn.cells import Axis, Grid
from dfrestore.nn.sums import sums

# -- sums -----------------------------------------------------------------------------------------------------------


def sums_of_cells(qk: Tensor, columns: Axis, heads: int) -> tuple[Tensor, Tensor]:
    """q.k (B, cells, heads, c, c) and squared norms (B, cells, 2, C) of rows of a row of cells, in fp32 at least.

    qk: (B, n, W, 2C), q beside k.
    """
    width, side = qk.shape[2], columns.side
    full = width // side
    parts = [(qk[:, :, : full * side], full), (qk[:, :, full * side :], columns.cells - full)]  # the last is shorter
    found = [_sums_of_cells(part, cells, heads) for part, cells in parts if cells]
    gram, squares = (x[0] if len(x) == 1 else torch.cat(x, dim=1) for x in zip(*found, strict=True))
    return gram, squares


def _sums_of_cells(qk: Tensor, cells: int, heads: int) -> tuple[Tensor, Tensor]:
    b, n, width, both = qk.shape
    side, c = width // cells, both // 2 // heads
    wide = torch.promote_types(qk.dtype, torch.float32)
    apart = qk.view(b, n, cells, side, 2, heads, c).permute(0, 2, 5, 1, 3, 4, 6)
    gram, squares = sums(apart.reshape(b * cells * heads, n * side, 2 * c))
    squares = squares.to(wide).view(b, cells, heads, 2, c).transpose(2, 3).reshape(b, cells, 2, both // 2)
    return gram.to(wide).view(b, cells, heads, c, c), squares


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


def around(above: Tensor, below: Tensor) -> Tensor:
    """(B, cells + 1, 4C, C): for each column of a band, the matrices left and right, above and below, as a stack.

    above, below (B, cells, C, C): the matrices of the rows of cells between whose centres the band lies.
    """
    left_and_right = ([torch.cat([m[:, :1], m], dim=1), torch.cat([m, m[:, -1:]], dim=1)] for m in (above, below))
    return torch.cat([matrix for pair in left_and_right for matrix in pair], dim=2)


def shares(cells: Grid, like: Tensor) -> Tensor:
    """(rows, columns, 4, 1): how much of each of :func:`around` a position between four centres takes."""
    down, across = (_between_centres(axis.side) for axis in (cells.rows, cells.columns))
    return (down[:, None, :, None] * across[None, :, None, :]).flatten(2)[..., None].to(like.device, like.dtype)


def _between_centres(side: int) -> Tensor:
    """(side, 2): how much of a position's matrix is that of the centre before it and of the one after it."""
    after = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    return torch.stack([1 - after, after], dim=1)


def multiply(v: Tensor, shares: Tensor, around: Tensor, out: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """v (B, columns, n, side, C) times the matrices around, interpolated between the centres of cells: the same shape.

    Columns lie between centres as bands do; one product with the four matrices at once. shares: of the n rows of v.
    around (B, columns, 4C, C). out: memory for (B, columns, n, side, 4, C) and for the result.
    """
    weighted, result = out or (None, None)
    weighted = torch.mul(v.unsqueeze(-2), shares, out=weighted).flatten(4).flatten(0, 1).flatten(1, 2)
    shape = (*weighted.shape[:2], v.shape[-1])
    return torch.bmm(weighted, around.flatten(0, 1), out=None if result is None else result.view(shape)).view(v.shape)


def add_columns(rows: Tensor, v: Tensor, columns: Axis) -> None:
    """rows (B, n, W, C) += v (B, columns, n, side, C), of :func:`multiply`, in place."""
    v = v.transpose(1, 2)
    half, width = columns.side // 2, columns.length
    full = (width - half) // columns.side
    end = half + full * columns.side
    rows[:, :, :half] += v[:, :, 0, half : half + min(half, width)]
    torch.unflatten(rows[:, :, half:end], 2, (full, columns.side)).add_(v[:, :, 1 : 1 + full])
    if end < width:
        rows[:, :, end:] += v[:, :, 1 + full, : width - end]


def attend(q: Tensor, k: Tensor, v: Tensor, attn: TransposedAttention, cells: Grid) -> Tensor:
    """Attention and its output projection (without bias) under local statistics; q, k, v (B, H, W, C)."""
    b, height, width, channels = v.shape
    rows, columns = cells.rows, cells.columns
    qk = F.pad(torch.cat([q, k], dim=-1), (0, 0, 0, 0, 0, rows.cells * rows.side - height))
    found = sums_of_cells(qk.view(b * rows.cells, rows.side, width, 2 * channels), columns, attn.heads)
    by_row = [x.view(b, rows.cells, *x.shape[1:]).unbind(1) for x in found]  # of each row of cells: (B, cells, ...)
    of_row = []
    for i in range(rows.cells):
        gram, squares = (window_sums([row[j] for j in rows.window(i)], rows, columns) for row in by_row)
        of_row.append(matrices(gram, squares, attn).to(v.dtype))
    each = [around(*(of_row[j] for j in rows.around(i))) for i in range(rows.bands)]
    matrix = torch.stack(each, dim=1).flatten(0, 1)
    return _unblocked(multiply(_blocked(v, cells), shares(cells, v), matrix), cells, height, width)


def _blocked(v: Tensor, cells: Grid) -> Tensor:
    """(B, H, W, C) -> (B * bands, bands, side, side, C): what lies between the same centres, zero outside."""
    axes = cells.columns, cells.rows
    pads = [(a.side // 2, a.bands * a.side - a.side // 2 - a.length) for a in axes]
    v = F.pad(v, (0, 0, *pads[0], *pads[1]))
    v = v.view(len(v), cells.rows.bands, cells.rows.side, cells.columns.bands, cells.columns.side, v.shape[-1])
    return v.transpose(2, 3).contiguous().flatten(0, 1)


def _unblocked(blocks: Tensor, cells: Grid, height: int, width: int) -> Tensor:
    v = torch.unflatten(blocks, 0, (-1, cells.rows.bands)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    top, left = cells.rows.side // 2, cells.columns.side // 2
    return v[:, top : top + height, left : left + width]
