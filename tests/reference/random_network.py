"""Small untrained networks with the spec that belongs to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dfrestore.diffusion import Prediction
from dfrestore.methods.c2f_dft import C2FDFT, C2FDFTConfig, Sampling
from dfrestore.nn import Strips, Whole
from dfrestore.weights import ModelSpec


def random_network(prediction: Prediction = "sample", *, seed: int = 0, **config: Any) -> tuple[C2FDFT, ModelSpec]:
    """A network of width 8 and a block a stage, unless ``config`` says otherwise; PyTorch's initial values."""
    shape = C2FDFTConfig(**{"dim": 8, "blocks": (1, 1, 1, 1), **config})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = C2FDFT(shape, Sampling(prediction=prediction)).eval()
    return network, ModelSpec("derain", "c2f-dft", shape.to_mapping(), {"prediction": prediction})


def identity_network(**config: Any) -> tuple[C2FDFT, ModelSpec]:
    """A ``sample`` network whose last convolution is zero: it returns y, whatever the rest does."""
    network, spec = random_network("sample", **config)
    torch.nn.init.zeros_(network.output.weight)
    return network, spec


def on_whole_tensors(network: C2FDFT, y: Tensor, x_t: Tensor, t: Tensor, **how: Any) -> Tensor:
    """The way of training; how: dtype, windows."""
    return network.walk(Whole(**how), y, x_t, t)


def in_strips(network: C2FDFT, y: Tensor, x_t: Tensor, t: Tensor, strips: Strips) -> Tensor:
    """The way of restoring, for one picture (3, H, W)."""
    return network.walk(strips, y[None], x_t[None], t)[0]
