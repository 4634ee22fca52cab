"""The U of four levels that Restorer's descendants share, walked with the verbs of a way to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from dfrestore.nn.how import How

LEVELS: Mapping[str, int] = MappingProxyType(
    {
        "encoder_level1": 1,
        "encoder_level2": 2,
        "encoder_level3": 3,
        "latent": 4,
        "decoder_level3": 3,
        "decoder_level2": 2,
        "decoder_level1": 1,
        "refinement": 1,
    }
)
"""The level that each stage of the U works at, in the order in which they do."""

Blocks = Callable[[str, Tensor], Tensor]
"""blocks(stage, x) -> x: all blocks of a stage of the U."""


class PatchEmbed(nn.Module):
    """The first convolution; the authors call it ``proj``."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


def walk_levels(how: How, network: Any, x: Tensor, blocks: Blocks) -> Tensor:
    """From the features of level 1 to those after ``decoder_level1``, which are twice as wide.

    network: has ``down1_2`` to ``up2_1`` and ``reduce_chan_level3``, ``reduce_chan_level2``, as the authors name them.

    Features are dropped as soon as they are not needed: in strips, memory peaks in the last stage, with its features
    and what its attention keeps. So the caller passes x without keeping it.
    """
    out1 = blocks("encoder_level1", x)
    del x
    out2 = blocks("encoder_level2", how.down(out1, network.down1_2))
    out3 = blocks("encoder_level3", how.down(out2, network.down2_3))
    x = blocks("latent", how.down(out3, network.down3_4))
    x = how.merge(how.up(x, network.up4_3), out3, network.reduce_chan_level3)
    del out3
    x = blocks("decoder_level3", x)
    x = how.merge(how.up(x, network.up3_2), out2, network.reduce_chan_level2)
    del out2
    x = blocks("decoder_level2", x)
    x = how.join(x, network.up2_1, out1)
    del out1
    return blocks("decoder_level1", x)
