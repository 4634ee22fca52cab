"""The optimisers that a run may take: AdamW alone, or Muon for the matrices with AdamW for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dfrestore.methods import Network
from dfrestore.training.config import OptimConfig
from dfrestore.training.muon import MuonInFp32


class MuonAndAdamW:
    """Muon (Jordan et al., 2024, as torch has it) for matrices, AdamW for all else; one rate for both.

    Muon's rate is scaled so that its updates are as large as AdamW's (Liu et al., "Muon is scalable", 2025). Its
    products of matrices are in bf16, as torch has them, or in fp32 where bf16 is not native.
    """

    def __init__(
        self, matrices: Sequence[Tensor], others: Sequence[Tensor], config: OptimConfig, *, native_bf16: bool = True
    ) -> None:
        self.matrices = list(matrices)
        self._views = [nn.Parameter(p.detach().view(p.shape[0], -1)) for p in self.matrices]  # of the same memory
        decay = config.weight_decay
        muon = torch.optim.Muon if native_bf16 else MuonInFp32
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            muon(self._views, lr=0.0, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=0.0, betas=config.betas, weight_decay=decay),
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


def new_optimizer(
    config: OptimConfig, network: Network, parameters: Sequence[nn.Parameter], *, native_bf16: bool = True
) -> torch.optim.AdamW | MuonAndAdamW:
    """An optimiser of ``parameters``, which are the network's, at rate 0: whoever steps it sets the rate first.

    native_bf16: whether the device computes in bf16 itself; where it does not, Muon keeps to fp32.
    """
    chosen = {id(p) for p in parameters}
    found = [matrix for matrix in matrices(network) if id(matrix) in chosen] if config.name == "muon" else []
    if not found:
        return torch.optim.AdamW(parameters, lr=0.0, betas=config.betas, weight_decay=config.weight_decay)
    taken = {id(p) for p in found}
    return MuonAndAdamW(found, [p for p in parameters if id(p) not in taken], config, native_bf16=native_bf16)


def matrices(network: Network) -> list[Tensor]:
    """What Muon takes, in the order of the modules: weights of dense convolutions and of linear layers.

    As matrices they are (out, in * kernel). Layers that read or write pictures are left out, as Muon's authors do
    with the first and the last layer.
    """
    ends = {id(layer) for layer in network.ends()}
    dense = [m for m in network.modules() if isinstance(m, nn.Linear) or (isinstance(m, nn.Conv2d) and m.groups == 1)]
    return [layer.weight for layer in dense if id(layer) not in ends]
