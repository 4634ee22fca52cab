"""A C2F-DFT network on one large picture, strip by strip: memory for the features of level 1 and little more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrestore.methods.c2f_dft.config import LEVELS
from dfrestore.nn import strips as nn
from dfrestore.nn.cells import cells_of
from dfrestore.nn.strips import Strips
from dfrestore.nn.strips_block import block_

if TYPE_CHECKING:
    from dfrestore.methods.c2f_dft.network import C2FDFT


def evaluate(network: C2FDFT, y: Tensor, x_t: Tensor, t: Tensor, strips: Strips) -> Tensor:
    """``network(y, x_t, t)`` of one picture, within rounding: y, x_t (3, H, W), t (1,) -> (3, H, W) float32.

    What is needed no longer is dropped at once: the peak is in the last stage, with its features and its v,
    2 * dim channels each.
    """
    config = network.config

    def stage(name: str, x: Tensor) -> Tensor:
        e = network.embedding(t, x.shape[3])
        cells = cells_of(strips.windows, LEVELS[name], x.shape[1], x.shape[2], y.shape[1])
        for block in getattr(network, name):
            block_(x, e, block, strips, cells)
        return x

    embedded = _patch_embed(network, y, x_t, strips)
    skipped = embedded.clone() if config.dual_pixel else None
    out1 = stage("encoder_level1", embedded)
    del embedded
    out2 = stage("encoder_level2", nn.downsample(out1, network.down1_2, strips))
    out3 = stage("encoder_level3", nn.downsample(out2, network.down2_3, strips))
    x = stage("latent", nn.downsample(out3, network.down3_4, strips))
    x = nn.merge_(nn.upsample(x, network.up4_3, strips), out3, network.reduce_chan_level3, strips)
    del out3
    x = stage("decoder_level3", x)
    x = nn.merge_(nn.upsample(x, network.up3_2, strips), out2, network.reduce_chan_level2, strips)
    del out2
    x = stage("decoder_level2", x)
    strips.release()
    wide = out1.new_empty(*out1.shape[:3], 2 * config.dim)
    nn.upsample(x, network.up2_1, strips, out=wide[..., : config.dim])
    wide[..., config.dim :] = out1
    del x, out1
    stage("decoder_level1", wide)
    if skipped is not None:
        _add_skip(network, wide, skipped, strips)
    return _output(network, wide, x_t if network.skip == "x_t" else y, strips)


def _patch_embed(network: C2FDFT, y: Tensor, x_t: Tensor, strips: Strips) -> Tensor:
    """(1, H/stem, W/stem, dim) of the pictures y and x_t (3, H, W)."""
    stem = network.config.stem
    height, width = y.shape[1] // stem, y.shape[2] // stem
    out = y.new_empty(1, height, width, network.config.dim, dtype=strips.features or strips.dtype)

    def rows(first: int, end: int) -> Tensor:
        image = torch.cat([y[None, :, first * stem : end * stem], x_t[None, :, first * stem : end * stem]], dim=1)
        return F.pixel_unshuffle(image, stem).to(strips.dtype).permute(0, 2, 3, 1).contiguous()

    for first, end, part in nn.conv3x3_of(rows, height, width, network.patch_embed.proj, strips):
        out[:, first:end] = part
    return out


def _add_skip(network: C2FDFT, x: Tensor, skipped: Tensor, strips: Strips) -> None:
    """The dual-pixel variant's second skip: x (1, H, W, 2 dim) += skip_conv(skipped (1, H, W, dim))."""
    for first, end in strips.spans(x.shape[1], x.shape[2] * x.shape[3]):
        weight = network.skip_conv.weight.to(strips.dtype).flatten(1)
        bias = None if network.skip_conv.bias is None else network.skip_conv.bias.to(strips.dtype)
        x[:, first:end] += F.linear(skipped[:, first:end].to(strips.dtype), weight, bias)


def _output(network: C2FDFT, x: Tensor, residual: Tensor, strips: Strips) -> Tensor:
    """The last convolution of (1, H, W, 2 dim), shuffled to (3, H, W) float32; plus the residual."""
    stem = network.config.stem
    out = torch.empty_like(residual, dtype=torch.float32)
    for first, end, part in nn.conv3x3(x, network.output, strips):
        picture = F.pixel_shuffle(part.permute(0, 3, 1, 2), stem)[0]
        out[:, first * stem : end * stem] = picture
    return out if network.config.dual_pixel else out.add_(residual)
