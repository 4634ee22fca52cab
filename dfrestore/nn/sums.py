"""What attention needs of q and k: their products and their squared norms, summed over positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Up to so many channels one product of everything with everything is the fastest in half precision (measured).
_NARROW = 64


def sums(qk: Tensor) -> tuple[Tensor, Tensor]:
    """q beside k (B, N, 2C) -> (q.k (B, C, C), squares (B, 2C)), summed over the N positions, in their dtype."""
    if torch.is_grad_enabled() and qk.requires_grad:
        found: tuple[Tensor, Tensor] = _Sums.apply(qk)  # type: ignore[no-untyped-call]
        return found
    return _sums(qk)


def _sums(qk: Tensor) -> tuple[Tensor, Tensor]:
    c = qk.shape[-1] // 2
    if qk.element_size() < 4 and c <= _NARROW:  # the squares are its diagonal
        both = torch.bmm(qk.transpose(1, 2), qk)
        return both[:, :c, c:], both.diagonal(dim1=1, dim2=2)
    return torch.bmm(qk[..., :c].transpose(1, 2), qk[..., c:]), (qk * qk).sum(dim=1)


class _Sums(torch.autograd.Function):
    """Its own gradient, because it is one product, qk M with M = [[2 diag(s_q), G], [G^T, 2 diag(s_k)]] from the
    gradients of the sums; taken apart, it walks the features a dozen times (a fifth of a training step on a CPU).
    """

    @staticmethod
    def forward(ctx: Any, qk: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(qk)
        gram, squares = _sums(qk)
        return gram.contiguous(), squares.contiguous()

    @staticmethod
    def backward(ctx: Any, gram: Tensor, squares: Tensor) -> Tensor:
        (qk,) = ctx.saved_tensors
        c = gram.shape[-1]
        matrix = torch.diag_embed(2 * squares)
        matrix[:, :c, c:] = gram
        matrix[:, c:, :c] = gram.transpose(1, 2)
        return torch.bmm(qk, matrix)
