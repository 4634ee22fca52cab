"""The verbs on one large picture, a strip of rows at a time: memory for the features of level 1 and little more.

For inference. Equal to the networks' ``forward`` within rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn import strip_chains, strip_convs
from dfrestore.nn.adapter import Adapter
from dfrestore.nn.branches import Branch
from dfrestore.nn.cells import Grid, cells_of
from dfrestore.nn.chains import Chain
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

    def halve(self, x: Tensor, conv: nn.Conv2d) -> Tensor:
        return strip_convs.halved(x, conv, self)

    def grow(self, x: Tensor, conv: nn.Conv2d, skip: Tensor) -> Tensor:
        return strip_convs.grow_(x, conv, skip, self)

    def guide(self, x: Tensor, picture: Tensor, adapter: Adapter) -> Tensor:
        strip_convs.guide_(x, picture, adapter, self)
        return x

    def copy(self, x: Tensor) -> Tensor:
        return x.clone()

    def add(self, x: Tensor, other: Tensor, conv: nn.Conv2d) -> Tensor:
        strip_convs.add_conv1x1_(x, other, conv, self)
        return x

    def write(self, x: Tensor, conv: nn.Conv2d, stem: int, residual: Tensor | None) -> Tensor:
        return _add_picture_(strip_convs.last_conv(x, conv, stem, self), residual)

    def write_chain(self, x: Tensor, chain: Chain, residual: Tensor | None) -> Tensor:
        self.release()  # the picture may be larger than all features
        return _add_picture_(strip_chains.picture(x, chain, self), residual)

    def average(self, pictures: Sequence[tuple[Tensor, int]], chain: Chain) -> Tensor:
        first, stem = pictures[0]
        height, width = first.shape[2] // stem, first.shape[3] // stem

        def rows(top: int, end: int) -> Tensor:
            parts = [F.pixel_unshuffle(picture[:, :, top * s : end * s], s) for picture, s in pictures]
            return torch.cat(parts, dim=1).to(self.dtype).permute(0, 2, 3, 1).contiguous()

        return strip_chains.average(rows, height, width, chain, self)


def _add_picture_(out: Tensor, residual: Tensor | None) -> Tensor:
    """out (1, c, H * s, W * s) += residual (1, c, H, W), each of its pixels s * s times."""
    if residual is None:
        return out
    height, width = residual.shape[2:]
    if out.shape[2:] == residual.shape[2:]:
        return out.add_(residual)
    scale = out.shape[2] // height
    out.view(1, -1, height, scale, width, scale).add_(residual[:, :, :, None, :, None])
    return out
