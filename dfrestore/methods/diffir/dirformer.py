"""DIRformer, the network that restores: a U-shaped Transformer of four levels, guided by the prior vector z."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.methods.diffir.blocks import TransformerBlock
from dfrestore.methods.diffir.config import DiffIRConfig
from dfrestore.nn import LEVELS, Downsample, How, PatchEmbed, Upsample, walk_levels
from dfrestore.nn.chains import enlarged


class _Tail(nn.Sequential):
    """Twice a convolution to four times the channels and a pixel shuffle, without activation; then one to a picture."""

    def __init__(self, channels: int) -> None:
        layers = [[nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2)] for _ in range(2)]
        super().__init__(nn.Sequential(*layers[0], *layers[1]), nn.Conv2d(channels, 3, 3, padding=1))

    @property
    def chain(self) -> list[nn.Module]:
        doublings, last = self
        assert isinstance(doublings, nn.Sequential)
        return [*doublings, last]


class DIRformer(nn.Module):
    """G(lq, z) -> picture: lq (B, 3 or 4, H, W) in [0, 1], z (B, code) -> (B, 3, sH, sW), unclamped.

    Tensor names and shapes are the authors'. (Paper, Fig. 2; facts, section 3.6.)
    """

    def __init__(self, config: DiffIRConfig) -> None:
        super().__init__()
        self.config = config
        dim, blocks, heads = config.dim, config.blocks, config.heads

        def stage(level: int, width: int, count: int) -> nn.Sequential:
            shape = (width, heads[level], config.ffn_factor, config.bias, config.norm, config.code)
            return nn.Sequential(*(TransformerBlock(*shape) for _ in range(count)))

        self.patch_embed = PatchEmbed(config.planes * config.stem**2, dim)
        self.encoder_level1 = stage(0, dim, blocks[0])
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = stage(1, dim * 2, blocks[1])
        self.down2_3 = Downsample(dim * 2)
        self.encoder_level3 = stage(2, dim * 4, blocks[2])
        self.down3_4 = Downsample(dim * 4)
        self.latent = stage(3, dim * 8, blocks[3])
        self.up4_3 = Upsample(dim * 8)
        self.reduce_chan_level3 = nn.Conv2d(dim * 8, dim * 4, 1, bias=config.bias)
        self.decoder_level3 = stage(2, dim * 4, blocks[2])
        self.up3_2 = Upsample(dim * 4)
        self.reduce_chan_level2 = nn.Conv2d(dim * 4, dim * 2, 1, bias=config.bias)
        self.decoder_level2 = stage(1, dim * 2, blocks[1])
        self.up2_1 = Upsample(dim * 2)
        self.decoder_level1 = stage(0, dim * 2, blocks[0])
        if config.refinement:
            self.refinement = stage(0, dim * 2, config.refinement)
        if config.tail:
            self.tail = _Tail(dim * 2)
        else:
            channels = 3 * (config.stem * config.scale) ** 2
            self.output = nn.Conv2d(dim * 2, channels, 3, padding=1, bias=config.bias)

    def forward(self, lq: Tensor, z: Tensor) -> Tensor:
        """As the authors write it: convolutions and matrix products on (B, C, H, W)."""
        config = self.config
        out1 = self._stage("encoder_level1", self.patch_embed(F.pixel_unshuffle(lq, config.stem)), z)
        out2 = self._stage("encoder_level2", self.down1_2(out1), z)
        out3 = self._stage("encoder_level3", self.down2_3(out2), z)
        x = self._stage("latent", self.down3_4(out3), z)  # (B, 8C, H/8, W/8)
        x = self.reduce_chan_level3(torch.cat([self.up4_3(x), out3], dim=1))
        x = self._stage("decoder_level3", x, z)
        x = self.reduce_chan_level2(torch.cat([self.up3_2(x), out2], dim=1))
        x = self._stage("decoder_level2", x, z)
        x = torch.cat([self.up2_1(x), out1], dim=1)  # no 1x1 convolution here: what follows is twice as wide
        x = self._stage("decoder_level1", x, z)
        if config.refinement:
            x = self._stage("refinement", x, z)
        out = self.tail(x) if config.tail else F.pixel_shuffle(self.output(x), config.stem * config.scale)
        return out + enlarged(lq[:, :3], out.shape[2]) if config.residual else out

    def walk(self, how: How, lq: Tensor, z: Tensor) -> Tensor:
        """:meth:`forward` with the verbs of ``how``, within rounding; of lq's type."""
        height = lq.shape[2]

        def blocks(name: str, x: Tensor) -> Tensor:
            cells = how.cells(LEVELS[name], x, height)
            for block in getattr(self, name):
                x = how.block(x, block.branches(z), cells)
            return x

        x = walk_levels(how, self, how.read((lq,), self.patch_embed.proj, self.config.stem), blocks)
        if self.config.refinement:
            x = blocks("refinement", x)
        return self._written(how, x, lq)

    def _written(self, how: How, x: Tensor, lq: Tensor) -> Tensor:
        config = self.config
        residual = lq[:, :3] if config.residual else None
        if config.tail:
            return how.write_chain(x, self.tail.chain, residual).to(lq.dtype)
        return how.write(x, self.output, config.stem * config.scale, residual).to(lq.dtype)

    def _stage(self, name: str, x: Tensor, z: Tensor) -> Tensor:
        for block in getattr(self, name):
            x = block(x, z)
        return x

    def ends(self) -> tuple[nn.Module, ...]:
        """The layers that read or write pictures."""
        return self.patch_embed.proj, self.tail[1] if self.config.tail else self.output
