"""The blocks' arithmetic on (B, H, W, C): same parameters, same result within rounding, several times faster.

Layer norm runs over the last axis, 1x1 convolutions are matrix products, the 3x3 depth-wise convolution sees
channels-last memory, and the output projection is folded into each picture's attention matrix
(v A^T W^T = v (W A)^T: one C x C product instead of one over all pixels). Everything is differentiable.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn.blocks import NORM_EPS, FeedForward, LayerNorm2d, TransformerBlock, TransposedAttention
from dfrestore.nn.cells import Grid
from dfrestore.nn.resample import Downsample, Upsample
from dfrestore.nn.sums import sums
from dfrestore.nn.window import attend, matrices


def to_nhwc(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), contiguous."""
    return x.permute(0, 2, 3, 1).contiguous()


def to_nchw(x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C, H, W) view in channels-last memory."""
    return x.permute(0, 3, 1, 2)


def conv3x3(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A padded 3x3 convolution of (B, H, W, C) features, depth-wise ones too."""
    weight, bias = _cast(conv, x.dtype)
    out = F.conv2d(
        to_nchw(x), weight.contiguous(memory_format=torch.channels_last), bias, padding=1, groups=conv.groups
    )
    return out.permute(0, 2, 3, 1)


def conv1x1(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution as a matrix product over the last axis."""
    weight, bias = _cast(conv, x.dtype)
    return F.linear(x, weight.flatten(1), bias)


def layer_norm(x: Tensor, norm: LayerNorm2d, e: Tensor) -> Tensor:
    """norm(x) + e, x (B, H, W, C), e (B, C)."""
    weight = norm.body.weight.to(x.dtype)
    if norm.body.bias is not None:
        if e.shape[0] == 1:  # one time for the whole batch: the embedding folds into the bias
            return F.layer_norm(x, x.shape[-1:], weight, norm.body.bias.to(x.dtype) + e[0], NORM_EPS)
        return F.layer_norm(x, x.shape[-1:], weight, norm.body.bias.to(x.dtype), NORM_EPS) + e[:, None, None]
    variance, _ = torch.var_mean(x.to(_at_least_fp32(x.dtype)), dim=-1, keepdim=True, correction=0)
    return x * torch.rsqrt(variance + NORM_EPS).to(x.dtype) * weight + e[:, None, None]


def sums_of_heads(qk: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """q beside k (B, N, 2C) -> (q.k of each head (B, heads, c, c), squares (B, 2, C)), float32 at least.

    The Gram matrix is taken for all channels at once (its blocks between heads are thrown away: cheaper than
    gathering strided heads).
    """
    b, _, both = qk.shape
    c = both // 2 // heads
    wide = _at_least_fp32(qk.dtype)
    gram, squares = sums(qk)
    gram = gram.view(b, heads, c, heads, c).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
    return gram.to(wide), squares.to(wide).view(b, 2, heads, c).transpose(1, 2)


def _at_least_fp32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def attention(x: Tensor, residual: Tensor, attn: TransposedAttention, cells: Grid | None = None) -> Tensor:
    """residual + attn(x), all (B, H, W, C). cells: windows of the statistics, None for the whole picture's."""
    b, h, w, c = x.shape
    if cells is not None and not cells.whole:
        q, k, v = conv3x3(conv1x1(x, attn.qkv), attn.qkv_dwconv).chunk(3, dim=-1)
        out = residual + attend(q, k, v, attn, cells)
        return out if attn.project_out.bias is None else out + attn.project_out.bias.to(x.dtype)
    qkv = conv3x3(conv1x1(x, attn.qkv), attn.qkv_dwconv).reshape(b, h * w, 3 * c)
    qk, v = torch.split(qkv, [2 * c, c], dim=-1)
    gram, squares = sums_of_heads(qk, attn.heads)
    matrix = matrices(gram[:, None], squares[:, None], attn)[:, 0]
    out = torch.baddbmm(residual.reshape(b, h * w, c), v, matrix.to(x.dtype))
    if attn.project_out.bias is not None:
        out = out + attn.project_out.bias.to(x.dtype)
    return out.view(b, h, w, c)


def feed_forward(x: Tensor, residual: Tensor, ffn: FeedForward) -> Tensor:
    """residual + ffn(x), all (B, H, W, C)."""
    hidden = F.gelu(conv1x1(x, ffn.project_in)).flatten(0, 2)
    weight, bias = _cast(ffn.project_out, x.dtype)
    out = torch.addmm(residual.flatten(0, 2), hidden, weight.flatten(1).t()).view(residual.shape)
    return out if bias is None else out + bias


def block(x: Tensor, e: Tensor, module: TransformerBlock, cells: Grid | None = None) -> Tensor:
    """One Transformer block: x (B, H, W, C), e (B or 1, C)."""
    x = attention(layer_norm(x, module.norm1, e), x, module.attn, cells)
    return feed_forward(layer_norm(x, module.norm2, e), x, module.ffn)


def downsample(x: Tensor, module: Downsample) -> Tensor:
    """(B, H, W, C) -> (B, H/2, W/2, 2C)."""
    conv = module.body[0]
    assert isinstance(conv, nn.Conv2d)
    x = conv3x3(x, conv)
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4)  # unshuffled channel = c*4 + row*2 + column
    return x.reshape(b, h // 2, w // 2, c * 4)


def upsample(x: Tensor, module: Upsample) -> Tensor:
    """(B, H, W, C) -> (B, 2H, 2W, C/2)."""
    conv = module.body[0]
    assert isinstance(conv, nn.Conv2d)
    x = conv3x3(x, conv)
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, c // 4, 2, 2).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(b, h * 2, w * 2, c // 4)


def _cast(conv: nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    return conv.weight.to(dtype), None if conv.bias is None else conv.bias.to(dtype)
