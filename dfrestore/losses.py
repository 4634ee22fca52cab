"""Losses between pictures in [-1, 1], (B, 3, H, W): L1, PSNR, SSIM and MS-SSIM."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

PictureLoss = Literal["l1", "psnr", "ssim", "ms-ssim-255"]
SSIM_WEIGHT, PSNR_LEVEL = 0.84, 30.0
MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def l1(a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference. weight: (B, 1, H, W) in [0, 1], of each pixel; pictures then count alike."""
    if weight is None:
        return (a - b).abs().mean()
    return _weighted_mean((a - b).abs(), weight).mean()


def _weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """(B, C, H, W) to (B,); 0 for a picture whose weights are all 0."""
    total = weight.flatten(1).sum(dim=1) * x.shape[1]
    return (x * weight).flatten(1).sum(dim=1) / total.clamp(min=1e-6)


def gaussian_window(size: int, sigma: float, like: Tensor) -> Tensor:
    """(size,) weights exp(-(i - size//2)^2 / (2 sigma^2)) of sum 1 (made in fp32; not symmetric for even sizes)."""
    i = torch.arange(size, dtype=torch.float32, device=like.device)
    weights = torch.exp(-((i - size // 2) ** 2) / (2 * sigma**2))
    return (weights / weights.sum()).to(like.dtype)


def ssim_and_contrast(
    a: Tensor, b: Tensor, value_range: float, window: int = 11, pad: bool = True
) -> tuple[Tensor, Tensor]:
    """Mean SSIM and mean contrast-structure term over batch, channels and pixels (Wang et al. 2004, Eq. 13).

    The window is ``min(H, W, window)`` wide with sigma 1.5 window/11; ``pad`` pads with zeros,
    otherwise only whole windows count.
    """
    channels = a.shape[1]
    size = min(a.shape[-2], a.shape[-1], window)
    line = gaussian_window(size, 1.5 * size / 11, a)
    kernel = torch.outer(line, line).expand(channels, 1, size, size)

    def smooth(x: Tensor) -> Tensor:
        return F.conv2d(x, kernel, padding=size // 2 if pad else 0, groups=channels)

    mean_a, mean_b = smooth(a), smooth(b)
    var_a = smooth(a * a) - mean_a**2
    var_b = smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    contrast = (2 * covariance + c2) / (var_a + var_b + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * contrast).mean(), contrast.mean()


def ms_ssim(a: Tensor, b: Tensor, value_range: float = 255.0) -> Tensor:
    """MS-SSIM (Wang et al. 2003) over five levels: 2x2 average pooling, zero padding, one number for the batch.

    As in the training code of C2F-DFT (Alg. 1, Eq. 8), whose range constant is 255 although the data are in [-1, 1].
    That all but switches the term off; the true range is 2.0.
    """
    product = torch.ones((), dtype=a.dtype, device=a.device)
    for level, weight in enumerate(MS_WEIGHTS):
        similarity, contrast = ssim_and_contrast(a, b, value_range)
        if level == len(MS_WEIGHTS) - 1:
            return product * similarity**weight
        product = product * contrast**weight
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    raise AssertionError("unreachable")


def negative_psnr(a: Tensor, b: Tensor, level: float = PSNR_LEVEL, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of -PSNR in bels (tens of dB), each picture's own (Chen et al., "NAFNet", ECCV 2022).

    What counts is how many times smaller a picture's error becomes, however large it was. Around ``level`` (dB) this
    levels off: otherwise inputs that need no restoring would drown the rest. weight: as for :func:`l1`.
    """
    squares = (a - b).square() / 4  # of a range of 1
    errors = squares.flatten(1).mean(dim=1) if weight is None else _weighted_mean(squares, weight)
    return (errors + 10 ** (-level / 10)).log10().mean()


def picture_loss(
    kind: PictureLoss,
    restored: Tensor,
    target: Tensor,
    *,
    ssim_weight: float = SSIM_WEIGHT,
    psnr_level: float = PSNR_LEVEL,
    weight: Tensor | None = None,
) -> Tensor:
    """The loss of this name, one number for the batch.

    ``l1``: mean absolute difference. ``psnr``: :func:`negative_psnr`. ``ssim``: w (1 - SSIM) + (1 - w) L1 with
    w = ``ssim_weight`` and the true range of 2. ``ms-ssim-255``: the same with :func:`ms_ssim` and its range of 255.
    weight: of each pixel, (B, 1, H, W) in [0, 1], for the first two.
    """
    if kind == "l1":
        return l1(restored, target, weight)
    if kind == "psnr":
        return negative_psnr(restored, target, psnr_level, weight)
    if kind == "ssim":
        similarity = ssim_and_contrast(restored, target, value_range=2.0, pad=False)[0]
    else:
        similarity = ms_ssim(restored, target)
    return ssim_weight * (1 - similarity) + (1 - ssim_weight) * l1(restored, target)
