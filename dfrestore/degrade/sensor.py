"""The noise of a camera, from the sensor to the finished picture, as a difference to the clean picture.

Sources. The way back from sRGB to raw and forward again: Brooks et al., "Unprocessing images for learned raw
denoising", CVPR 2019. The variance of a raw value, shot * value + read: Foi et al., "Practical Poissonian-Gaussian
noise modeling and fitting for single-image raw-data", IEEE TIP 2008 (its Gaussian approximation). Demosaicing:
bilinear, or Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color
images", ICASSP 2004. Both are linear, so only the noise goes through them, and the picture keeps its detail: the
clean side of real pairs (CC15, PolyU) is a mean of finished pictures and has the camera's losses in it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfrestore.degrade.arrays import column, mirrored, per_picture_conv, source_device
from dfrestore.degrade.jpeg import from_ycc, mix_channels, to_ycc

REACH = 4  # pixels: half a side of the camera's smoothing kernels
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

# Kernels on the mosaic, bilinear then Malvar: green at a red or blue site; red (or blue) at a green site of its own
# row, of its own column, and at a site of the other colour.
_CROSS = ((0, 0, 0, 0, 0), (0, 0, 1, 0, 0), (0, 1, 0, 1, 0), (0, 0, 1, 0, 0), (0, 0, 0, 0, 0))
_ROW = ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 1, 0, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))
_CORNERS = ((0, 0, 0, 0, 0), (0, 1, 0, 1, 0), (0, 0, 0, 0, 0), (0, 1, 0, 1, 0), (0, 0, 0, 0, 0))
_MALVAR_G = ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0))
_MALVAR_ROW = ((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0))
_MALVAR_X = ((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0))


@dataclass(frozen=True)
class Sensor:
    """One camera at one sensitivity, and what it does to its pictures.

    ``shot``, ``read``: variance of a raw value x in [0, 1] is shot * x + read. ``red``, ``blue``: white balance.
    ``colour``: camera RGB to linear sRGB, row by row. ``shoulder``: how much brighter shadows are made than highlights
    (0: not). ``contrast``: 0 the sRGB curve alone, 1 with a full S curve.
    ``malvar``: from 0, bilinear demosaicing, to 1, Malvar's. ``pattern``: place of red in the 2x2 Bayer pattern.
    The camera smooths noise by Gaussians of ``luma_blur`` and ``chroma_blur`` pixels, of which ``chroma_left`` stays;
    ``luma_grain`` and ``chroma_grain`` of it stay unsmoothed (above 1: sharpened).
    """

    shot: float
    read: float
    red: float = 2.0
    blue: float = 1.7
    colour: tuple[float, ...] = IDENTITY
    shoulder: float = 1.0
    contrast: float = 0.5
    malvar: float = 0.0
    pattern: int = 0
    luma_blur: float = 0.0
    chroma_blur: float = 0.0
    chroma_left: float = 1.0
    luma_grain: float = 0.0
    chroma_grain: float = 0.0

    def __post_init__(self) -> None:
        if self.shot < 0 or self.read < 0 or min(self.red, self.blue) <= 0:
            raise ValueError(f"no sensor is like this: {self}")
        if self.shoulder < 0 or not 0 <= self.contrast <= 1:
            raise ValueError(f"no sensor is like this: {self}")
        if len(self.colour) != 9 or self.pattern not in range(4):
            raise ValueError("colour needs nine numbers, pattern is 0 to 3")


def sensor_noise(clean: Tensor, sensors: Sequence[Sensor], generator: torch.Generator | None) -> Tensor:
    """What these cameras add to ``clean``, fp32 (B, 3, H, W) in [0, 1]: same shape, zero where there is no noise."""
    tone = [column([getattr(s, name) for s in sensors], clean.device) for name in ("shoulder", "contrast")]
    linear = to_linear(clean, *tone)
    balance = torch.tensor([(s.red, 1.0, s.blue) for s in sensors], device=clean.device)
    develop = torch.tensor([s.colour for s in sensors], device=clean.device).view(-1, 3, 3) * balance.unsqueeze(1)
    raw = mix_channels(linear, torch.linalg.inv(develop))
    sites = sites_of(sensors, clean)
    mosaic = raw.gather(1, sites.unsqueeze(1))
    noise = mix_channels(demosaic(_raw_noise(mosaic, sensors, generator), sites, sensors), develop)
    noisy = to_display((linear + noise).clamp_(0, 1), *tone)
    return _finish(noisy - clean.clamp(0, 1), sensors)


def to_linear(display: Tensor, shoulder: Tensor, contrast: Tensor) -> Tensor:
    """Inverse of :func:`to_display`, in closed form (the S curve is a cubic with three real roots)."""
    share = contrast.clamp(min=1e-4)
    slope = 1 + share / 2
    size = (2 * slope / (3 * share)).sqrt()
    curve = 0.5 + size * torch.sin(torch.asin(((display.clamp(0, 1) - 0.5) * (3 / (slope * size))).clamp_(-1, 1)) / 3)
    curve = curve.clamp_(0, 1)
    light = torch.where(curve <= 0.04045, curve / 12.92, ((curve + 0.055) / 1.055) ** 2.4)
    return light / (1 + shoulder - shoulder * light)


def to_display(linear: Tensor, shoulder: Tensor, contrast: Tensor) -> Tensor:
    """Linear light in [0, 1] as a picture: x (1 + s) / (1 + s x) rolls highlights off by the ``shoulder`` s (after
    Reinhard et al., SIGGRAPH 2002), then the sRGB curve, then a share of the S curve 3x^2 - 2x^3 (Brooks et al.).
    """
    light = linear * (1 + shoulder) / (1 + shoulder * linear)
    curve = torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    return torch.lerp(curve, curve * curve * (3 - 2 * curve), contrast)


def sites_of(sensors: Sequence[Sensor], like: Tensor) -> Tensor:
    """Which colour a site sees, int64 (B, H, W): 0 red, 1 green, 2 blue."""
    (height, width), device = like.shape[2:], like.device
    row = torch.tensor([s.pattern // 2 for s in sensors], device=device).view(-1, 1, 1)
    col = torch.tensor([s.pattern % 2 for s in sensors], device=device).view(-1, 1, 1)
    off_row = (torch.arange(height, device=device).view(-1, 1) + row) % 2
    off_col = (torch.arange(width, device=device) + col) % 2
    return off_row + off_col


def _raw_noise(mosaic: Tensor, sensors: Sequence[Sensor], generator: torch.Generator | None) -> Tensor:
    device = mosaic.device
    draws = torch.randn(mosaic.shape, generator=generator, device=source_device(generator)).to(device)
    shot, read = column([s.shot for s in sensors], device), column([s.read for s in sensors], device)
    noise = draws * (mosaic.clamp(min=0) * shot + read).sqrt_()
    return torch.minimum(noise, (1 - mosaic).clamp_(min=0))  # a full well holds no more


def demosaic(mosaic: Tensor, sites: Tensor, sensors: Sequence[Sensor], *, squared: bool = False) -> Tensor:
    """(B, 1, H, W) on a Bayer pattern to (B, 3, H, W). squared: of variances, which go by the kernels' squares."""
    device = mosaic.device
    bilinear = torch.tensor([_CROSS, _ROW, tuple(zip(*_ROW, strict=True)), _CORNERS], device=device)
    bilinear = bilinear / torch.tensor([4, 2, 2, 4], device=device).view(-1, 1, 1)
    malvar = torch.tensor([_MALVAR_G, _MALVAR_ROW, tuple(zip(*_MALVAR_ROW, strict=True)), _MALVAR_X], device=device) / 8
    share = column([s.malvar for s in sensors], device)
    kernels = torch.lerp(bilinear.unsqueeze(0), malvar.unsqueeze(0), share)
    if squared:
        kernels = kernels.square()
    count = mosaic.shape[0]
    padded = mirrored(mosaic, 2).expand(-1, 4, -1, -1)
    guesses = torch.cat([mosaic, per_picture_conv(padded, kernels.expand(count, -1, -1, -1))], dim=1)
    # row of red or of blue a site lies in; at green sites its own row's colour is interpolated along the row
    red_row = (sites == 0).any(dim=2, keepdim=True)
    green, red, blue = sites == 1, sites == 0, sites == 2
    along_row = torch.where(red_row, 2, 3)
    pick = torch.stack(
        [
            torch.where(red, 0, torch.where(green, along_row, 4)),
            torch.where(green, 0, 1),
            torch.where(blue, 0, torch.where(green, 5 - along_row, 4)),
        ],
        dim=1,
    )
    return guesses.gather(1, pick)


def _finish(noise: Tensor, sensors: Sequence[Sensor]) -> Tensor:
    """The camera's own denoising and sharpening, on the noise alone: luma and colour apart."""
    if all(s.luma_blur == s.chroma_blur == 0 and s.chroma_left == 1 for s in sensors):
        return noise
    blurs = torch.tensor([(s.luma_blur, s.chroma_blur, s.chroma_blur) for s in sensors], device=noise.device)
    left = torch.tensor([(1.0, s.chroma_left, s.chroma_left) for s in sensors], device=noise.device)
    sigma = blurs.clamp(min=1e-3).unsqueeze(2)
    kernels = torch.exp(-0.5 * (torch.arange(-REACH, REACH + 1, device=noise.device) / sigma) ** 2)
    kernels = kernels / kernels.sum(dim=2, keepdim=True)
    ycc = to_ycc(noise)
    smooth = per_picture_conv(mirrored(ycc, REACH), kernels.unsqueeze(2))
    smooth = per_picture_conv(smooth, (kernels * left.unsqueeze(2)).unsqueeze(3))
    grain = torch.tensor([(s.luma_grain, s.chroma_grain, s.chroma_grain) for s in sensors], device=noise.device)
    return from_ycc(torch.lerp(smooth, ycc, grain.view(-1, 3, 1, 1)))
