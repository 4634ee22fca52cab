"""Linear systems over the pixels of pictures, each tied to its four neighbours, by conjugate gradients.

On a checkerboard, the neighbours of a red pixel are black. So black pixels follow from red ones, and the iteration runs
over the red ones alone: half the unknowns, and half the iterations of the whole system with a Jacobi preconditioner
(Reid, "The use of conjugate gradients for systems of linear equations possessing 'Property A'", SIAM J. Numer. Anal.
1972). Everything is scaled to a diagonal of 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MOST = 500  # iterations, many times what photos need


@dataclass(frozen=True)
class _Link:
    """Pairs of neighbours, one red and one black, in one direction; weight: (B, 1, pairs).

    red, black: of each the rows (0 the even ones, 1 the odd ones), and which of their pixels.
    """

    red: tuple[int, slice]
    black: tuple[int, slice]
    weight: Tensor


class _Neighbours:
    """The ties between red and black pixels, each (B, C, 2, n): even and odd rows, without the other colour."""

    def __init__(self, across: Tensor, down: Tensor) -> None:
        """across, down: (B, 1, H, W) of even sides, between a pixel and the one to its right and below it."""
        self.links: list[_Link] = []
        width = across.shape[3] // 2
        count = across.shape[2] // 2 * width
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):  # of each 2 x 2 pixels
            for ties, other, step in ((across, row, column), (down, 1 - row, row * width)):
                own, there = slice(0, count - step), slice(step, count)
                weight = ties[..., row::2, column::2].flatten(2)[..., own]
                is_red = row == column
                red, black = ((row, own), (other, there)) if is_red else ((other, there), (row, own))
                self.links.append(_Link(red, black, weight))

    def to_black(self, red: Tensor, black: Tensor) -> Tensor:
        """``black``, with what red neighbours add to it."""
        for link in self.links:
            (half, at), (other, there) = link.red, link.black
            black[:, :, other, there].addcmul_(red[:, :, half, at], link.weight)
        return black

    def to_red(self, black: Tensor, red: Tensor, sign: int = 1) -> Tensor:
        """``red``, with ``sign`` times what black neighbours add to it."""
        for link in self.links:
            (half, at), (other, there) = link.red, link.black
            red[:, :, half, at].addcmul_(black[:, :, other, there], link.weight, value=sign)
        return red


def solve(right: Tensor, across: Tensor, down: Tensor, start: Tensor, tolerance: float) -> Tensor:
    """The x of (Id + L) x = ``right``, (B, C, H, W), with L the Laplacian of the grid of pixels.

    across: (B, 1, H, W), weights between each pixel and the one to its right, 0 in the last column; down: and the one
    below, 0 in the last row. start: a guess of x. tolerance: a channel of a picture is done when its residual is this
    small, relative to the right side.
    """
    height, width = right.shape[2:]
    right, across, down, start = (
        functional.pad(x, (0, width % 2, 0, height % 2)) for x in (right, across, down, start)
    )
    scale, across, down = _scaled(across, down)
    neighbours = _Neighbours(across, down)
    (red, black), (first, _) = _split(right * scale), _split(start / scale)
    between = torch.empty_like(black)

    def matrix(red: Tensor) -> Tensor:
        return neighbours.to_red(neighbours.to_black(red, between.zero_()), red.clone(), -1)

    red = _conjugate_gradients(matrix, neighbours.to_red(black, red), first, tolerance)
    return (_joined(red, neighbours.to_black(red, black), start) * scale)[..., :height, :width]


def _scaled(across: Tensor, down: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What makes the diagonal 1, the inverse of its square root, and both weights in the system that has it."""
    diagonal = 1 + across + down
    diagonal[..., 1:] += across[..., :-1]
    diagonal[..., 1:, :] += down[..., :-1, :]
    scale = diagonal.rsqrt_()
    across, down = across * scale, down * scale
    across[..., :-1] *= scale[..., 1:]
    down[..., :-1, :] *= scale[..., 1:, :]
    return scale, across, down


def _conjugate_gradients(matrix: Callable[[Tensor], Tensor], right: Tensor, x: Tensor, tolerance: float) -> Tensor:
    """The x of matrix(x) = right, (B, C, 2, n), from a first x. Each channel stops on its own."""
    residual = right - matrix(x)
    direction = residual.clone()
    energy, enough = _dot(residual, residual), tolerance**2 * _dot(right, right)
    for _ in range(MOST):
        going = energy > enough
        if not going.any():
            break
        image = matrix(direction)
        step = torch.where(going, energy / _dot(direction, image), 0)
        x = x.addcmul_(direction, step)
        residual.addcmul_(image, -step)
        before, energy = energy, _dot(residual, residual)
        direction.mul_(torch.where(going, energy / before, 0)).add_(residual)
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Of each channel, (B, C, 1, 1)."""
    products: Tensor = torch.linalg.vecdot(a.flatten(2), b.flatten(2))
    return products[..., None, None]


def _split(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The red and the black ones of (B, C, H, W), each (B, C, 2, n)."""
    red = torch.stack([pixels[..., ::2, ::2], pixels[..., 1::2, 1::2]], 2)
    black = torch.stack([pixels[..., ::2, 1::2], pixels[..., 1::2, ::2]], 2)
    return red.flatten(3), black.flatten(3)


def _joined(red: Tensor, black: Tensor, like: Tensor) -> Tensor:
    """The opposite of :func:`_split`; ``like`` has the shape."""
    pixels = torch.empty_like(like)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part = pixels[..., row::2, column::2]
        part.copy_((red if row == column else black)[:, :, row].view_as(part))
    return pixels
