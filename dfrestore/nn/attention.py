"""Transposed attention, between channels: the module as the papers write it, and its branch (see :mod:`.branches`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.nn.branches import Mixing
from dfrestore.nn.cells import Axis
from dfrestore.nn.norm import Normed
from dfrestore.nn.rows import Rows, as_pixels
from dfrestore.nn.sums import sums

UNIT_EPS = 1e-12


class TransposedAttention(nn.Module):
    """Multi-head attention between channels: per head softmax(q k^T * temperature), a c x c matrix.

    q and k are L2-normalised along the pixels; c = channels / heads. (C2F-DFT section 3.2, after Restormer.)
    """

    def __init__(self, channels: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, channels * 3, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(channels * 3, channels * 3, 3, padding=1, groups=channels * 3, bias=bias)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        b, c, h, w = x.shape
        qkv = self.qkv_dwconv(self.qkv(x)).view(b, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.unbind(1)  # each (B, heads, c, H*W)
        q = F.normalize(q, dim=-1, eps=UNIT_EPS)
        k = F.normalize(k, dim=-1, eps=UNIT_EPS)
        attention = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)  # (B, heads, c, c)
        out: Tensor = self.project_out((attention @ v).view(b, c, h, w))
        return out


@dataclass(frozen=True)
class AttentionBranch(Mixing):
    """Transposed attention as a branch that mixes channels.

    wide: q, k and v side by side. The sums are q.k of each head and the squared norms of q and k; the output
    projection is folded into the matrix (v A^T W^T = v (W A)^T: one C x C product instead of one over all pixels).
    """

    attn: TransposedAttention
    norm: Normed

    @property
    def project(self) -> nn.Conv2d:
        return self.attn.qkv

    @property
    def spatial(self) -> nn.Conv2d:
        return self.attn.qkv_dwconv

    @property
    def bias(self) -> Tensor | None:
        return self.attn.project_out.bias

    @property
    def _head(self) -> int:
        """Channels of a head."""
        return self.attn.project_out.out_channels // self.attn.heads

    def split(self, wide: Tensor) -> tuple[Tensor, Tensor]:
        channels = wide.shape[-1] // 3
        qk, v = torch.split(wide, [2 * channels, channels], dim=-1)
        return qk, v

    def matrix(self, summed: Tensor) -> Tensor:
        gram, squares = sums_of_heads(summed, self.attn.heads)
        return attention_matrices(gram[:, None], squares[:, None], self.attn)[:, 0]

    def sums(self, summed: Tensor, how: Rows) -> Tensor:
        """Head by head: one product for all heads would also compute the blocks between heads, which nobody needs."""
        pixels, c, wide = as_pixels(summed), self._head, torch.promote_types(summed.dtype, torch.float32)
        channels = pixels.shape[1] // 2
        found = []
        for first in range(0, channels, c):
            q, k = pixels[:, first : first + c], pixels[:, channels + first : channels + first + c]
            found.append(torch.mm(q.t(), k).to(wide).flatten())
        squares = _sum_of_squares(summed, how).view(2, self.attn.heads, c).transpose(0, 1)
        return torch.cat([*found, squares.reshape(-1)])

    def sums_of_cells(self, summed: Tensor, columns: Axis) -> Tensor:
        width, side = summed.shape[2], columns.side
        full = width // side
        parts = [(summed[:, :, : full * side], full), (summed[:, :, full * side :], columns.cells - full)]
        found = [self._sums_of_equal_cells(part, cells) for part, cells in parts if cells]  # the last one is shorter
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def _sums_of_equal_cells(self, summed: Tensor, cells: int) -> Tensor:
        b, n, width, _ = summed.shape
        side, heads, c = width // cells, self.attn.heads, self._head
        wide = torch.promote_types(summed.dtype, torch.float32)
        by_head = summed.view(b, n, cells, side, 2, heads, c).permute(0, 2, 5, 1, 3, 4, 6)
        found = sums(by_head.reshape(b * cells * heads, n * side, 2 * c))
        return torch.cat([x.reshape(b, cells, -1).to(wide) for x in found], dim=2)

    def matrices(self, sums: Tensor) -> Tensor:
        heads, c = self.attn.heads, self._head
        gram, squares = torch.split(sums, [heads * c * c, 2 * heads * c], dim=2)
        gram, squares = torch.unflatten(gram, 2, (heads, c, c)), torch.unflatten(squares, 2, (heads, 2, c))
        return attention_matrices(gram, squares, self.attn)


def attention_matrices(gram: Tensor, squares: Tensor, attn: TransposedAttention) -> Tensor:
    """(B, cells, C, C), to multiply v with from the right: the normalised sums' softmax, output projection folded in.

    gram (B, cells, heads, c, c), squares (B, cells, heads, 2, c): sums of windows, or of a whole picture as one cell.
    """
    heads, c = gram.shape[2], gram.shape[3]
    channels = heads * c
    scale = squares.clamp_min(UNIT_EPS**2).rsqrt()
    normalised = gram * scale[:, :, :, 0, :, None] * scale[:, :, :, 1, None, :]
    attention = (normalised * attn.temperature.to(gram.dtype)).softmax(dim=-1)
    projection = attn.project_out.weight.to(gram.dtype).view(channels, heads, c)
    # W A, head by head: columns of the projection that belong to a head times that head's matrix, transposed
    return torch.einsum("ohi,bxhij->bxhjo", projection, attention).reshape(*gram.shape[:2], channels, channels)


def sums_of_heads(qk: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """q beside k (B, N, 2C) -> (q.k of each head (B, heads, c, c), squares (B, heads, 2, c)), float32 at least.

    The Gram matrix is taken for all channels at once (its blocks between heads are thrown away: cheaper than
    gathering strided heads).
    """
    b, _, double = qk.shape
    c = double // 2 // heads
    wide = torch.promote_types(qk.dtype, torch.float32)
    gram, squares = sums(qk)
    gram = gram.view(b, heads, c, heads, c).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
    return gram.to(wide), squares.to(wide).view(b, 2, heads, c).transpose(1, 2)


def _sum_of_squares(rows: Tensor, how: Rows) -> Tensor:
    """(1, n, W, C) -> (C,) in fp32 or wider.

    Each row is summed in its own type first: for fp32 at once, PyTorch would copy all of them. (Its vector_norm is
    over ten times slower for 256 channels.)
    """
    squares = torch.mul(rows, rows, out=how.buffer("squares", tuple(rows.shape), rows))
    return squares.sum(dim=2).sum(dim=(0, 1), dtype=torch.promote_types(rows.dtype, torch.float32))
