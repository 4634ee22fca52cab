"""The three kinds of branch that every block of the papers is made of: ``x += branch(norm(x))``.

    Pointwise   sees one pixel at a time: it joins the walk over the picture that the branch before it makes.
    Spatial     a depth-wise 3x3 convolution between two 1x1 ones: one walk in place.
    Mixing      mixes channels by a matrix that is made of sums over the picture. A first walk gathers the sums and
                keeps C channels; a second one multiplies these with the matrix.

A branch belongs to one block and one time (or code). ``norm`` normalises and modulates its input. Where necessary, the
arithmetic is written twice: differentiable on whole tensors (``add``, ``matrix``), and for a few rows of a large
picture (``add_``, ``sums``, ``matrices``). The walks are in :mod:`.whole` and :mod:`.strips`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dfrestore.nn.cells import Axis
from dfrestore.nn.norm import Normed
from dfrestore.nn.rows import Rows


class Branch(ABC):
    """norm: makes what the branch sees of its input."""

    norm: Normed


class Pointwise(Branch):
    """width: channels of its widest map."""

    @property
    @abstractmethod
    def width(self) -> int: ...

    @abstractmethod
    def add(self, x: Tensor) -> Tensor:
        """x + branch(norm(x)), (B, H, W, C), differentiable."""

    @abstractmethod
    def add_(self, x: Tensor, how: Rows) -> None:
        """The same in place for pixels (N, C)."""


class Wide(Branch):
    """A branch that begins with a 1x1 convolution, ``project``, and a depth-wise 3x3 one, ``spatial``: D channels."""

    @property
    @abstractmethod
    def project(self) -> nn.Conv2d: ...

    @property
    @abstractmethod
    def spatial(self) -> nn.Conv2d: ...


class Spatial(Wide):
    """After those convolutions, it sees one pixel at a time."""

    def aligned(self) -> Spatial:
        """The same within rounding, for rows of a picture: with widths that matrix products like."""
        return self

    @abstractmethod
    def add(self, x: Tensor, wide: Tensor) -> Tensor:
        """x (B, H, W, C) + the rest of the branch, of wide (B, H, W, D); differentiable."""

    @abstractmethod
    def add_(self, x: Tensor, wide: Tensor, how: Rows) -> None:
        """The same in place for pixels (N, C) and (N, D)."""


class Mixing(Wide):
    """After those convolutions, it multiplies a part of the channels with a matrix made of sums over the picture."""

    @property
    @abstractmethod
    def bias(self) -> Tensor | None:
        """(C,), added last."""

    @abstractmethod
    def split(self, wide: Tensor) -> tuple[Tensor, Tensor]:
        """wide (..., D) -> (summed (..., S), for the sums, and kept (..., C), to multiply with the matrix)."""

    @abstractmethod
    def matrix(self, summed: Tensor) -> Tensor:
        """(B, C, C) from all N positions (B, N, S) of a picture, the right factor of ``kept``; differentiable."""

    @abstractmethod
    def sums(self, summed: Tensor, how: Rows) -> Tensor:
        """(K,) over some rows (1, n, W, S) of one picture, in fp32 at least: added up over all rows."""

    @abstractmethod
    def sums_of_cells(self, summed: Tensor, columns: Axis) -> Tensor:
        """(B, cells, K) of a row of cells (B, side, W, S), in fp32 at least."""

    @abstractmethod
    def matrices(self, sums: Tensor) -> Tensor:
        """(B, cells, C, C) from sums (B, cells, K)."""
