"""Random weights for VGG-19 and the dilated ResNet-50, that keep their features of the order of 1; half holds them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from dfrestore.methods.diffir.features import resnet50_shapes, vgg19_shapes


def vgg19_weights(seed: int = 0) -> dict[str, Tensor]:
    """By the names of torchvision's ``features``: 20 million numbers."""
    return _drawn(vgg19_shapes(), seed)


def resnet50_weights(seed: int = 0) -> dict[str, Tensor]:
    """By the names of CSAILVision's encoder: 24 million numbers."""
    return _drawn(resnet50_shapes(), seed)


def _drawn(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: _scaled(name, values).half().float() for name, values in drawn.items()}


def _scaled(name: str, values: Tensor) -> Tensor:
    if values.dim() == 4:
        return values * (2 / prod(values.shape[1:])) ** 0.5
    if name.endswith(("bias", "running_mean")):
        return values * 0.1
    gain = 1 + 0.1 * values
    return gain * 0.3 if name.endswith("bn3.weight") and name.startswith("layer") else gain
