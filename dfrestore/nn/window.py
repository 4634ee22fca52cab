"""Attention statistics of a part of the picture: sums over cells, windows of cells, matrices between cell centres.

Transposed attention is one C x C matrix from sums over all pixels: on a picture much larger than the training patches
those are other sums than the network has learnt from. Here q.k and the squared norms are summed by cells of a coarse
grid; all three are summed over neighbouring cells with the same weights, so that a window spans about the training
patch; what follows from them is a matrix for each cell, and between the cells' centres it is interpolated: no seams.
(After the idea of Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation", ECCV 2022,
who take a window for each pixel.) Everything is differentiable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrestore.nn.blocks import UNIT_EPS, TransposedAttention
from dfrestore.nn.cells import Axis, Grid
from dfrestore.nn.sums import sums

# -- sums -----------------------------------------------------------------------------------------------------------


def sums_of_cells(qk: Tensor, columns: Axis, heads: int) -> Tensor:
    """(B, cells, K) from rows of a row of cells, in fp32 at least: q.k and squared norms, one after the other.

    qk: (B, n, W, 2C), q beside k.
    """
    width, side = qk.shape[2], columns.side
    full = width // side
    parts = [(qk[:, :, : full * side], full), (qk[:, :, full * side :], columns.cells - full)]  # the last is shorter
    found = [_sums_of_cells(part, cells, heads) for part, cells in parts if cells]
    return found[0] if len(found) == 1 else torch.cat(found, dim=1)


def _sums_of_cells(qk: Tensor, cells: int, heads: int) -> Tensor:
    b, n, width, both = qk.shape
    side, c = width // cells, both // 2 // heads
    wide = torch.promote_types(qk.dtype, torch.float32)
    apart = qk.view(b, n, cells, side, 2, heads, c).permute(0, 2, 5, 1, 3, 4, 6)
    found = sums(apart.reshape(b * cells * heads, n * side, 2 * c))
    return torch.cat([x.reshape(b, cells, -1).to(wide) for x in found], dim=2)


def _window_sums(cells: Sequence[Tensor], rows: Axis, columns: Axis) -> Tensor:
    """Sums over the windows of one row of cells: cells, the rows in its window, each (B, cells, K)."""
    stacked = torch.stack(tuple(cells)).flatten(1)
    down = stacked.new_tensor(rows.weights)[None] @ stacked
    across = _windows(columns, down.dtype, down.device)
    return across @ down.view_as(cells[0])


@lru_cache(64)
@torch.inference_mode(False)
def _windows(axis: Axis, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(cells, cells): how much of each cell is in the window of each."""
    share = torch.zeros(axis.cells, axis.cells, dtype=dtype)
    for i in range(axis.cells):
        share[i, list(axis.window(i))] = torch.tensor(axis.weights, dtype=dtype)
    return share.to(device)


def matrices(gram: Tensor, squares: Tensor, attn: TransposedAttention) -> Tensor:
    """(B, cells, C, C), to multiply v with from the right: the normalised sums' softmax, output projection folded in.

    gram (B, cells, heads, c, c), squares (B, cells, heads, 2, c): sums of windows, or of a whole picture as one cell.
    """
    heads, c = gram.shape[2], gram.shape[3]
    channels = heads * c
    scale = squares.clamp_min(UNIT_EPS**2).rsqrt()
    normalised = gram * scale[:, :, :, 0, :, None] * scale[:, :, :, 1, None, :]
    attention = (normalised * attn.temperature.to(gram.dtype)).softmax(dim=-1)
    projection = attn.project_out.weight.to(gram.dtype).view(channels, heads, c)
    # W A, head by head: columns of the projection that belong to a head times that head's matrix, transposed
    return torch.einsum("ohi,bxhij->bxhjo", projection, attention).reshape(*gram.shape[:2], channels, channels)


# -- application ----------------------------------------------------------------------------------------------------


def matrices_of_row(in_window: Sequence[Tensor], cells: Grid, attn: TransposedAttention, dtype: torch.dtype) -> Tensor:
    """(B, columns, C, 2C), of the centres left and right of each column, for one row of cells.

    in_window: the sums (B, cells, K) of the rows of cells in its window.
    """
    channels = attn.project_out.out_channels
    c = channels // attn.heads
    found = _window_sums(in_window, cells.rows, cells.columns)
    gram, squares = torch.split(found, [channels * c, 2 * channels], dim=2)
    gram, squares = torch.unflatten(gram, 2, (attn.heads, c, c)), torch.unflatten(squares, 2, (attn.heads, 2, c))
    return _beside(matrices(gram, squares, attn).to(dtype))


def _beside(matrices: Tensor) -> Tensor:
    """(B, cells, C, C) of a row of cells -> (B, cells + 1, C, 2C): left and right of each column between centres."""
    return torch.cat([torch.cat([matrices[:, :1], matrices], 1), torch.cat([matrices, matrices[:, -1:]], 1)], dim=3)


def between(above: Tensor, below: Tensor, rows: Axis, steps: slice, out: Tensor | None = None) -> Tensor:
    """(B, steps, columns, C, 2C): the matrices in these steps of a band, from those above and below it."""
    count = rows.side // rows.alike
    down = _after(count, above.dtype, above.device)[steps].view(-1, 1, 1, 1)
    return torch.lerp(above[:, None], below[:, None], down, out=out)


@lru_cache(64)
@torch.inference_mode(False)
def _after(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(count,): how far places spread evenly from one centre to the next are on their way, from 0 to 1."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) / count).to(device, dtype)


def multiply(v: Tensor, matrices: Tensor, out: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """v (B, columns, alike, side, C) times its matrices, interpolated across between the centres: the same shape.

    B steps, columns between centres; matrices (B, columns, C, 2C), of the left and of the right centre. out: memory
    for (B, columns, alike, side, 2C) and for the result.
    """
    (both, result), shape = out or (None, None), (*v.shape[:-1], 2 * v.shape[-1])
    memory = None if both is None else both.view(-1, shape[2] * shape[3], shape[4])
    both = torch.bmm(v.flatten(2, 3).flatten(0, 1), matrices.flatten(0, 1), out=memory).view(shape)
    left, right = both.chunk(2, dim=-1)
    return torch.lerp(left, right, _after(v.shape[3], v.dtype, v.device)[:, None], out=result)


def columns_of(rows: Tensor, blocks: Tensor, columns: Axis) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of the same values in rows (B, n, W, C) and in blocks (B, columns, n, side, C) between the centres."""
    half, width = columns.side // 2, columns.length
    full = max(0, width - half) // columns.side
    end = half + full * columns.side
    yield rows[:, :, :half], blocks[:, 0, :, half : half + min(half, width)]
    if full:
        inner = torch.unflatten(rows[:, :, half:end], 2, (full, columns.side))
        yield inner, blocks[:, 1 : 1 + full].transpose(1, 2)
    if end < width:
        yield rows[:, :, end:], blocks[:, 1 + full, :, : width - end]


def attend(q: Tensor, k: Tensor, v: Tensor, attn: TransposedAttention, cells: Grid) -> Tensor:
    """Attention and its output projection (without bias) under local statistics; q, k, v (B, H, W, C)."""
    b, height, width, channels = v.shape
    rows, columns = cells.rows, cells.columns
    qk = F.pad(torch.cat([q, k], dim=-1), (0, 0, 0, 0, 0, rows.cells * rows.side - height))
    found = sums_of_cells(qk.view(b * rows.cells, rows.side, width, 2 * channels), columns, attn.heads)
    by_row = torch.unflatten(found, 0, (b, rows.cells)).unbind(1)  # of each row of cells: (B, cells, K)
    windows = ([by_row[j] for j in rows.window(i)] for i in range(rows.cells))
    of_row = [matrices_of_row(in_window, cells, attn, v.dtype) for in_window in windows]
    around = [[of_row[j] for j in rows.around(i)] for i in range(rows.bands)]
    each = [between(above, below, rows, slice(None)) for above, below in around]
    blocks = multiply(_blocked(v, cells), torch.stack(each, dim=1).flatten(0, 2))
    return _unblocked(blocks, cells, height, width)


def _blocked(v: Tensor, cells: Grid) -> Tensor:
    """(B, H, W, C) -> (B * steps, columns, alike, side, C): what lies between the same centres, zero outside."""
    axes = cells.columns, cells.rows
    pads = [(a.side // 2, a.bands * a.side - a.side // 2 - a.length) for a in axes]
    v = F.pad(v, (0, 0, *pads[0], *pads[1]))
    v = v.view(-1, cells.rows.alike, cells.columns.bands, cells.columns.side, v.shape[-1])
    return v.transpose(1, 2).contiguous()


def _unblocked(blocks: Tensor, cells: Grid, height: int, width: int) -> Tensor:
    steps = cells.rows.bands * cells.rows.side // cells.rows.alike
    v = torch.unflatten(blocks.transpose(1, 2), 0, (-1, steps)).flatten(3, 4).flatten(1, 2)
    top, left = cells.rows.side // 2, cells.columns.side // 2
    return v[:, top : top + height, left : left + width]
