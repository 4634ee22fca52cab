"""DTPM's denoiser: NAF blocks whose norms are driven by the timestep and the semantic code, and the adapters."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.methods.dtpm.unet import LearntBlock, Shape, UNet
from dfrestore.nn import Adapter, How, NAFBlock
from dfrestore.nn.naf import Affine

LEAST_HIDDEN = 8  # channels of an adapter


class DenoiserBlock(NAFBlock):
    """A NAF block with AdaLN: norm(x) * (1 + a) + b, a and b from the time vector and the semantic vector.

    (Facts, section 3.1; the paper writes the same with another start.) semantic: length of its vector, 0 for none.
    """

    def __init__(self, channels: int, time: int, semantic: int) -> None:
        super().__init__(channels)
        self.time = _zero(nn.Linear(time, 4 * channels))
        if semantic:
            self.semantic = _zero(nn.Linear(semantic, 4 * channels))

    def affines(self, time: Tensor, semantic: Tensor | None) -> tuple[Affine, Affine]:
        """Of both norms. time (B, d_t), semantic (B or 1, d_s)."""
        made = self.time(F.silu(time))
        if semantic is not None:
            made = made + self.semantic(F.silu(semantic))
        a1, b1, a2, b2 = made.chunk(4, dim=1)
        return (1 + a1, b1), (1 + a2, b2)


def _zero(linear: nn.Linear) -> nn.Linear:
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.zero_()
    return linear


class TimeEmbedding(nn.Module):
    """t (B,) in steps 0..999 -> (B, features): sines and cosines, then two linear layers."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.channels = channels
        self.first = nn.Linear(channels, features)
        self.second = nn.Linear(features, features)

    def forward(self, t: Tensor) -> Tensor:
        out: Tensor = self.second(F.silu(self.first(sinusoid(t, self.channels))))
        return out


def sinusoid(t: Tensor, channels: int) -> Tensor:
    """(B, channels) float32: [sin(t w_k), cos(t w_k)], w_k = 10000^(-k / half), half = channels // 2."""
    half = channels // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000) / half))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Denoiser(UNet[DenoiserBlock]):
    """f(condition, x_t, t, code) -> the noise or the residual, (B, 3, H, W). (Paper, Fig. 3; facts, section 3.)

    condition, x_t: (B, 3, H, W) in [-1, 1] and beyond; t (B,); code: the semantic vector (B or 1, semantic), or None.
    """

    def __init__(self, shape: Shape, time: int, semantic: int) -> None:
        super().__init__(shape, 6, lambda channels: DenoiserBlock(channels, time, semantic))
        self.embed = TimeEmbedding(shape.width // 2 * 2, time)


class Adapters(nn.Module):
    """An adapter after every block of the denoiser. (Paper, Eq. 5; facts, section 5.2.)

    ratio: channels in between, for each channel of the features.
    """

    def __init__(self, shape: Shape, ratio: float) -> None:
        super().__init__()
        for name, level, count in shape.places():
            width = shape.width << (level - 1)
            hidden = max(LEAST_HIDDEN, int(ratio * width))
            setattr(self, name, nn.ModuleList(Adapter(width, hidden) for _ in range(count)))
        self.levels = {name: level for name, level, _ in shape.places()}
        self.stem = shape.stem

    def sights(self, base: Tensor) -> dict[int, Tensor]:
        """The picture (B, 3, H, W) at each level's resolution, by area averaging."""
        return {level: F.avg_pool2d(base, self.stem << (level - 1)) for level in sorted(set(self.levels.values()))}

    def one(self, place: str, index: int) -> Adapter:
        adapter = getattr(self, place)[index]
        assert isinstance(adapter, Adapter)
        return adapter

    def literal(self, base: Tensor) -> Callable[[str, int, Tensor], Tensor]:
        """after(place, index, x): x and what the adapter adds, (B, C, H, W)."""
        sights = self.sights(base)
        return lambda place, index, x: self.one(place, index)(x, sights[self.levels[place]])

    def walk(self, how: How, base: Tensor) -> Callable[[str, int, Tensor], Tensor]:
        """The same with the verbs of ``how``."""
        sights = self.sights(base)
        return lambda place, index, x: how.guide(x, sights[self.levels[place]], self.one(place, index))


class Predictor(UNet[LearntBlock]):
    """y (B, 3, H, W) -> y_eps, the first guess of the clean picture: y itself, untrained. (Facts, section 5.1.)"""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, 3, LearntBlock)
        with torch.no_grad():
            self.ending.weight.zero_()
            assert self.ending.bias is not None
            self.ending.bias.zero_()

    def forward(self, y: Tensor) -> Tensor:
        def blocks(place: str, x: Tensor) -> Tensor:
            for block in self.blocks(place):
                x = block(x, *block.affines())
            return x

        return y + self.literal(y, blocks)

    def predicted(self, how: How, y: Tensor) -> Tensor:
        """:meth:`forward` with the verbs of ``how``."""
        return self.walk(how, (y,), LearntBlock.affines, residual=y)
