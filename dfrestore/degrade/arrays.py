"""Array helpers of all degradations: checks, conversion between photos and tensors, mirrored borders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

P = TypeVar("P")
LayOver = Callable[[Tensor, Sequence[P], torch.Generator | None], Tensor]
"""A degradation of a batch, each picture with its own parameters."""


def check_batch(clean: Tensor, what: str) -> None:
    """ValueError unless ``clean`` is float (B, 3, H, W); ``what`` names the degradation."""
    if clean.ndim != 4 or clean.shape[1] != 3 or not clean.is_floating_point():
        raise ValueError(f"{what} needs float pictures of shape (B, 3, H, W), not {clean.dtype} {tuple(clean.shape)}")


def to_tensor(rgb: NDArray[Any], what: str) -> Tensor:
    """A float photo (H, W, 3) as a batch of one, fp32 (1, 3, H, W); always a copy."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype.kind != "f":
        raise ValueError(f"{what} needs a float picture of shape (H, W, 3), not {rgb.dtype} {rgb.shape}")
    return torch.from_numpy(np.array(rgb, dtype=np.float32)).permute(2, 0, 1).unsqueeze(0)


def to_photo(batch: Tensor) -> NDArray[np.float32]:
    """The first picture of a batch as fp32 (H, W, 3)."""
    result: NDArray[np.float32] = np.ascontiguousarray(batch[0].permute(1, 2, 0).numpy())
    return result


def on_each(lay_over: LayOver[P], clean: Tensor, params: P, generator: torch.Generator | None) -> Tensor:
    """``lay_over`` with the same parameters on one picture (3, H, W) or on each of a batch (B, 3, H, W)."""
    if clean.ndim == 3:
        return lay_over(clean.unsqueeze(0), [params], generator).squeeze(0)
    return lay_over(clean, [params] * clean.shape[0], generator)


def source_device(generator: torch.Generator | None) -> torch.device:
    """The device that the generator draws on; the CPU if there is no generator."""
    return generator.device if generator is not None else torch.device("cpu")


def column(values: list[float], device: torch.device) -> Tensor:
    """One number for each picture, fp32 (B, 1, 1, 1), to multiply a batch with."""
    return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1, 1)


def mirrored(batch: Tensor, margin: int) -> Tensor:
    """``batch`` (..., H, W) continued by reflection on all sides, as often as needed (also where H < margin).

    The border itself is not repeated, so that a Bayer pattern goes on in step.
    """
    for dim in (-2, -1):
        size = batch.shape[dim]
        index = torch.arange(-margin, size + margin, device=batch.device)
        period = max(1, 2 * (size - 1))
        index = index.remainder(period)
        batch = batch.index_select(dim, torch.minimum(index, period - index).clamp_(max=size - 1))
    return batch


def per_picture_conv(batch: Tensor, kernels: Tensor) -> Tensor:
    """Each channel of each picture, (B, C, H, W), with its own kernel of ``kernels`` (B, C, h, w); no padding."""
    count, channels, height, width = batch.shape
    flat = batch.reshape(1, count * channels, height, width)
    weight = kernels.reshape(count * channels, 1, *kernels.shape[2:])
    out = torch.nn.functional.conv2d(flat, weight, groups=count * channels)
    return out.view(count, channels, *out.shape[2:])
