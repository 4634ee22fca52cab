"""The optimisers that a run may take: AdamW alone, or Muon for the matrices with AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dfrestore.training.config import OptimizerName

BETAS = (0.9, 0.999)


class MuonAndAdamW:
    """Muon (Jordan et al., 2024, as torch has it) for matrices, AdamW for all else; one rate for both.

    Matrices are the weights of dense convolutions, (out, in * kernel) each, but for the first and the last one.
    Muon's rate is scaled so that its updates are as large as AdamW's (Liu et al., "Muon is scalable", 2025).
    """

    def __init__(self, network: nn.Module, weight_decay: float) -> None:
        self.matrices, others = _sort(network)
        self._views = [nn.Parameter(p.detach().view(p.shape[0], -1)) for p in self.matrices]  # of the same memory
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(self._views, lr=0.0, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=0.0, betas=BETAS, weight_decay=weight_decay),
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self._parts for group in part.param_groups]

    def step(self) -> None:
        for matrix, view in zip(self.matrices, self._views, strict=True):
            view.grad = None if matrix.grad is None else matrix.grad.view(view.shape)
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._parts[0].state_dict(), "adamw": self._parts[1].state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, name in zip(self._parts, ("muon", "adamw"), strict=True):
            part.load_state_dict(state[name])


def new_optimizer(name: OptimizerName, network: nn.Module, weight_decay: float) -> torch.optim.AdamW | MuonAndAdamW:
    """An optimiser of the network's parameters at rate 0: whoever steps it sets the rate first."""
    if name == "muon":
        return MuonAndAdamW(network, weight_decay)
    return torch.optim.AdamW(network.parameters(), lr=0.0, betas=BETAS, weight_decay=weight_decay)


def _sort(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(matrices, other parameters) of a network."""
    dense = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
    matrices = dense[1:-1]
    found = {id(p) for p in matrices}
    return matrices, [p for p in network.parameters() if id(p) not in found]
