"""PSNR, SSIM and GMSD as the papers compute them: numpy arrays in, one number out, in fp64. And two measures of one
picture alone: its noise, and its JPEG blocks.

Files, folders, tables and everything about models live elsewhere. ``perceptual`` (LPIPS and DISTS) is imported on its
own: it needs torch, and computes in fp32.
"""

from __future__ import annotations

from dfrestore.metrics.blockiness import Blockiness, blockiness
from dfrestore.metrics.gmsd import gmsd
from dfrestore.metrics.luma import crop, luma, to_8bit
from dfrestore.metrics.noise_level import noise_sigma
from dfrestore.metrics.psnr import psnr, psnr_hole, psnr_rgb, psnr_y
from dfrestore.metrics.ssim import ssim, ssim_rgb, ssim_y

__all__ = [
    "Blockiness",
    "blockiness",
    "crop",
    "gmsd",
    "luma",
    "noise_sigma",
    "psnr",
    "psnr_hole",
    "psnr_rgb",
    "psnr_y",
    "ssim",
    "ssim_rgb",
    "ssim_y",
    "to_8bit",
]
