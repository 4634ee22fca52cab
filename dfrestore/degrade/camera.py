"""The noise of a camera whose clean side is the mean of many shots: zero on average, with colour blotches of any size.

A tone curve moves the mean of noisy values: down where it bends like a root, up where black cuts values off. The mean
of many finished shots moves along, so real pairs (CC15, PolyU) show noise without a mean. Here the expected value of
what the sensor adds is taken away: the integral over its Gaussian, from a table of greys and deviations, without
further draws. What the camera does afterwards is linear: it is one transfer function a channel, so its kernels may be
of any size. The noise wraps around at the borders, which does not show in noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.arrays import column, source_device
from dfrestore.degrade.jpeg import from_ycc, mix_channels, to_ycc
from dfrestore.degrade.sensor import Sensor, demosaic, sites_of, to_display, to_linear

GREYS, DEVIATIONS = 65, 17  # of the table of means
POINTS, LIMIT = 33, 4.0  # of the integral over a Gaussian, in deviations
HALF_WAY = 6.0  # levels a pixel: slope at which half of the noise that edges have more is there
LUMA_BLOTCHES = 0.3  # of the strength of coloured ones


@dataclass(frozen=True)
class Camera:
    """A sensor, with its smoothing, and what came after it.

    ``mosaic``: False for a photo that was much reduced, whose pixels have noise of their own at all three colours.
    ``settled``: the clean side is the mean of finished shots, so the noise has none; False: it is the light's own, as
    where raw files are averaged (SIDD), and the tone curve moves the noise's mean.
    ``blotches``: deviation of coloured spots, relative to the sensor's noise at the place; ``blotch_size``: the
    Gaussian's deviation in pixels. ``sharpening``: how much of the difference to a Gaussian of ``sharpening_size`` is
    added to the finished noise. ``edges``: how much more noise the camera leaves where there is detail than in flat
    places: 1 is twice as much on strong edges.
    """

    sensor: Sensor
    mosaic: bool = True
    settled: bool = True
    blotches: float = 0.0
    blotch_size: float = 4.0
    sharpening: float = 0.0
    sharpening_size: float = 1.0
    edges: float = 0.0

    def __post_init__(self) -> None:
        if min(self.blotches, self.sharpening, self.edges) < 0 or min(self.blotch_size, self.sharpening_size) <= 0:
            raise ValueError(f"no camera is like this: {self}")


def camera_noise(clean: Tensor, cameras: Sequence[Camera], generator: torch.Generator | None) -> Tensor:
    """What these cameras add to ``clean``, fp32 (B, 3, H, W) in [0, 1]: same shape; zero on average where settled."""
    display = clean.clamp(0, 1)
    device = display.device
    sensors = [camera.sensor for camera in cameras]
    tone = column([s.shoulder for s in sensors], device), column([s.contrast for s in sensors], device)
    linear = to_linear(display, *tone)
    balance = torch.tensor([(s.red, 1.0, s.blue) for s in sensors], device=device)
    develop = torch.tensor([s.colour for s in sensors], device=device).view(-1, 3, 3) * balance.unsqueeze(1)
    raw = mix_channels(linear, torch.linalg.inv(develop)).clamp_(0, 1)
    noise, variance = torch.empty_like(raw), torch.empty_like(raw)
    for mosaic in (True, False):
        chosen = [i for i, camera in enumerate(cameras) if camera.mosaic == mosaic]
        if chosen:
            draw = _mosaic_noise if mosaic else _pixel_noise
            noise[chosen], variance[chosen] = draw(raw[chosen], [sensors[i] for i in chosen], generator)
    spread = mix_channels(variance, develop.square()).sqrt_()
    settled = column([float(camera.settled) for camera in cameras], device) > 0
    mean = torch.where(settled, _expectation(display, spread, tone), display)
    noisy = to_display((linear + mix_channels(noise, develop)).clamp_(0, 1), *tone)
    finished = from_ycc(_finish(to_ycc(noisy - mean), cameras) + _blotches(linear, spread, tone, cameras, generator))
    # less where the mean of shots cannot be so dark or so bright, so that black and white cut nothing off
    room = torch.minimum(display / mean.clamp(min=1e-6), (1 - display) / (1 - mean).clamp(min=1e-6))
    finished = finished * torch.where(settled, room.clamp_(max=1), 1)
    edges = [camera.edges for camera in cameras]
    return finished * (1 + column(edges, device) * _detail(display)) if any(edges) else finished


def _mosaic_noise(raw: Tensor, sensors: Sequence[Sensor], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Demosaiced noise and its variance, each (B, 3, H, W). Malvar's variance leaves out that its colours mix."""
    sites = sites_of(sensors, raw)
    noise, variance = _raw_noise(raw.gather(1, sites.unsqueeze(1)), sensors, generator)
    return demosaic(noise, sites, sensors), demosaic(variance, sites, sensors, squared=True)


def _pixel_noise(raw: Tensor, sensors: Sequence[Sensor], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    return _raw_noise(raw, sensors, generator)


def _raw_noise(raw: Tensor, sensors: Sequence[Sensor], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Noise of raw values, without a mean, and its variance. Near a full well there is less, as it holds no more."""
    shot, read = column([s.shot for s in sensors], raw.device), column([s.read for s in sensors], raw.device)
    variance = torch.minimum(raw * shot + read, ((1 - raw) / 2).square_())
    draws = torch.randn(raw.shape, generator=generator, device=source_device(generator)).to(raw.device)
    return draws * variance.sqrt(), variance


def _detail(display: Tensor) -> Tensor:
    """How much detail there is, (B, 1, H, W): 0 in flat places, towards 1 on strong edges."""
    luma = to_ycc(display)[:, :1] * 255
    around = functional.pad(_averaged(luma), (1, 1, 1, 1), mode="replicate")
    across = around[..., 1:-1, 2:] - around[..., 1:-1, :-2]
    down = around[..., 2:, 1:-1] - around[..., :-2, 1:-1]
    slope = _averaged((across.square() + down.square()) / 4).sqrt()
    return slope / (slope + HALF_WAY)


def _averaged(planes: Tensor) -> Tensor:
    return functional.avg_pool2d(planes, 3, stride=1, padding=1, count_include_pad=False)


def _expectation(display: Tensor, spread: Tensor, tone: tuple[Tensor, Tensor]) -> Tensor:
    """Mean of the finished values of a picture with Gaussian noise of this deviation on its light, cut off at 0 and 1.

    Looked up in a table for each picture, of greys by deviations.
    """
    count, device = len(display), display.device
    most = spread.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
    greys, shares = torch.linspace(0, 1, GREYS, device=device), torch.linspace(0, 1, DEVIATIONS, device=device)
    points = torch.linspace(-LIMIT, LIMIT, POINTS, device=device).view(-1, 1, 1)
    weights = torch.exp(-points.square() / 2)
    light = to_linear(greys.expand(count, 1, 1, -1), *tone)
    lit = (light + points * shares.view(-1, 1) * most).clamp_(0, 1)
    shift = (to_display(lit, *tone) * (weights / weights.sum())).sum(dim=1, keepdim=True) - greys
    places = torch.stack([display, spread / most], dim=-1).flatten(1, 2) * 2 - 1
    return display + functional.grid_sample(shift, places, align_corners=True).view_as(display)


def _finish(ycc: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """The camera's smoothing of luma and colour, and the sharpening of the whole, on the noise alone."""
    device = ycc.device
    sensors = [camera.sensor for camera in cameras]
    blur = torch.tensor([(s.luma_blur, s.chroma_blur, s.chroma_blur) for s in sensors], device=device)
    left = torch.tensor([(1.0, s.chroma_left, s.chroma_left) for s in sensors], device=device)
    grain = torch.tensor([(s.luma_grain, s.chroma_grain, s.chroma_grain) for s in sensors], device=device)
    height, width = ycc.shape[2:]
    smooth = left.view(-1, 3, 1, 1) * _gaussian(blur, height, width)
    transfer = torch.lerp(smooth, torch.ones((), device=device), grain.view(-1, 3, 1, 1))
    size = torch.tensor([[c.sharpening_size] for c in cameras], device=device)
    amount = column([c.sharpening for c in cameras], device)
    transfer = transfer * (1 + amount * (1 - _gaussian(size, height, width)))
    return _filtered(ycc, transfer)


def _blotches(
    linear: Tensor,
    spread: Tensor,
    tone: tuple[Tensor, Tensor],
    cameras: Sequence[Camera],
    generator: torch.Generator | None,
) -> Tensor:
    """Coarse spots, luma and two colours, as strong as the sensor's noise is at the place."""
    result = torch.zeros_like(linear)
    chosen = [i for i, camera in enumerate(cameras) if camera.blotches > 0]
    if not chosen:
        return result
    height, width = linear.shape[2:]
    device = linear.device
    draws = torch.randn(len(chosen), *linear.shape[1:], generator=generator, device=source_device(generator))
    shape = _gaussian(torch.tensor([[cameras[i].blotch_size] for i in chosen], device=device), height, width)
    spots = _filtered(draws.to(device), shape)
    # a Gaussian of deviation s leaves 1 / (4 pi s^2) of white noise's variance
    wanted = column([cameras[i].blotches * 2 * math.sqrt(math.pi) * cameras[i].blotch_size for i in chosen], device)
    light, deviation = linear[chosen], spread[chosen]
    curve = tone[0][chosen], tone[1][chosen]
    above, below = (to_display((light + x).clamp_(0, 1), *curve) for x in (deviation, -deviation))
    spots[:, 0] *= LUMA_BLOTCHES
    result[chosen] = spots * wanted * ((above - below) / 2).mean(dim=1, keepdim=True)
    return result


def _filtered(planes: Tensor, transfer: Tensor) -> Tensor:
    """Planes (B, C, H, W), each through its transfer function; what leaves on one side comes in on the other."""
    result: Tensor = torch.fft.irfft2(torch.fft.rfft2(planes) * transfer, s=planes.shape[2:])
    return result


def _gaussian(sigma: Tensor, height: int, width: int) -> Tensor:
    """Transfer functions (B, C, H, W // 2 + 1) of Gaussians with deviations (B, C) in pixels; 0 changes nothing."""
    rows = torch.fft.fftfreq(height, device=sigma.device).view(-1, 1)
    columns = torch.fft.rfftfreq(width, device=sigma.device)
    scale = (-2 * math.pi**2) * sigma.square().view(*sigma.shape, 1, 1)
    return torch.exp(scale * rows.square()) * torch.exp(scale * columns.square())
