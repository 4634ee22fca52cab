"""A Transformer block on one large picture, a strip of rows at a time and in place. For inference.

The attention's statistics are sums over all pixels, so a block walks the picture twice: first norm, qkv and
depth-wise convolution, of which only the sums and v are kept; then v times the small matrix that follows from the
sums, the residual, norm and feed-forward. What is wider than the features (3C, 4C) exists for one strip only. With
the statistics of windows the second walk follows the first, as far behind as a window reaches.
Equal to the block's ``forward`` within rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dfrestore.nn import window
from dfrestore.nn.blocks import FeedForward, TransformerBlock, TransposedAttention
from dfrestore.nn.cells import Grid, Piece, pieces
from dfrestore.nn.channels_last import layer_norm
from dfrestore.nn.strips import Strips, as_matrix, as_pixels, depthwise, product

# What a block's first pass ends in: rows of the picture, and what adds their attention to them, (N, C) in place.
_Attended = Iterator[tuple[int, int, Callable[[Tensor], object]]]


def block_(x: Tensor, e: Tensor, module: TransformerBlock, strips: Strips, cells: Grid | None = None) -> None:
    """One Transformer block in place: x (1, H, W, C), e (1, C). cells: windows of the attention, None for global."""
    e = e.to(strips.dtype)

    def norm(rows: Tensor) -> Tensor:
        return layer_norm(rows, module.norm1, e)

    local = cells is not None and not cells.whole
    attended = _attend_local(x, norm, module, strips, cells) if local and cells else _attend(x, norm, module, strips)
    bias = module.attn.project_out.bias
    for first, end, add in attended:
        rows = as_pixels(x[:, first:end]).to(strips.dtype)  # a view where the dtypes agree: then all is done in place
        add(rows)
        if bias is not None:
            rows += bias.to(strips.dtype)
        _feed_forward_(rows, layer_norm(rows[None, None], module.norm2, e)[0, 0], module.ffn, strips)
        if x.dtype != strips.dtype:
            x[:, first:end] = rows.view(1, end - first, x.shape[2], -1)


def _attend(x: Tensor, norm: Callable[[Tensor], Tensor], module: TransformerBlock, strips: Strips) -> _Attended:
    """With the statistics of the whole picture: v is kept until they are known."""
    v = strips.store("v", tuple(x.shape), x)
    matrix = _attention_matrix(x, norm, module.attn, v, strips)
    for first, end in strips.spans(x.shape[1], x.shape[2] * module.ffn.project_in.out_channels):
        part = as_pixels(v[:, first:end]).to(strips.dtype)
        yield first, end, lambda rows, part=part: rows.addmm_(part, matrix)  # type: ignore[misc]


def _attend_local(
    x: Tensor, norm: Callable[[Tensor], Tensor], module: TransformerBlock, strips: Strips, cells: Grid
) -> _Attended:
    """With the statistics of windows: rows follow as soon as the windows of the cells around them are complete."""
    _, height, width, channels = x.shape
    attn, down = module.attn, cells.rows
    most = strips.step(height, width * module.ffn.project_in.out_channels)
    waiting = _Waiting(x, cells, strips, attn, most)
    sums = _RowsOfCells(cells, attn.heads)
    made: dict[int, Tensor] = {}  # row of cells -> its matrices, those left and right of each column
    for first, end, qkv in depthwise(x, norm, attn.qkv, attn.qkv_dwconv, strips, cut=down.side, multiple=down.alike):
        waiting.keep(first, qkv[..., 2 * channels :])
        sums.add(first, qkv[..., : 2 * channels])
        complete = down.cells if end == height else end // down.side
        for i in range(max(made, default=-1) + 1, down.cells):
            if down.window(i)[-1] >= complete:
                break
            made[i] = window.matrices_of_row(sums.in_window(i), cells, attn, strips.dtype)
        yield from waiting.attended(made)


class _Waiting:
    """Rows of v until the matrices around them are made: steps in a ring, columns as wide as those between centres."""

    def __init__(self, x: Tensor, cells: Grid, strips: Strips, attn: TransposedAttention, most: int) -> None:
        down, across = cells.rows, cells.columns
        self._cells, self._strips, self._most = cells, strips, most
        # what the windows reach over, and what a strip adds to it
        strip = max(1, strips.step(x.shape[1], x.shape[2] * attn.qkv.out_channels) // down.side)
        self._bands = min(down.bands, len(down.weights) + strip)
        shape = (self._bands * down.side // down.alike, across.bands, down.alike, across.side, x.shape[3])
        self._ring = strips.store("v", shape, x)
        self._next = 0  # band

    def keep(self, first: int, v: Tensor) -> None:
        """v (1, n, W, C), rows from ``first`` on."""
        kept = 0
        while kept < v.shape[1]:
            steps = self._of_ring(first + kept, v.shape[1] - kept)
            rows = v[0, kept : kept + len(steps) * self._cells.rows.alike]
            for part, place in self._places(rows, steps):
                place.copy_(part)
            kept += len(rows)

    def attended(self, made: dict[int, Tensor]) -> _Attended:
        """The bands for which all matrices are made; those that no later one needs are forgotten."""
        down = self._cells.rows
        ready = next((i for i in range(self._next, down.bands) if down.around(i)[1] not in made), down.bands)
        for piece in pieces(down, range(self._next, ready), self._most, self._bands):
            first, end = piece.of(down)
            yield first, end, lambda rows, piece=piece: self._add(rows, piece, made)  # type: ignore[misc]
        self._next = ready
        for old in [j for j in made if j < down.around(ready)[0]]:
            del made[old]

    def _add(self, rows: Tensor, piece: Piece, made: dict[int, Tensor]) -> None:
        """rows (N, C) of the picture += their attention."""
        strips, channels = self._strips, rows.shape[1]
        v = self._of_ring(piece.of(self._cells.rows)[0], piece.count)
        both = strips.buffer("both", (*v.shape[:-1], 2 * channels), v)
        out = strips.buffer("attended", tuple(v.shape), v)
        window.multiply(v.to(strips.dtype), self._matrices(piece, made), out=(both, out))
        for part, attended in self._places(rows.view(piece.count, -1, channels), out):
            part += attended

    def _of_ring(self, first: int, rows: int) -> Tensor:
        """The steps of so many rows from ``first`` on, a step's first, or up to the end of the ring."""
        down = self._cells.rows
        begin = (first - down.begin(0)) // down.alike % len(self._ring)
        return self._ring[begin : begin + math.ceil(rows / down.alike)]

    def _places(self, rows: Tensor, steps: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Views of the same values in rows (n, W, C) and in steps; the last step may be cut by the picture's end."""
        alike, columns = self._cells.rows.alike, self._cells.columns
        full = len(rows) // alike
        if full:
            yield from window.columns_of(torch.unflatten(rows[: full * alike], 0, (full, alike)), steps[:full], columns)
        if full < len(steps):
            rest = rows[None, full * alike :]
            yield from window.columns_of(rest, steps[full:, :, : rest.shape[1]], columns)

    def _matrices(self, piece: Piece, made: dict[int, Tensor]) -> Tensor:
        """(steps, columns, C, 2C)."""
        down = self._cells.rows
        first, end = piece.rows.start // down.alike, math.ceil(piece.rows.stop / down.alike)
        like = next(iter(made.values()))
        memory = self._strips.buffer("matrices", (1, len(piece.bands) * (end - first), *like.shape[1:]), like)
        for band, out in zip(piece.bands, torch.split(memory, end - first, dim=1), strict=True):
            above, below = (made[j] for j in down.around(band))
            window.between(above, below, down, slice(first, end), out=out)
        return memory[0]


class _RowsOfCells:
    """The sums of the last rows of cells, as far back as a window reaches."""

    def __init__(self, cells: Grid, heads: int) -> None:
        self._cells, self._heads = cells, heads
        self._held: dict[int, Tensor] = {}  # (1, cells, K)

    def add(self, first: int, qk: Tensor) -> None:
        """Add rows from ``first`` on, (1, n, W, 2C): those of several rows of cells, or some of those of one."""
        side = self._cells.rows.side
        full = qk.shape[1] // side  # none of them where ``first`` is not a cell's first row
        parts = [torch.unflatten(qk[0, : full * side], 0, (full, side))] if full else []
        parts += [qk[:, full * side :]] if qk.shape[1] % side else []
        row = first // side
        for part in parts:
            for found in torch.split(window.sums_of_cells(part, self._cells.columns, self._heads), 1):
                held = self._held.get(row)
                self._held[row] = found if held is None else held + found
                row += 1

    def in_window(self, i: int) -> list[Tensor]:
        """The sums (1, cells, K) of the rows in the window of cell row ``i``; what no later one needs is forgotten."""
        used = self._cells.rows.window(i)
        for old in [j for j in self._held if j < used[0]]:
            del self._held[old]
        return [self._held[j] for j in used]


def _attention_matrix(
    x: Tensor, norm: Callable[[Tensor], Tensor], attn: TransposedAttention, v: Tensor, strips: Strips
) -> Tensor:
    """(C, C), to multiply v with from the right: softmax of the normalised q.k sums, output projection folded in.

    Fills v (1, H, W, C). The sums are of fp32 or wider.
    """
    channels = x.shape[3]
    heads, c = attn.heads, channels // attn.heads
    wide = torch.promote_types(strips.dtype, torch.float32)
    gram = torch.zeros(heads, c, c, dtype=wide, device=x.device)
    squares = torch.zeros(2 * channels, dtype=wide, device=x.device)
    for first, end, qkv in depthwise(x, norm, attn.qkv, attn.qkv_dwconv, strips):
        pixels = as_pixels(qkv)
        for head in range(heads):
            q = pixels[:, head * c : (head + 1) * c]
            k = pixels[:, channels + head * c : channels + (head + 1) * c]
            gram[head] += torch.mm(q.t(), k)
        squares += _sum_of_squares(qkv[..., : 2 * channels], strips)
        v[:, first:end] = qkv[..., 2 * channels :]
    squares = squares.view(1, 1, 2, heads, c).transpose(2, 3)
    return window.matrices(gram[None, None], squares, attn)[0, 0].to(strips.dtype)


def _sum_of_squares(rows: Tensor, strips: Strips) -> Tensor:
    """(1, n, W, C) -> (C,) in fp32 or wider.

    Row by row first, in the rows' own type: asked for fp32 at once, PyTorch makes a copy of all of them. (And its
    vector_norm is over ten times slower for 256 channels.)
    """
    squares = torch.mul(rows, rows, out=strips.buffer("squares", tuple(rows.shape), rows))
    return squares.sum(dim=2).sum(dim=(0, 1), dtype=torch.promote_types(rows.dtype, torch.float32))


def _feed_forward_(x: Tensor, normed: Tensor, ffn: FeedForward, strips: Strips) -> None:
    """x += ffn(normed), both (N, C)."""
    weight, bias = as_matrix(ffn.project_in, strips.dtype)
    hidden = product(normed, weight, bias, out=strips.buffer("hidden", (len(x), weight.shape[1]), x))
    torch.ops.aten.gelu_(hidden)
    weight, bias = as_matrix(ffn.project_out, strips.dtype)
    x.addmm_(hidden, weight)
    if bias is not None:
        x += bias
