"""Checkpoints of untrained DiffIR networks, as small as they can be."""

from __future__ import annotations

from pathlib import Path

import torch

from dfrestore.methods import build_network
from dfrestore.methods.diffir import DiffIRConfig
from dfrestore.weights import ModelSpec, save_checkpoint

_ONES = (1, 1, 1, 1)
_TINY = {"dim": 4, "heads": _ONES, "blocks": _ONES, "refinement": 0, "prior_features": 4, "prior_blocks": 0}


def save_enlarging(path: Path, scale: int) -> Path:
    """A model of ``upscale`` whose result is its input enlarged pixel by pixel."""
    return _saved(path, "upscale", DiffIRConfig(**_TINY, scale=scale), output=0.0)


def save_filling(path: Path) -> Path:
    """A model of ``inpaint`` that paints something of its own over the whole picture."""
    return _saved(path, "inpaint", DiffIRConfig(**_TINY, mask=True, residual=False), output=1.0)


def _saved(path: Path, task: str, config: DiffIRConfig, output: float) -> Path:
    spec = ModelSpec(
        task=task, method="diffir", network=config.to_mapping(), sampling={"timesteps": 4}, default_steps=4
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(spec)
    with torch.no_grad():
        for weight in network.G.output.parameters():
            weight.mul_(output)
    save_checkpoint(path, network.state_dict(), spec)
    return path
