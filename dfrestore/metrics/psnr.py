"""Peak signal-to-noise ratio in dB, on luma or over all channels."""

from __future__ import annotations

import math

import numpy as np

from dfrestore.metrics.luma import Array, check_pair, crop, luma


def psnr(a: Array, b: Array, *, peak: float = 255.0, border: int = 0) -> float:
    """10 log10(peak^2 / mean((a - b)^2)) over all values of two arrays (H, W) or (H, W, C).

    ``inf`` for identical arrays. ``border``: pixels left out on each side. ValueError where shapes differ.
    """
    check_pair(a, b)
    difference = np.subtract(crop(a, border), crop(b, border), dtype=np.float64)
    error = float(np.mean(np.square(difference, out=difference)))
    return math.inf if error == 0 else 10.0 * math.log10(peak * peak / error)


def psnr_y(a: Array, b: Array, *, rounded: bool = False, border: int = 0) -> float:
    """PSNR of the luma (see :func:`luma`) of two pictures (H, W, 3) in [0, 255], with peak 255.

    The convention of deraining, desnowing and super-resolution.
    """
    check_pair(a, b)
    return psnr(luma(a, rounded=rounded), luma(b, rounded=rounded), border=border)


def psnr_rgb(a: Array, b: Array, *, border: int = 0) -> float:
    """PSNR over all three channels of two pictures (H, W, 3) in [0, 255], with peak 255.

    The convention of deblurring and of denoising colour pictures.
    """
    return psnr(a, b, border=border)


def psnr_hole(a: Array, b: Array, hole: Array, *, border: int = 0) -> float:
    """PSNR over the pixels of a hole alone, over all three channels of two pictures (H, W, 3) in [0, 255].

    hole: (H, W), not 0 in the hole. The convention of inpainting: elsewhere the pictures are the same anyway.
    ValueError where shapes differ or the hole is empty.
    """
    check_pair(a, b)
    if hole.shape != a.shape[:2]:
        raise ValueError(f"a hole of shape {hole.shape} in pictures of shape {a.shape}")
    inside = crop(hole, border) != 0
    if not inside.any():
        raise ValueError("no pixel of the hole is measured")
    return psnr(crop(a, border)[inside], crop(b, border)[inside])
