"""Statistics of a part of the picture: sums over cells, windows of cells, matrices between cell centres.

A branch that mixes channels (:class:`.branches.Mixing`) multiplies with one C x C matrix, from sums over all pixels: on
a picture much larger than the training patches those are other sums than the network has learnt from. Here the sums
are taken by cells of a coarse grid and added up over neighbouring cells with the same weights, so that a window spans
about the training patch. They give a matrix for each cell, which is interpolated between the cells' centres, so that
there are no seams. (After the idea of Chu et al., "Improving Image Restoration by Revisiting Global Information
Aggregation", ECCV 2022, who take a window for each pixel.) Everything is differentiable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrestore.nn.branches import Mixing
from dfrestore.nn.cells import Axis, Grid


def window_sums(cells: Sequence[Tensor], rows: Axis, columns: Axis) -> Tensor:
    """Sums over the windows of one row of cells: cells, the rows in its window, each (B, cells, K)."""
    stacked = torch.stack(tuple(cells)).flatten(1)
    down = stacked.new_tensor(rows.weights)[None] @ stacked
    across = _window_shares(columns, down.dtype, down.device)
    return across @ down.view_as(cells[0])


@lru_cache(64)
@torch.inference_mode(False)
def _window_shares(axis: Axis, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(cells, cells): how much of each cell is in the window of each."""
    share = torch.zeros(axis.cells, axis.cells, dtype=dtype)
    for i in range(axis.cells):
        share[i, list(axis.window(i))] = torch.tensor(axis.weights, dtype=dtype)
    return share.to(device)


def matrices_of_row(in_window: Sequence[Tensor], cells: Grid, branch: Mixing, dtype: torch.dtype) -> Tensor:
    """(B, columns, C, 2C), of the centres left and right of each column, for one row of cells.

    in_window: the sums (B, cells, K) of the rows of cells in its window.
    """
    found = branch.matrices(window_sums(in_window, cells.rows, cells.columns)).to(dtype)
    # of a row of cells: left and right of each column between centres
    return torch.cat([torch.cat([found[:, :1], found], 1), torch.cat([found, found[:, -1:]], 1)], dim=3)


def between(above: Tensor, below: Tensor, rows: Axis, steps: slice, out: Tensor | None = None) -> Tensor:
    """(B, steps, columns, C, 2C): the matrices in these steps of a band, from those above and below it."""
    count = rows.side // rows.step_rows
    down = _places_between(count, above.dtype, above.device)[steps].view(-1, 1, 1, 1)
    return torch.lerp(above[:, None], below[:, None], down, out=out)


@lru_cache(64)
@torch.inference_mode(False)
def _places_between(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(count,): how far places spread evenly from one centre to the next are on their way, from 0 to 1."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) / count).to(device, dtype)


def multiply(v: Tensor, matrices: Tensor, out: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """v (B, columns, step_rows, side, C) times its matrices, interpolated across between the centres: the same shape.

    B steps, columns between centres; matrices (B, columns, C, 2C), of the left and of the right centre. out: memory
    for (B, columns, step_rows, side, 2C) and for the result.
    """
    (products, result), shape = out or (None, None), (*v.shape[:-1], 2 * v.shape[-1])
    memory = None if products is None else products.view(-1, shape[2] * shape[3], shape[4])
    products = torch.bmm(v.flatten(2, 3).flatten(0, 1), matrices.flatten(0, 1), out=memory).view(shape)
    left, right = products.chunk(2, dim=-1)
    return torch.lerp(left, right, _places_between(v.shape[3], v.dtype, v.device)[:, None], out=result)


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


def mix(wide: Tensor, branch: Mixing, cells: Grid) -> Tensor:
    """What the branch adds under local statistics, without its bias: wide (B, H, W, D) -> (B, H, W, C)."""
    b, height, width, _ = wide.shape
    rows, columns = cells.rows, cells.columns
    summed, kept = branch.split(wide)
    summed = F.pad(summed, (0, 0, 0, 0, 0, rows.cells * rows.side - height))
    found = branch.sums_of_cells(summed.view(b * rows.cells, rows.side, width, -1), columns)
    by_row = torch.unflatten(found, 0, (b, rows.cells)).unbind(1)  # of each row of cells: (B, cells, K)
    windows = ([by_row[j] for j in rows.window(i)] for i in range(rows.cells))
    of_row = [matrices_of_row(in_window, cells, branch, kept.dtype) for in_window in windows]
    pairs = [[of_row[j] for j in rows.neighbours(i)] for i in range(rows.bands)]
    each = [between(above, below, rows, slice(None)) for above, below in pairs]
    blocks = multiply(_blocked(kept, cells), torch.stack(each, dim=1).flatten(0, 2))
    return _unblocked(blocks, cells, height, width)


def _blocked(v: Tensor, cells: Grid) -> Tensor:
    """(B, H, W, C) -> (B * steps, columns, step_rows, side, C): what lies between the same centres, zero outside."""
    axes = cells.columns, cells.rows
    pads = [(a.side // 2, a.bands * a.side - a.side // 2 - a.length) for a in axes]
    v = F.pad(v, (0, 0, *pads[0], *pads[1]))
    v = v.view(-1, cells.rows.step_rows, cells.columns.bands, cells.columns.side, v.shape[-1])
    return v.transpose(1, 2).contiguous()


def _unblocked(blocks: Tensor, cells: Grid, height: int, width: int) -> Tensor:
    steps = cells.rows.bands * cells.rows.side // cells.rows.step_rows
    v = torch.unflatten(blocks.transpose(1, 2), 0, (-1, steps)).flatten(3, 4).flatten(1, 2)
    top, left = cells.rows.side // 2, cells.columns.side // 2
    return v[:, top : top + height, left : left + width]
