"""Chains of 3x3 convolutions: what they are made of, and how they are walked on whole tensors.

A chain is a sequence of ``nn.Conv2d`` (3x3, stride 1, padding 1), ``nn.LeakyReLU``, ``nn.PixelShuffle`` and
:class:`ResidualConvs`. :mod:`.strip_chains` walks it a strip of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

Chain = Sequence[nn.Module]


class ResidualConvs(nn.Module):
    """x + conv(LeakyReLU(conv(x))), 3x3 convolutions of equal width. Tensor names: ``body.0``, ``body.2``."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(slope),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        out: Tensor = x + self.body(x)
        return out


def shuffled(x: Tensor, factor: int) -> Tensor:
    """Pixel shuffle of (B, H, W, C * factor**2): (B, H * factor, W * factor, C)."""
    b, h, w, c = x.shape
    c //= factor**2  # shuffled channel = c * factor**2 + row * factor + column
    x = x.reshape(b, h, w, c, factor, factor).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(b, h * factor, w * factor, c)


def enlarged(picture: Tensor, side: int) -> Tensor:
    """(B, C, H, W) with each pixel repeated until there are ``side`` rows: nearest-neighbour interpolation."""
    factor = side // picture.shape[2]
    return picture if factor == 1 else F.interpolate(picture, scale_factor=factor, mode="nearest")


def convolutions(chain: Chain) -> Iterator[tuple[nn.Conv2d, int]]:
    """Each convolution of the chain, and by how much its sides are longer than those at the beginning."""
    scale = 1
    for module in chain:
        if isinstance(module, nn.PixelShuffle):
            scale *= module.upscale_factor
        elif isinstance(module, nn.Conv2d):
            yield module, scale
        elif isinstance(module, ResidualConvs):
            yield from ((inner, scale) for inner in module.body if isinstance(inner, nn.Conv2d))


def values(chain: Chain) -> list[int]:
    """Of each convolution's wider side, for a position at the beginning of the chain."""
    return [max(conv.in_channels, conv.out_channels) * scale**2 for conv, scale in convolutions(chain)]


def last_of(chain: Chain) -> tuple[int, int]:
    """(channels, by how much the sides are longer) at the end of the chain."""
    *_, (conv, scale) = convolutions(chain)
    final = chain[-1].upscale_factor if isinstance(chain[-1], nn.PixelShuffle) else 1
    return conv.out_channels // final**2, scale * final
