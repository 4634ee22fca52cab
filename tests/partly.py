"""A method that trains on a base, as small as can be: C2F-DFT's network, of which a stage trains the two ends alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from conftest import tiny_spec
from torch import Tensor, nn

from dfrestore.methods import build_network, c2f_dft
from dfrestore.methods.c2f_dft.network import C2FDFT
from dfrestore.methods.c2f_dft.stages import Coarse, Fine
from dfrestore.methods.method import Method
from dfrestore.weights import Base, ModelSpec, save_checkpoint

OWN, ANEW = "output.weight", "patch_embed.proj.weight"  # what a base lacks, and what is trained anew
NETWORK = {"dim": 8, "blocks": [1, 1, 1, 1], "heads": [1, 1, 2, 2]}
SPEC = tiny_spec(method="partly", network=NETWORK, default_steps=1)


@dataclass(frozen=True)
class Prior(Coarse):
    name: ClassVar[str] = "prior"

    def trains(self, network: C2FDFT) -> list[nn.Parameter]:
        return [parameter for name, parameter in network.named_parameters() if name != OWN]


@dataclass(frozen=True)
class Ends(Fine):
    name: ClassVar[str] = "ends"

    def trains(self, network: C2FDFT) -> list[nn.Parameter]:
        return [parameter for name, parameter in network.named_parameters() if name in (OWN, ANEW)]

    def needs(self) -> tuple[str, ...]:
        return ("encoder_level1.",)


METHOD = Method("partly", c2f_dft.METHOD.build, lambda shapes, name: None, (Prior, Ends), finetunes="ends")


def tensors_of(spec: ModelSpec = SPEC, seed: int = 0) -> dict[str, Tensor]:
    """All of a network, in half precision as models are stored; its result is near its input."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(spec)
    network.output.weight.data.mul_(0.01)
    return {name: tensor.to(torch.bfloat16) for name, tensor in network.state_dict().items()}


def save_prior(path: Path, spec: ModelSpec = SPEC, seed: int = 0) -> str:
    """A base: all but the last convolution. Returns its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    below = {name: tensor for name, tensor in tensors_of(spec, seed).items() if name != OWN}
    return save_checkpoint(path, below, replace(spec, task="texture"))


def save_small(path: Path, base: str, name: str = "texture/prior", **tensors: Tensor) -> dict[str, Tensor]:
    """A model that holds the last convolution, and ``tensors``; base: the sha256 of what it builds on."""
    own = {OWN: tensors_of()[OWN], **tensors}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, own, replace(SPEC, base=Base(name, base)))
    return own


def settings(**more: Any) -> dict[str, Any]:
    """A short run of the second stage."""
    stage = {"iterations": 4, "patches": [32], "batches": [2], "lr": 1e-3, "minima": [1e-3, 1e-3], "warmup": 0}
    fixed = {"optim": {"precision": "fp32"}, "data": {"validation": 2, "validation_size": 32}, "validate_every": 4}
    model = {"method": "partly", "network": NETWORK, "sampling": {"prediction": "sample"}}
    return {"model": model, "stages": {"ends": stage}, "log_every": 1, **fixed, **more}
