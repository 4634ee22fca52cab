"""Muon in fp32, for processors and GPUs without native bf16."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class MuonInFp32(torch.optim.Muon):
    """torch's Muon with its matrix products in fp32, where bf16 is emulated and takes most of an iteration.

    Settings and state are those of :class:`torch.optim.Muon`; a checkpoint of either is read by the other. The rate is
    always scaled as ``match_rms_adamw`` does. The updates differ by the rounding of bf16 alone.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all matrices that have a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, cast(Tensor, matrix.grad), group)

    def _update(self, matrix: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(grad, memory_format=torch.preserve_format)
        momentum: float = group["momentum"]
        mean = state["momentum_buffer"].lerp_(grad, 1 - momentum)
        ahead = grad.lerp(mean, momentum) if group["nesterov"] else mean
        direction = orthogonalized(ahead, group["ns_coefficients"], group["ns_steps"], group["eps"])
        size = 0.2 * max(matrix.shape) ** 0.5  # an update's RMS is that of AdamW (Liu et al., 2025)
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(direction, alpha=-group["lr"] * size)


def orthogonalized(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Newton-Schulz: ``matrix`` (rows, columns) with its singular values brought near 1, in its dtype.

    The quintic iteration of Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    near = matrix.T if tall else matrix
    near = near / near.norm().clamp(min=eps)  # no singular value above 1
    for _ in range(steps):
        gram = near @ near.T
        near = torch.addmm(near, torch.addmm(gram, gram, gram, beta=b, alpha=c), near, beta=a)
    return near.T if tall else near
