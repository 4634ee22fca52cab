"""The blocks' arithmetic on one large picture, a strip of rows at a time and in place. For inference.

The attention's statistics are sums over all pixels, so a block walks the picture twice: first norm, qkv and
depth-wise convolution, of which only the sums and v are kept; then v times the small matrix that follows from the
sums, the residual, norm and feed-forward. What is wider than the features (3C, 4C) exists for one strip only.

Features are (1, H, W, C), and stay four-dimensional so that slices of them are channels-last pictures to PyTorch
(a size-1 axis added to a view has a stride that makes it copy). Equal to the blocks' ``forward`` within rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn import window
from dfrestore.nn.blocks import FeedForward, TransformerBlock, TransposedAttention
from dfrestore.nn.channels_last import layer_norm
from dfrestore.nn.resample import Downsample, Upsample
from dfrestore.nn.window import Grid
from dfrestore.windows import Windows

# Values of the widest map in a strip: enough to keep cores busy, few enough for their caches (measured: flat from
# one to two million on a CPU, slower below and far above).
VALUES = 1_600_000


@dataclass
class Strips:
    """How a picture is walked: dtype of the arithmetic, size of a strip, and buffers that every strip uses again.

    features: dtype in which they are kept between strips (converted strip by strip), the arithmetic's if None.
    windows: of the attention, None for the whole picture's statistics.
    values: of the widest map in a strip. rows: strips of so many rows instead, at every level.
    """

    dtype: torch.dtype = torch.float32
    features: torch.dtype | None = None
    windows: Windows | None = None
    values: int = VALUES
    rows: int = 0
    _buffers: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def spans(self, height: int, row: int, multiple: int = 1) -> Iterator[tuple[int, int]]:
        """Strips (first, end) of ``height`` rows, a row being ``row`` values; all but the last of whole multiples."""
        step = self.step(height, row, multiple)
        for first in range(0, height, step):
            yield first, min(height, first + step)

    def step(self, height: int, row: int, multiple: int = 1) -> int:
        """Rows of a strip."""
        rows = self.rows or self.values // row
        return min(height, max(multiple, rows // multiple * multiple))

    def buffer(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory of this shape with whatever is in it, of ``dtype`` on like's device; the same memory next time."""
        return self._take(name, shape, self.dtype, like.device)

    def store(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory of this shape and of like's type; the same memory next time."""
        return self._take(name, shape, like.dtype, like.device)

    def release(self) -> None:
        """Give all buffers back."""
        self._buffers.clear()

    def _take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        count = math.prod(shape)
        held = self._buffers.get(name)
        if held is None or held.numel() < count or held.dtype != dtype or held.device != device:
            self._buffers.pop(name, None)
            del held  # before the new one is made: both together could be too much
            held = self._buffers[name] = torch.empty(count, dtype=dtype, device=device)
        return held[:count].view(shape)


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
        rows = _pixels(x[:, first:end]).to(strips.dtype)  # a view where the dtypes agree: then all is done in place
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
        part = _pixels(v[:, first:end]).to(strips.dtype)
        yield first, end, lambda rows, part=part: rows.addmm_(part, matrix)  # type: ignore[misc]


def _attend_local(
    x: Tensor, norm: Callable[[Tensor], Tensor], module: TransformerBlock, strips: Strips, cells: Grid
) -> _Attended:
    """With the statistics of windows: rows follow as soon as the windows of the cells around them are complete."""
    _, _, width, channels = x.shape
    attn, down, across = module.attn, cells.rows, cells.columns
    ring = min(down.cells, len(down.weights) + 1) * down.side  # rows of v that can be waiting
    v = strips.store("v", (1, ring, width, channels), x)
    sums = _RowsOfCells(cells)
    bands = window.bands(down)
    band = next(bands, None)
    made: dict[int, Tensor] = {}  # cell row -> its matrices
    corners = window.Corners(made)
    for first, end, qkv in _depthwise(x, norm, attn.qkv, attn.qkv_dwconv, strips, cut=down.side):
        v[:, first % ring : first % ring + end - first] = qkv[..., 2 * channels :]
        sums.add(first // down.side, window.sums_of_cells(qkv[..., : 2 * channels], across, attn.heads))
        if end % down.side and end < down.length:
            continue
        for i in range(max(made, default=-1) + 1, down.cells):
            if down.window(i)[-1] > (end - 1) // down.side:
                break
            made[i] = window.matrices(*sums.of_window(i), attn).to(strips.dtype)
        while band is not None and band.below in made:
            part = v[:, band.first % ring : band.first % ring + band.end - band.first].to(strips.dtype)
            attention = _pixels(window.multiply(part, corners.around(band), band, cells))
            yield band.first, band.end, lambda rows, attention=attention: rows.add_(attention)  # type: ignore[misc]
            for old in [j for j in made if j < band.above]:
                del made[old]
            band = next(bands, None)


class _RowsOfCells:
    """The sums of the last rows of cells, as far back as a window reaches."""

    def __init__(self, cells: Grid) -> None:
        self.cells = cells
        self.held: dict[int, tuple[Tensor, Tensor]] = {}

    def add(self, row: int, sums: tuple[Tensor, Tensor]) -> None:
        """Add sums of some of the rows of cell row ``row``."""
        held = self.held.get(row)
        self.held[row] = sums if held is None else (held[0] + sums[0], held[1] + sums[1])

    def of_window(self, i: int) -> tuple[Tensor, Tensor]:
        """The sums of the windows of cell row ``i``; what no later window needs is forgotten."""
        rows, columns = self.cells.rows, self.cells.columns
        used = rows.window(i)
        for old in [j for j in self.held if j < used[0]]:
            del self.held[old]
        gram, squares = zip(*(self.held[j] for j in used), strict=True)
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
    for first, end, qkv in _depthwise(x, norm, attn.qkv, attn.qkv_dwconv, strips):
        pixels = _pixels(qkv)
        for head in range(heads):
            q = pixels[:, head * c : (head + 1) * c]
            k = pixels[:, channels + head * c : channels + (head + 1) * c]
            gram[head] += torch.mm(q.t(), k)
        squares += _sum_of_squares(qkv[..., : 2 * channels], strips)
        v[:, first:end] = qkv[..., 2 * channels :]
    return window.matrices(gram[None, None], squares.view(1, 1, 2, channels), attn)[0, 0].to(strips.dtype)


def _depthwise(
    x: Tensor,
    prepare: Callable[[Tensor], Tensor],
    project: nn.Conv2d,
    conv: nn.Conv2d,
    strips: Strips,
    cut: int = 0,
) -> Iterator[tuple[int, int, Tensor]]:
    """(first, end, conv(project(prepare(x)))[first:end]), strip by strip; project is 1x1, conv a depth-wise 3x3.

    The last two projected rows of a strip are the first two of the next one, and are carried over: rows that have
    been yielded may be overwritten in x. cut: no strip crosses a multiple of it.
    """
    _, height, width, _ = x.shape
    weight, bias = _matrix(project, strips.dtype)
    kernel, kernel_bias = _kernel(conv, strips.dtype)
    step = min(strips.step(height, width * conv.out_channels), cut or height)
    held = strips.buffer("depthwise", (1, step + 2, width, conv.in_channels), x)  # rows first - 1 to end
    first = end = count = 0
    while end < height:
        first = end
        if first == 0:
            held[:, 0] = 0
        else:
            held[:, :2] = held[:, count : count + 2].clone()
        end = min(height, first + step, (first // cut + 1) * cut if cut else height)
        count = end - first
        begin, last = (0 if first == 0 else first + 1), min(height, end + 1)
        if begin < last:
            rows = _pixels(prepare(x[:, begin:last].to(strips.dtype)))
            _product(rows, weight, bias, out=_pixels(held[:, begin - first + 1 : last - first + 1]))
        if end == height:
            held[:, count + 1] = 0
        rows = held[:, : count + 2].permute(0, 3, 1, 2)
        out = F.conv2d(rows, kernel, kernel_bias, padding=(0, 1), groups=conv.groups)
        yield first, end, out.permute(0, 2, 3, 1)


def _sum_of_squares(rows: Tensor, strips: Strips) -> Tensor:
    """(1, n, W, C) -> (C,) in fp32 or wider.

    Row by row first, in the rows' own type: asked for fp32 at once, PyTorch makes a copy of all of them. (And its
    vector_norm is over ten times slower for 256 channels.)
    """
    squares = torch.mul(rows, rows, out=strips.buffer("squares", tuple(rows.shape), rows))
    return squares.sum(dim=2).sum(dim=(0, 1), dtype=torch.promote_types(rows.dtype, torch.float32))


def _feed_forward_(x: Tensor, normed: Tensor, ffn: FeedForward, strips: Strips) -> None:
    """x += ffn(normed), both (N, C)."""
    weight, bias = _matrix(ffn.project_in, strips.dtype)
    hidden = _product(normed, weight, bias, out=strips.buffer("hidden", (len(x), weight.shape[1]), x))
    torch.ops.aten.gelu_(hidden)
    weight, bias = _matrix(ffn.project_out, strips.dtype)
    x.addmm_(hidden, weight)
    if bias is not None:
        x += bias


# -- convolutions between the blocks --------------------------------------------------------------------------------


def conv3x3(x: Tensor, conv: nn.Conv2d, strips: Strips, multiple: int = 1) -> Iterator[tuple[int, int, Tensor]]:
    """(first, end, rows of the padded 3x3 convolution of x (1, H, W, C)), strips of ``multiple`` rows, NHWC."""

    def rows(first: int, end: int) -> Tensor:
        return x[:, first:end].to(strips.dtype)

    return conv3x3_of(rows, x.shape[1], x.shape[2], conv, strips, multiple)


def conv3x3_of(
    rows: Callable[[int, int], Tensor], height: int, width: int, conv: nn.Conv2d, strips: Strips, multiple: int = 1
) -> Iterator[tuple[int, int, Tensor]]:
    """:func:`conv3x3` of a picture of which ``rows(first, end)`` gives (1, end - first, W, C) as they are needed."""
    kernel, bias = _kernel(conv, strips.dtype)
    for first, end in strips.spans(height, width * max(conv.in_channels, conv.out_channels), multiple):
        top, bottom = max(0, first - 1), min(height, end + 1)
        part = rows(top, bottom)
        outside = (top - (first - 1), end + 1 - bottom)
        if any(outside):
            part = F.pad(part, (0, 0, 0, 0, *outside))
        yield first, end, F.conv2d(part.permute(0, 3, 1, 2), kernel, bias, padding=(0, 1)).permute(0, 2, 3, 1)


def downsample(x: Tensor, module: Downsample, strips: Strips) -> Tensor:
    """(1, H, W, C) -> (1, H/2, W/2, 2C)."""
    _, height, width, channels = x.shape
    conv = module.body[0]
    assert isinstance(conv, nn.Conv2d)
    out = x.new_empty(1, height // 2, width // 2, channels * 2)
    unshuffled = out.view(1, height // 2, width // 2, channels // 2, 2, 2)  # channel = c*4 + row*2 + column
    for first, end, rows in conv3x3(x, conv, strips, multiple=2):
        split = rows.reshape(1, (end - first) // 2, 2, width // 2, 2, channels // 2)
        unshuffled[:, first // 2 : end // 2] = split.permute(0, 1, 3, 5, 2, 4)
    return out


def upsample(x: Tensor, module: Upsample, strips: Strips, out: Tensor | None = None) -> Tensor:
    """(1, H, W, C) -> (1, 2H, 2W, C/2), into ``out`` if given (a view of wider features, for example)."""
    _, height, width, channels = x.shape
    conv = module.body[0]
    assert isinstance(conv, nn.Conv2d)
    if out is None:
        out = x.new_empty(1, height * 2, width * 2, channels // 2)
    for first, end, rows in conv3x3(x, conv, strips):
        split = rows.reshape(1, end - first, width, channels // 2, 2, 2).permute(0, 1, 4, 2, 5, 3)
        out[:, 2 * first : 2 * end] = split.reshape(1, 2 * (end - first), 2 * width, channels // 2)
    return out


def merge_(up: Tensor, skip: Tensor, reduce: nn.Conv2d, strips: Strips) -> Tensor:
    """The 1x1 convolution of [up, skip], each (1, H, W, C), to C channels, in skip's memory, which is returned."""
    weight, bias = _matrix(reduce, strips.dtype)
    channels = up.shape[3]
    for first, end in strips.spans(up.shape[1], up.shape[2] * reduce.in_channels):
        rows = _pixels(up[:, first:end]).to(strips.dtype)
        out = strips.buffer("merged", tuple(rows.shape), rows)
        _product(rows, weight[:channels], bias, out=out)
        out.addmm_(_pixels(skip[:, first:end]).to(strips.dtype), weight[channels:])
        skip[:, first:end] = out.view(1, end - first, skip.shape[2], channels)
    return skip


# -- small parts ----------------------------------------------------------------------------------------------------


def _pixels(x: Tensor) -> Tensor:
    """(1, n, W, C) -> (n * W, C), a view of rows that lie together."""
    return x.reshape(-1, x.shape[-1])


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    return torch.mm(x, weight, out=out) if bias is None else torch.addmm(bias, x, weight, out=out)


def _matrix(conv: nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """A 1x1 convolution as a matrix (in, out), and its bias."""
    return conv.weight.to(dtype).flatten(1).t(), None if conv.bias is None else conv.bias.to(dtype)


def _kernel(conv: nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    weight = conv.weight.to(dtype).contiguous(memory_format=torch.channels_last)
    return weight, None if conv.bias is None else conv.bias.to(dtype)
