"""A Transformer block on one large picture, a strip of rows at a time and in place. For inference.

The attention's statistics are sums over all pixels, so a block walks the picture twice: first norm, qkv and
depth-wise convolution, of which only the sums and v are kept; then v times the small matrix that follows from the
sums, the residual, norm and feed-forward. What is wider than the features (3C, 4C) exists for one strip only. With
the statistics of windows the second walk follows the first, as far behind as a window reaches.
Equal to the block's ``forward`` within rounding.
"""

from __future__ import annotations

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
    made: dict[int, Tensor] = {}  # row of cells -> its matrices
    for first, end, qkv in depthwise(x, norm, attn.qkv, attn.qkv_dwconv, strips, cut=down.side):
        waiting.keep(first, qkv[..., 2 * channels :])
        sums.add(first, qkv[..., : 2 * channels])
        complete = down.cells if end == height else end // down.side
        for i in range(max(made, default=-1) + 1, down.cells):
            if down.window(i)[-1] >= complete:
                break
            made[i] = window.matrices(*sums.of_window(i), attn).to(strips.dtype)
        yield from waiting.attended(made)


class _Waiting:
    """Rows of v until the matrices around them are made: bands in a ring, columns as wide as those between centres."""

    def __init__(self, x: Tensor, cells: Grid, strips: Strips, attn: TransposedAttention, most: int) -> None:
        down, across = cells.rows, cells.columns
        self._cells, self._strips, self._most = cells, strips, most
        # what the windows reach over, and what a strip adds to it
        strip = max(1, strips.step(x.shape[1], x.shape[2] * attn.qkv.out_channels) // down.side)
        self._bands = min(down.bands, len(down.weights) + strip)
        shape = (self._bands, down.side, across.bands, across.side, x.shape[3])
        self._ring = strips.store("v", shape, x)
        self._shares = window.shares(cells, torch.empty(0, dtype=strips.dtype, device=x.device))
        self._next = 0  # band
        self._around: tuple[int, Tensor] = (-1, self._shares)

    def keep(self, first: int, v: Tensor) -> None:
        """v (1, n, W, C), rows from ``first`` on."""
        down, across = self._cells.rows, self._cells.columns
        ring = self._ring.flatten(2, 3).flatten(0, 1)  # (rows, columns, C), half a cell empty to the left
        left = across.side // 2
        begin, kept = (first + down.side // 2) % len(ring), 0
        while kept < v.shape[1]:
            count = min(v.shape[1] - kept, len(ring) - begin)
            ring[begin : begin + count, left : left + across.length] = v[0, kept : kept + count]
            begin, kept = 0, kept + count

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
        strips, bands, within = self._strips, piece.bands, slice(piece.rows.start, piece.rows.stop)
        slot = bands.start % self._bands
        v = self._ring[slot : slot + len(bands), within].transpose(1, 2)  # (bands, columns, n, side, C)
        weighted = strips.buffer("weighted", (*v.shape[:-1], 4, v.shape[-1]), v)
        out = strips.buffer("attended", tuple(v.shape), v)
        window.multiply(v, self._shares[within], self._matrices_around(bands, made), out=(weighted, out))
        window.add_columns(rows.view(len(bands), len(piece.rows), -1, rows.shape[1]), out, self._cells.columns)

    def _matrices_around(self, bands: range, made: dict[int, Tensor]) -> Tensor:
        if len(bands) == 1 and bands.start == self._around[0]:  # another piece of the band
            return self._around[1]
        each = [window.around(*(made[j] for j in self._cells.rows.around(i))) for i in bands]
        self._around = bands[-1], each[-1]
        return torch.cat(each)


class _RowsOfCells:
    """The sums of the last rows of cells, as far back as a window reaches."""

    def __init__(self, cells: Grid, heads: int) -> None:
        self._cells, self._heads = cells, heads
        self._held: dict[int, tuple[Tensor, Tensor]] = {}

    def add(self, first: int, qk: Tensor) -> None:
        """Add rows from ``first`` on, (1, n, W, 2C): those of several rows of cells, or some of those of one."""
        side = self._cells.rows.side
        full = qk.shape[1] // side  # none of them where ``first`` is not a cell's first row
        parts = [torch.unflatten(qk[0, : full * side], 0, (full, side))] if full else []
        parts += [qk[:, full * side :]] if qk.shape[1] % side else []
        row = first // side
        for part in parts:
            for gram, squares in zip(*window.sums_of_cells(part, self._cells.columns, self._heads), strict=True):
                held = self._held.get(row)
                self._held[row] = (held[0] + gram, held[1] + squares) if held is not None else (gram, squares)
                row += 1

    def of_window(self, i: int) -> tuple[Tensor, Tensor]:
        """The sums of the windows of cell row ``i``; what no later window needs is forgotten."""
        rows, columns = self._cells.rows, self._cells.columns
        used = rows.window(i)
        for old in [j for j in self._held if j < used[0]]:
            del self._held[old]
        gram, squares = ([self._held[j][k][None] for j in used] for k in (0, 1))
        return window.window_sums(gram, rows, columns), window.window_sums(squares, rows, columns)


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
    return window.matrices(gram[None, None], squares.view(1, 1, 2, channels), attn)[0, 0].to(strips.dtype)


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
