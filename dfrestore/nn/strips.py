"""The verbs on one large picture, a strip of rows at a time: memory for the features of level 1 and little more.

For inference. Equal to the networks' ``forward`` within rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from dfrestore.nn import strip_convs
from dfrestore.nn.branches import Branch
from dfrestore.nn.cells import Grid, cells_of
from dfrestore.nn.resample import Downsample, Upsample
from dfrestore.nn.rows import Rows
from dfrestore.nn.strip_passes import block_


@dataclass
class Strips(Rows):
    """See :class:`.how.How`; pictures and features are of a batch of one, and blocks work in place."""

    def cells(self, level: int, x: Tensor, height: int) -> Grid | None:
        return cells_of(self.windows, level, x.shape[1], x.shape[2], height)

    def read(self, pictures: Sequence[Tensor], conv: nn.Conv2d, stem: int) -> Tensor:
        return strip_convs.first_conv(pictures, conv, stem, self)

    def block(self, x: Tensor, branches: Sequence[Branch], cells: Grid | None) -> Tensor:
        block_(x, branches, self, cells)
        return x

    def down(self, x: Tensor, module: Downsample) -> Tensor:
        return strip_convs.downsample(x, module, self)

    def up(self, x: Tensor, module: Upsample) -> Tensor:
        return strip_convs.upsample(x, module, self)

    def merge(self, x: Tensor, skip: Tensor, reduce: nn.Conv2d) -> Tensor:
        return strip_convs.merge_(x, skip, reduce, self)

    def join(self, x: Tensor, module: Upsample, skip: Tensor) -> Tensor:
        self.release()  # the next stage is the widest: nothing else is held besides
        channels = skip.shape[3]
        wide = skip.new_empty(*skip.shape[:3], channels + x.shape[3] // 2)
        strip_convs.upsample(x, module, self, out=wide[..., :-channels])
        wide[..., -channels:] = skip
        return wide

    def copy(self, x: Tensor) -> Tensor:
        return x.clone()

    def add(self, x: Tensor, other: Tensor, conv: nn.Conv2d) -> Tensor:
        strip_convs.add_conv1x1_(x, other, conv, self)
        return x

    def write(self, x: Tensor, conv: nn.Conv2d, stem: int, residual: Tensor | None) -> Tensor:
        out = strip_convs.last_conv(x, conv, stem, self)
        return out if residual is None else out.add_(residual)
