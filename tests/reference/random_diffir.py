"""DiffIR networks with weights by the recipe of ``tests/data/parity_diffir``."""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dfrestore.methods.diffir import DiffIR, DiffIRConfig, DiffIRS1
from dfrestore.weights import ModelSpec

N = TypeVar("N", bound=nn.Module)
TINY: dict[str, Any] = {"dim": 4, "blocks": (1, 1, 1, 1), "refinement": 1, "prior_blocks": 1, "prior_features": 4}


def filled(network: N) -> N:
    """The same network, its weights by the recipe; frozen, in evaluation mode."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(_by_recipe(name, tuple(parameter.shape)))
    return network.eval().requires_grad_(False)


def _by_recipe(name: str, shape: tuple[int, ...]) -> Tensor:
    drawn = np.random.RandomState(zlib.crc32(f"A:{name}".encode())).standard_normal(shape)
    if name.endswith("temperature") or (len(shape) == 1 and name.endswith("weight")):
        drawn = 1 + 0.1 * drawn
    else:
        drawn = drawn * (0.1 if len(shape) == 1 else np.prod(shape[1:]) ** -0.5)
    return torch.from_numpy(drawn.astype(np.float32))


def tiny_diffir(**config: Any) -> DiffIR:
    """Stage 2, a few thousand weights."""
    return filled(DiffIR(DiffIRConfig(**{**TINY, **config})))


def tiny_diffir_s1(**config: Any) -> DiffIRS1:
    """Stage 1, a few thousand weights."""
    return filled(DiffIRS1(DiffIRConfig(**{**TINY, **config})))


def tiny_diffir_spec(task: str = "deblur", stage: str = "", **config: Any) -> ModelSpec:
    """The spec that belongs to these."""
    return ModelSpec(task, "diffir", DiffIRConfig(**{**TINY, **config}).to_mapping(), stage=stage)
