"""A block on one large picture, a strip of rows at a time and in place. For inference.

A branch that mixes channels needs sums over all pixels, so it walks the picture twice: the first walk computes norm and
convolutions and keeps only the sums and C channels; the second multiplies these with a small matrix made of the sums.
Pointwise branches join the walk before them, so that maps wider than the features exist for one strip only. With the
statistics of windows the second walk follows the first, as far behind as a window reaches.
Equal to the block's ``forward`` within rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from torch import Tensor

from dfrestore.nn import window
from dfrestore.nn.branches import Branch, Mixing, Pointwise, Spatial, Wide
from dfrestore.nn.cells import Grid
from dfrestore.nn.rows import Rows, as_pixels
from dfrestore.nn.strip_convs import depthwise
from dfrestore.nn.value_ring import CellSums, Mixed, ValueRing


def block_(x: Tensor, branches: Sequence[Branch], how: Rows, cells: Grid | None = None) -> None:
    """All branches of a block in place, one after the other: x (1, H, W, C). cells: windows of the statistics."""
    for first, followers in walks(branches):
        for top, end, add in _walk(x, first, followers, how, cells):
            rows = as_pixels(x[:, top:end]).to(how.dtype)  # a view where the dtypes agree: then all is done in place
            add(rows)
            if isinstance(first, Mixing) and first.bias is not None:
                rows += first.bias.to(how.dtype)
            for follower in followers:
                follower.add_(rows, how)
            if x.dtype != how.dtype:
                x[:, top:end] = rows.view(1, end - top, x.shape[2], -1)


def walks(branches: Sequence[Branch]) -> Iterator[tuple[Wide | None, list[Pointwise]]]:
    """Each walk over the picture: the branch that needs one, and the pointwise ones that join it.

    None where pointwise ones come first: they need a walk of their own.
    """
    first: Wide | None = None
    followers: list[Pointwise] = []
    for branch in branches:
        if isinstance(branch, Pointwise):
            followers.append(branch)
            continue
        if first is not None or followers:
            yield first, followers
        assert isinstance(branch, Wide)
        first, followers = branch, []
    yield first, followers


def _walk(x: Tensor, first: Wide | None, followers: Sequence[Pointwise], how: Rows, cells: Grid | None) -> Mixed:
    """Rows of the picture in order, each with a function that adds the first branch to them."""
    width = max((follower.width for follower in followers), default=x.shape[3])
    if isinstance(first, Mixing):
        local = cells is not None and not cells.whole
        yield from _local(x, first, width, how, cells) if local and cells else _global(x, first, width, how)
    elif isinstance(first, Spatial):
        first = first.aligned()
        for top, end, wide in depthwise(x, first.norm, first.project, first.spatial, how):
            yield top, end, partial(_add_spatial, branch=first, wide=wide, how=how)
    else:
        yield from ((top, end, lambda rows: None) for top, end in how.spans(x.shape[1], x.shape[2] * width))


def _add_spatial(rows: Tensor, branch: Spatial, wide: Tensor, how: Rows) -> None:
    branch.add_(rows, as_pixels(wide), how)


def _global(x: Tensor, branch: Mixing, width: int, how: Rows) -> Mixed:
    """With the statistics of the whole picture: C channels are kept until they are known. width: of the followers."""
    kept = how.store("kept", tuple(x.shape), x)
    total: Tensor | None = None
    for first, end, wide in depthwise(x, branch.norm, branch.project, branch.spatial, how):
        summed, values = branch.split(wide)
        found = branch.sums(summed, how)
        total = found if total is None else total.add_(found)
        kept[:, first:end] = values
    assert total is not None
    matrix = branch.matrices(total[None, None])[0, 0].to(how.dtype)
    for first, end in how.spans(x.shape[1], x.shape[2] * width):
        part = as_pixels(kept[:, first:end]).to(how.dtype)
        yield first, end, lambda rows, part=part: rows.addmm_(part, matrix)  # type: ignore[misc]


def _local(x: Tensor, branch: Mixing, width: int, how: Rows, cells: Grid) -> Mixed:
    """With the statistics of windows: rows follow as soon as the windows of the cells around them are complete."""
    height, down = x.shape[1], cells.rows
    ring = ValueRing(x, cells, how, branch, how.step(height, x.shape[2] * width))
    sums = CellSums(cells, branch)
    made: dict[int, Tensor] = {}  # row of cells -> its matrices, those left and right of each column
    for first, end, wide in depthwise(
        x, branch.norm, branch.project, branch.spatial, how, cut=down.side, multiple=down.step_rows
    ):
        summed, values = branch.split(wide)
        ring.keep(first, values)
        sums.add(first, summed)
        complete = down.cells if end == height else end // down.side
        for i in range(max(made, default=-1) + 1, down.cells):
            if down.window(i)[-1] >= complete:
                break
            made[i] = window.matrices_of_row(sums.in_window(i), cells, branch, how.dtype)
        for top, bottom, add in ring.mixed(made):
            yield top, bottom, add
            how.finished((bottom - top) * x.shape[2] * width)
