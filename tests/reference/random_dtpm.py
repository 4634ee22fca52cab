"""DTPM networks with seeded weights, none of them zero."""

from __future__ import annotations

from typing import Any

import torch

from dfrestore.methods.dtpm import DTPM, DTPMConfig, DTPMSampling
from dfrestore.weights import ModelSpec

TINY: dict[str, Any] = {
    "width": 4,
    "encoder": (1, 1),
    "middle": 1,
    "decoder": (1, 1),
    "time_features": 6,
    "semantic_features": 5,
    "predictor_width": 4,
    "predictor_encoder": (1,),
    "predictor_decoder": (1,),
}
TASK: dict[str, Any] = {"predictor": True, "adapters": True}


def tiny_dtpm(sampling: DTPMSampling | None = None, **config: Any) -> DTPM:
    """A few thousand weights; frozen, in evaluation mode. A prior, or a task's network with ``**TASK``."""
    network = DTPM(DTPMConfig(**{**TINY, **config}), sampling)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            size = parameter.shape[1:].numel() or 1
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.add_(drawn * (0.2 if parameter.ndim == 1 or parameter.shape[0] == 1 else 0.5 * size**-0.5))
    return network.eval().requires_grad_(False)


def tiny_dtpm_spec(task: str = "dehaze", **config: Any) -> ModelSpec:
    """The spec that belongs to it."""
    return ModelSpec(task, "dtpm", DTPMConfig(**{**TINY, **config}).to_mapping(), default_steps=1)
