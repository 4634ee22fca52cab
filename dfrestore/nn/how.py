"""The verbs that a network is walked with: on whole tensors (training), or strip by strip on a large picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dfrestore.nn.adapter import Adapter
from dfrestore.nn.branches import Branch
from dfrestore.nn.cells import Grid
from dfrestore.nn.chains import Chain
from dfrestore.nn.resample import Downsample, Upsample


class How(Protocol):
    """Pictures are (B, C, H, W) float32, features (B, H, W, C). dtype: of the arithmetic.

    A verb may overwrite the features that it is given; features that are needed later are copied first.
    """

    @property
    def dtype(self) -> torch.dtype: ...

    def cells(self, level: int, x: Tensor, height: int) -> Grid | None:
        """Windows for features x at a level of the network; height: of the picture in pixels. None: no windows."""

    def read(self, pictures: Sequence[Tensor], conv: nn.Conv2d, stem: int) -> Tensor:
        """The first convolution, of pictures side by side, pixel-unshuffled by ``stem``."""

    def block(self, x: Tensor, branches: Sequence[Branch], cells: Grid | None) -> Tensor:
        """x and its branches, one after the other."""

    def down(self, x: Tensor, module: Downsample) -> Tensor:
        """Half the sides, twice the channels."""

    def up(self, x: Tensor, module: Upsample) -> Tensor:
        """Twice the sides, half the channels."""

    def merge(self, x: Tensor, skip: Tensor, reduce: nn.Conv2d) -> Tensor:
        """The 1x1 convolution of x beside skip."""

    def join(self, x: Tensor, module: Upsample, skip: Tensor) -> Tensor:
        """x enlarged, beside skip."""

    def halve(self, x: Tensor, conv: nn.Conv2d) -> Tensor:
        """A 2x2 convolution of stride 2."""

    def grow(self, x: Tensor, conv: nn.Conv2d, skip: Tensor) -> Tensor:
        """skip + the 1x1 convolution of x, pixel-shuffled by 2."""

    def guide(self, x: Tensor, picture: Tensor, adapter: Adapter) -> Tensor:
        """x + ``adapter``'s sight of x and of a picture (B, c, H, W) of the same height and width."""

    def copy(self, x: Tensor) -> Tensor:
        """A copy that later verbs do not overwrite."""

    def add(self, x: Tensor, other: Tensor, conv: nn.Conv2d) -> Tensor:
        """x + conv(other), a 1x1 convolution."""

    def write(self, x: Tensor, conv: nn.Conv2d, stem: int, residual: Tensor | None) -> Tensor:
        """The last convolution, pixel-shuffled by ``stem``, plus a picture in its type (a smaller one is enlarged pixel
        by pixel).
        """

    def write_chain(self, x: Tensor, chain: Chain, residual: Tensor | None) -> Tensor:
        """The same with a chain of convolutions and pixel shuffles, of which no map need exist as a whole."""

    def average(self, pictures: Sequence[tuple[Tensor, int]], chain: Chain) -> Tensor:
        """(B, C): the mean over the picture of what the chain makes of pictures side by side, each pixel-unshuffled by
        the number beside it.
        """


class Literal:
    """The network's ``forward``, as the paper writes it: the oracle. A network asks for it before it walks."""

    dtype = torch.float32
