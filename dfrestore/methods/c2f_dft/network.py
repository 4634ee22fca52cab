"""The C2F-DFT network (paper, Fig. 2; differences between paper and authors' code follow the code).

A U-shaped Transformer of four levels without a refinement stage; attention between channels; the time embedding
has no parameters. Tensor names and shapes are the authors', so that their files load strictly.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.methods.c2f_dft.config import LEVELS, C2FDFTConfig, Sampling
from dfrestore.methods.c2f_dft.strips import evaluate
from dfrestore.nn import Downsample, TransformerBlock, Upsample, time_embedding
from dfrestore.nn import channels_last as fast
from dfrestore.nn.cells import cells_of
from dfrestore.nn.strips import Strips
from dfrestore.windows import Windows


class _PatchEmbed(nn.Module):
    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class C2FDFT(nn.Module):
    """network(y, x_t, t) -> prediction.

    y, x_t: (B, 3, H, W) in [-1, 1], H and W multiples of :attr:`multiple`; t: (B,) in 0..999.
    ``skip`` names what is added to the last convolution: ``"x_t"`` makes the output the noise (the paper's),
    ``"y"`` the clean image (ours, for ``sample`` prediction); the dual-pixel variant adds nothing.
    """

    def __init__(self, config: C2FDFTConfig, skip: Literal["x_t", "y"] = "x_t") -> None:
        super().__init__()
        self.config = config
        self.skip = skip
        self.sampling = Sampling("epsilon" if skip == "x_t" else "sample")
        self.multiple = 8 * config.stem
        dim, blocks, heads = config.dim, config.blocks, config.heads
        unshuffled = config.stem**2

        def stage(level: int, width: int) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerBlock(width, heads[level], config.ffn_factor, config.bias, config.norm)
                for _ in range(blocks[level])
            )

        self.patch_embed = _PatchEmbed(6 * unshuffled, dim)
        self.encoder_level1 = stage(0, dim)
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = stage(1, dim * 2)
        self.down2_3 = Downsample(dim * 2)
        self.encoder_level3 = stage(2, dim * 4)
        self.down3_4 = Downsample(dim * 4)
        self.latent = stage(3, dim * 8)
        self.up4_3 = Upsample(dim * 8)
        self.reduce_chan_level3 = nn.Conv2d(dim * 8, dim * 4, 1, bias=config.bias)
        self.decoder_level3 = stage(2, dim * 4)
        self.up3_2 = Upsample(dim * 4)
        self.reduce_chan_level2 = nn.Conv2d(dim * 4, dim * 2, 1, bias=config.bias)
        self.decoder_level2 = stage(1, dim * 2)
        self.up2_1 = Upsample(dim * 2)
        self.decoder_level1 = stage(0, dim * 2)
        if config.dual_pixel:
            self.skip_conv = nn.Conv2d(dim, dim * 2, 1, bias=config.bias)
        self.output = nn.Conv2d(dim * 2, 3 * unshuffled, 3, padding=1, bias=config.bias)

    def forward(self, y: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The network as the paper writes it: convolutions and matrix products on (B, C, H, W)."""
        stem = self.config.stem
        embedded = self.patch_embed(F.pixel_unshuffle(torch.cat([y, x_t], dim=1), stem))  # (B, C, H, W)
        out1 = self._stage("encoder_level1", embedded, t)  # (B, C, H, W)
        out2 = self._stage("encoder_level2", self.down1_2(out1), t)  # (B, 2C, H/2, W/2)
        out3 = self._stage("encoder_level3", self.down2_3(out2), t)  # (B, 4C, H/4, W/4)
        latent = self._stage("latent", self.down3_4(out3), t)  # (B, 8C, H/8, W/8)
        x = self.reduce_chan_level3(torch.cat([self.up4_3(latent), out3], dim=1))
        x = self._stage("decoder_level3", x, t)  # (B, 4C, H/4, W/4)
        x = self.reduce_chan_level2(torch.cat([self.up3_2(x), out2], dim=1))
        x = self._stage("decoder_level2", x, t)  # (B, 2C, H/2, W/2)
        x = torch.cat([self.up2_1(x), out1], dim=1)  # no 1x1 convolution here: the last stage is twice as wide
        x = self._stage("decoder_level1", x, t)  # (B, 2C, H, W)
        if self.config.dual_pixel:
            dual: Tensor = F.pixel_shuffle(self.output(x + self.skip_conv(embedded)), stem)
            return dual
        return F.pixel_shuffle(self.output(x), stem) + (x_t if self.skip == "x_t" else y)

    def forward_fast(
        self, y: Tensor, x_t: Tensor, t: Tensor, dtype: torch.dtype = torch.float32, windows: Windows | None = None
    ) -> Tensor:
        """:meth:`forward` on (B, H, W, C) features computed in ``dtype``; differentiable; returns y's dtype.

        Equal to :meth:`forward` within rounding, but for ``windows`` of the attention.
        """
        stem = self.config.stem
        image = F.pixel_unshuffle(torch.cat([y, x_t], dim=1), stem).to(dtype)
        embedded = fast.conv3x3(fast.to_nhwc(image), self.patch_embed.proj)

        def stage(name: str, x: Tensor) -> Tensor:
            e = self.embedding(t, x.shape[-1]).to(dtype)
            cells = cells_of(windows, LEVELS[name], x.shape[1], x.shape[2], y.shape[2])
            for block in getattr(self, name):
                x = fast.block(x, e, block, cells)
            return x

        out1 = stage("encoder_level1", embedded)
        out2 = stage("encoder_level2", fast.downsample(out1, self.down1_2))
        out3 = stage("encoder_level3", fast.downsample(out2, self.down2_3))
        latent = stage("latent", fast.downsample(out3, self.down3_4))
        x = fast.conv1x1(torch.cat([fast.upsample(latent, self.up4_3), out3], dim=-1), self.reduce_chan_level3)
        x = stage("decoder_level3", x)
        x = fast.conv1x1(torch.cat([fast.upsample(x, self.up3_2), out2], dim=-1), self.reduce_chan_level2)
        x = stage("decoder_level2", x)
        x = stage("decoder_level1", torch.cat([fast.upsample(x, self.up2_1), out1], dim=-1))
        if self.config.dual_pixel:
            x = x + fast.conv1x1(embedded, self.skip_conv)
        out = F.pixel_shuffle(fast.to_nchw(fast.conv3x3(x, self.output)), stem).to(y.dtype)
        if self.config.dual_pixel:
            return out
        return out + (x_t if self.skip == "x_t" else y)

    def forward_strips(self, y: Tensor, x_t: Tensor, t: Tensor, strips: Strips) -> Tensor:
        """:meth:`forward` of one picture of any size, strip by strip: y, x_t (3, H, W), t (1,) -> (3, H, W) float32.

        For inference. Equal to :meth:`forward` within rounding.
        """
        return evaluate(self, y, x_t, t, strips)

    def ends(self) -> tuple[nn.Module, ...]:
        """The layers that read or write pictures."""
        return self.patch_embed.proj, self.output

    def _stage(self, name: str, x: Tensor, t: Tensor) -> Tensor:
        # The authors make one embedding a stage, in fp32, and hand it on unchanged.
        e = self.embedding(t, x.shape[1]).to(x.dtype)[:, :, None, None]
        for block in getattr(self, name):
            x = block(x, e)
        return x

    def embedding(self, t: Tensor, channels: int) -> Tensor:
        """The time embedding of a stage of this width: t (B,) -> (B or 1, channels) float32."""
        return time_embedding(t, channels) if self.config.time_embedding else t.new_zeros(1, channels)
