"""A network and pictures filled by a hash instead of a random generator, for golden numbers that anyone can remake.

A hash, not a sine: sin(a i + b) reshaped to a matrix has rank 2 and hides mistakes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

_MASK = np.uint64(0xFFFFFFFF)
NOISE = 1000  # the number of the noise image among the tensors


def hash_values(count: int, n: int) -> np.ndarray:
    """u in [-1, 1), float64 (count,): element i of tensor n."""
    multiplier, second, third = np.uint64(2654435761), np.uint64(2246822519), np.uint64(3266489917)
    a = np.arange(count, dtype=np.uint64) * multiplier
    a += np.uint64((n * int(second) + int(third)) & 0xFFFFFFFFFFFFFFFF)
    a &= _MASK
    a ^= a >> np.uint64(15)
    a *= second
    a &= _MASK
    a ^= a >> np.uint64(13)
    a *= third
    a &= _MASK
    a ^= a >> np.uint64(16)
    return a.astype(np.float64) / 2**31 - 1


def filled_state(network: nn.Module) -> dict[str, Tensor]:
    """Values for every tensor of ``network`` (which may be on the meta device), float32."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return {name: _filled(name, shapes[name], n) for n, name in enumerate(sorted(shapes))}


def _filled(name: str, shape: tuple[int, ...], n: int) -> Tensor:
    u = hash_values(int(np.prod(shape)), n)
    if name.endswith(("norm1.body.weight", "norm2.body.weight")):
        value = 1 + 0.1 * u
    elif name.endswith(".bias"):
        value = 0.02 * u
    elif name.endswith("temperature"):
        value = 3 + u
    else:
        value = u * np.sqrt(3 / (shape[1] * shape[2] * shape[3]))
        if name == "output.weight":
            value = value * 0.05
    return torch.from_numpy(value.astype(np.float32).reshape(shape))


def condition(height: int, width: int) -> Tensor:
    """y in [0, 1], float32 (1, 3, height, width)."""
    c, i, j = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    return torch.from_numpy((0.5 + 0.5 * np.sin(0.20 * i + 0.13 * j + 1.1 * c)).astype(np.float32))[None]


def noise(height: int, width: int) -> Tensor:
    """x_T, float32 (1, 3, height, width)."""
    u = hash_values(3 * height * width, NOISE)
    return torch.from_numpy((np.sqrt(3) * u).astype(np.float32).reshape(1, 3, height, width))
