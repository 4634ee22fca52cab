"""The U-Net of NAF blocks that DTPM's denoiser and predictor share: as the facts write it, and as a walk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn import How, NAFBlock
from dfrestore.nn.naf import Affine

B = TypeVar("B", bound=NAFBlock)


@dataclass(frozen=True)
class Shape:
    """width: channels at level 1; each level doubles them. encoder, decoder: blocks of each level, from level 1 down;
    middle: blocks below the last. stem: 1 is the paper's; 2 and 4 are ours: the network works on the pixel-unshuffled
    picture.
    """

    width: int
    encoder: tuple[int, ...]
    middle: int
    decoder: tuple[int, ...]
    stem: int = 1

    def __post_init__(self) -> None:
        if not 4 <= self.width <= 512:
            raise ValueError(f"width {self.width} is not from 4 to 512")
        if len(self.encoder) != len(self.decoder) or not 1 <= len(self.encoder) <= 5:
            raise ValueError(
                f"encoder {list(self.encoder)} and decoder {list(self.decoder)} do not have as many levels, from 1 to 5"
            )
        if not all(0 <= count <= 64 for count in (*self.encoder, self.middle, *self.decoder)):
            raise ValueError("a level has from 0 to 64 blocks")
        if self.stem not in (1, 2, 4):
            raise ValueError(f"stem {self.stem} is not 1, 2 or 4")

    @property
    def levels(self) -> int:
        return len(self.encoder)

    @property
    def multiple(self) -> int:
        """Sides of pictures are multiples of it."""
        return self.stem << self.levels

    def places(self) -> Iterator[tuple[str, int, int]]:
        """(name, level, blocks) of each group of blocks, in the order in which they work; level 1 is the first."""
        for i, count in enumerate(self.encoder):
            yield f"encoder{i + 1}", i + 1, count
        yield "middle", self.levels + 1, self.middle
        for i in reversed(range(self.levels)):
            yield f"decoder{i + 1}", i + 1, self.decoder[i]

    def products(self, inputs: int) -> float:
        """Multiplications for an input pixel."""
        total: float = 9.0 * self.width * self.stem**2 * (inputs + 3)
        for _, level, count in self.places():
            width = self.width << (level - 1)
            total += count * (6.0 * width**2 + 18 * width) / 4 ** (level - 1)
        total += sum(16 * (self.width << i) ** 2 / 4 ** (i + 1) for i in range(self.levels))  # down and up
        return float(total / self.stem**2)


class UNet(nn.Module, Generic[B]):
    """Pictures (B, inputs, H, W) -> (B, 3, H, W); H and W are multiples of ``shape.multiple``. (Facts, section 3.2.)

    block: makes a block of so many channels.
    """

    def __init__(self, shape: Shape, inputs: int, block: Callable[[int], B]) -> None:
        super().__init__()
        self.shape = shape
        width, unshuffled = shape.width, shape.stem**2
        self.intro = nn.Conv2d(inputs * unshuffled, width, 3, padding=1)
        for name, level, count in shape.places():
            setattr(self, name, nn.ModuleList(block(width << (level - 1)) for _ in range(count)))
        wide = [width << i for i in range(shape.levels)]
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in wide)
        self.ups = nn.ModuleList(nn.Conv2d(2 * c, 4 * c, 1, bias=False) for c in wide)
        self.ending = nn.Conv2d(width, 3 * unshuffled, 3, padding=1)

    def blocks(self, place: str) -> Sequence[B]:
        """The blocks of one group."""
        found: Sequence[B] = getattr(self, place)
        return found

    def literal(self, picture: Tensor, blocks: Callable[[str, Tensor], Tensor]) -> Tensor:
        """As the paper's figure has it, on (B, C, H, W). blocks(place, x): what a group of blocks makes of x."""
        levels, skips = range(1, self.shape.levels + 1), []
        x = self.intro(F.pixel_unshuffle(picture, self.shape.stem))
        for level, down in zip(levels, self.downs, strict=True):
            skips.append(blocks(f"encoder{level}", x))
            x = down(skips[-1])
        x = blocks("middle", x)
        for level, up in zip(reversed(levels), reversed(self.ups), strict=True):
            x = blocks(f"decoder{level}", skips.pop() + F.pixel_shuffle(up(x), 2))
        return F.pixel_shuffle(self.ending(x), self.shape.stem)

    def walk(
        self,
        how: How,
        pictures: Sequence[Tensor],
        block: Callable[[B], tuple[Affine, Affine]],
        after: Callable[[str, int, Tensor], Tensor] | None = None,
        residual: Tensor | None = None,
    ) -> Tensor:
        """The same with the verbs of ``how``, plus ``residual``. block: what a block's norms are scaled and shifted by.

        after(place, index, x): what follows each block.
        """
        height, skips = pictures[0].shape[2], []

        def blocks(place: str, level: int, x: Tensor) -> Tensor:
            cells = how.cells(level, x, height)
            for index, each in enumerate(self.blocks(place)):
                x = how.block(x, each.branches(*block(each)), cells)
                if after is not None:
                    x = after(place, index, x)
            return x

        x = how.read(pictures, self.intro, self.shape.stem)
        for level, down in enumerate(self.downs, 1):
            skips.append(blocks(f"encoder{level}", level, x))
            x = how.halve(skips[-1], down)  # type: ignore[arg-type]
        x = blocks("middle", self.shape.levels + 1, x)
        for level in range(self.shape.levels, 0, -1):
            x = how.grow(x, self.ups[level - 1], skips.pop())  # type: ignore[arg-type]
            x = blocks(f"decoder{level}", level, x)
        return how.write(x, self.ending, self.shape.stem, residual)


class LearntBlock(NAFBlock):
    """A NAF block whose norms have a learnt scale and shift: NAFNet's."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm1 = _Affine(channels)
        self.norm2 = _Affine(channels)

    def affines(self) -> tuple[Affine, Affine]:
        return self.norm1.pair, self.norm2.pair


class _Affine(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    @property
    def pair(self) -> Affine:
        return self.weight[None], self.bias[None]
