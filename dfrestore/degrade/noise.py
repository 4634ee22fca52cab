"""Noise on clean pictures: white Gaussian as the papers measure it, and what cameras really leave in their JPEGs.

Everything is drawn from the generator given: the same state gives the same noise (on a CPU bit for bit). Ranges of
the sensors surround Brooks et al. (CVPR 2019) for the raw values, and the cameras of CC15 (Nam et al., CVPR 2016) and
PolyU (Xu et al., 2018) for what is left of it in finished pictures: strength, correlation of pixels and of colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.degrade.arrays import check_batch, column, on_each, source_device, to_photo, to_tensor
from dfrestore.degrade.camera import Camera, camera_noise
from dfrestore.degrade.dice import Dice, Range, named_preset, throw_dice
from dfrestore.degrade.jpeg import jpeg_loss
from dfrestore.degrade.sensor import Sensor, sensor_noise

MAX_SIGMA = 75.0
MAX_PIXELS = 1 << 21  # of a photo worked on at a time
Finish = Literal["smoothed", "plain", "sharpened"]


@dataclass(frozen=True)
class NoiseParams:
    """Noise of one picture: of a ``sensor`` or a ``camera`` if there is one, then Gaussian of ``sigma`` (on 0..255).

    ``quality``: of a JPEG that the noisy picture goes through. ``rounded``: to 8 bits, as the papers' test files.
    """

    sigma: float = 0.0
    sensor: Sensor | None = None
    quality: int | None = None
    rounded: bool = False
    camera: Camera | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= MAX_SIGMA or (self.quality is not None and not 1 <= self.quality <= 100):
            raise ValueError(f"sigma {self.sigma} or quality {self.quality} is out of range")


@dataclass(frozen=True)
class GaussianRange:
    """Ranges (low, high) of white noise."""

    sigma: Range
    rounded: bool = False


@dataclass(frozen=True)
class SensorRange:
    """Ranges (low, high) from which a camera is drawn: ``shot`` and ``jpeg`` steps on a log scale, the rest evenly.

    ``read`` follows from ``shot`` (line and spread of Brooks et al.). ``chroma_blur`` is on top of ``luma_blur``.
    """

    shot: Range = (1e-4, 1.2e-2)
    red: Range = (1.4, 2.6)
    blue: Range = (1.3, 2.4)
    saturation: Range = (0.0, 0.75)  # how far colour correction is from none
    shoulder: Range = (0.0, 2.5)
    contrast: Range = (0.2, 1.0)
    finishes: tuple[tuple[float, Finish], ...] = ((0.7, "smoothed"), (0.15, "plain"), (0.15, "sharpened"))
    luma_blur: Range = (0.5, 1.5)
    chroma_blur: Range = (0.0, 3.0)
    chroma_left: Range = (0.2, 1.0)
    luma_grain: Range = (0.0, 0.25)
    chroma_grain: Range = (0.0, 0.2)
    sharpening: Range = (1.0, 1.6)
    jpeg_share: float = 0.5
    quality: tuple[int, int] = (70, 98)


@dataclass(frozen=True)
class CameraRange:
    """Ranges (low, high) of cameras whose noise has no mean. Sizes are deviations of Gaussians, on a log scale.

    ``chroma_size`` stands in place of the sensor's chroma_blur. ``reduced``: photos much reduced, whose clean side is
    the light's own; of the others it is the mean of finished shots. ``edge_share``: of cameras that smooth flat places
    more than edges.
    """

    sensor: SensorRange
    reduced: bool = False
    chroma_size: Range = (1.0, 7.0)
    blotch_share: float = 0.5
    blotches: Range = (0.05, 0.35)
    blotch_size: Range = (1.5, 10.0)
    sharpened_share: float = 0.25
    sharpening: Range = (0.2, 1.0)
    sharpening_size: Range = (0.5, 2.0)
    edge_share: float = 0.0
    edges: Range = (0.2, 2.0)


WHITE = GaussianRange((0.0, 55.0))
# What a camera makes of usual light: smoothed a little, colour much more (Gaussians that fit CC15 and PolyU).
FINISHED = CameraRange(
    SensorRange(
        shot=(1e-4, 1e-2),
        contrast=(0.0, 1.0),
        finishes=((0.85, "smoothed"), (0.15, "sharpened")),
        luma_blur=(0.3, 1.2),
    ),
    edge_share=0.7,
)
# A phone in the dark: the raw file's noise, smoothed little or not, down to about 22 dB.
PHONE = CameraRange(
    SensorRange(
        shot=(1e-3, 2e-2),
        contrast=(0.0, 0.6),
        finishes=((0.5, "smoothed"), (0.4, "plain"), (0.1, "sharpened")),
        luma_blur=(0.2, 2.0),
        luma_grain=(0.0, 0.6),
        chroma_grain=(0.0, 0.6),
        quality=(60, 98),
    ),
    chroma_size=(0.5, 9.0),
    edge_share=0.3,
)
# Reduced to a fraction of its side: pixels far apart in the camera, so noise without correlation in space.
REDUCED = CameraRange(
    SensorRange(
        shot=(2e-4, 1e-2),
        contrast=(0.0, 0.5),
        finishes=((1.0, "smoothed"),),
        luma_blur=(0.0, 0.3),
        chroma_left=(0.3, 1.0),
        luma_grain=(0.0, 1.0),
        jpeg_share=0.3,
    ),
    reduced=True,
    chroma_size=(0.05, 0.4),
    blotch_share=0.2,
    sharpened_share=0.15,
)

# name -> shares of ranges; the shares of a preset sum to 1
PRESETS: dict[str, tuple[tuple[float, GaussianRange | SensorRange | CameraRange], ...]] = {
    "gaussian15": ((1.0, GaussianRange((15.0, 15.0), rounded=True)),),
    "gaussian25": ((1.0, GaussianRange((25.0, 25.0), rounded=True)),),
    "gaussian50": ((1.0, GaussianRange((50.0, 50.0), rounded=True)),),
    "gaussian": ((1.0, WHITE),),
    "sensor": ((1.0, SensorRange()),),
    "mixed": ((0.5, WHITE), (0.5, SensorRange())),
    "camera": ((0.5, FINISHED), (0.3, PHONE), (0.2, REDUCED)),
    "blind": ((0.4, WHITE), (0.3, FINISHED), (0.17, PHONE), (0.13, REDUCED)),
}


def sample_params(generator: torch.Generator | None, preset: str = "mixed") -> NoiseParams:
    """The noise of one picture of a preset; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "mixed") -> list[NoiseParams]:
    """``count`` independent noises of a preset, from one draw of the generator."""
    shares = named_preset("noise", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def add_noise(clean: Tensor, params: NoiseParams, generator: torch.Generator | None = None) -> Tensor:
    """Noise of these parameters on ``clean``, (3, H, W) or (B, 3, H, W) in [0, 1]; same shape, device and dtype."""
    return on_each(_lay_over, clean, params, generator)


def degrade_batch(clean: Tensor, preset: str = "mixed", generator: torch.Generator | None = None) -> Tensor:
    """Noise on a batch (B, 3, H, W) in [0, 1], each picture with its own parameters of ``preset``; in [0, 1]."""
    return _lay_over(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "mixed", seed: int = 0) -> NDArray[np.float32]:
    """Noise on a whole photo (H, W, 3) in [0, 1]; a new fp32 array."""
    generator = torch.Generator().manual_seed(seed)
    clean = to_tensor(rgb, "noise")
    params = sample_params(generator, preset)
    height, width = clean.shape[2:]
    rows = max(16, MAX_PIXELS // width // 16 * 16)  # whole blocks of JPEG
    bands = []
    for top in range(0, height, rows):  # bounds memory; a band sees 16 rows beyond itself
        start = max(0, top - 16)
        band = add_noise(clean[..., start : top + rows + 16, :], params, generator)
        bands.append(band[..., top - start : top - start + rows, :])
    return to_photo(torch.cat(bands, dim=2))


def _lay_over(clean: Tensor, noises: Sequence[NoiseParams], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "noise")
    device = clean.device
    picture = clean.to(torch.float32, copy=True)
    sensors = {i: noise.sensor for i, noise in enumerate(noises) if noise.sensor is not None}
    if sensors:
        chosen = list(sensors)
        picture[chosen] += sensor_noise(picture[chosen], list(sensors.values()), generator)
    cameras = {i: noise.camera for i, noise in enumerate(noises) if noise.camera is not None}
    if cameras:
        chosen = list(cameras)
        picture[chosen] += camera_noise(picture[chosen], list(cameras.values()), generator)
    white = [i for i, noise in enumerate(noises) if noise.sigma > 0]
    if white:
        draws = torch.randn(len(white), *clean.shape[1:], generator=generator, device=source_device(generator))
        picture[white] += draws.to(device) * column([noises[i].sigma / 255 for i in white], device)
    picture.clamp_(0, 1)
    compressed = [(i, noise.quality) for i, noise in enumerate(noises) if noise.quality is not None]
    if compressed:
        chosen = [i for i, _ in compressed]
        picture[chosen] = jpeg_loss(picture[chosen], [q for _, q in compressed])
    rounded = [i for i, noise in enumerate(noises) if noise.rounded]
    if rounded:
        picture[rounded] = (picture[rounded] * 255).round_() / 255
    return picture.to(clean.dtype)


def _sample(dice: Dice, bounds: GaussianRange | SensorRange | CameraRange) -> NoiseParams:
    if isinstance(bounds, GaussianRange):
        return NoiseParams(sigma=dice.even(*bounds.sigma), rounded=bounds.rounded)
    if isinstance(bounds, CameraRange):
        camera = _sample_camera(dice, bounds)
        jpeg = bounds.sensor
        quality = dice.whole(*jpeg.quality) if dice.chance(jpeg.jpeg_share) else None
        return NoiseParams(camera=camera, quality=quality)
    sensor = _sample_sensor(dice, bounds)
    quality = dice.whole(*bounds.quality) if dice.chance(bounds.jpeg_share) else None
    return NoiseParams(sensor=sensor, quality=quality)


def _sample_sensor(dice: Dice, bounds: SensorRange) -> Sensor:
    shot = dice.log(*bounds.shot)
    finish = dice.pick(bounds.finishes)
    luma_blur = dice.even(*bounds.luma_blur)
    chroma_blur = luma_blur + dice.even(*bounds.chroma_blur)
    grain = dice.even(*bounds.luma_grain), dice.even(*bounds.chroma_grain)
    if finish == "plain":
        luma_blur = chroma_blur = 0.0
    elif finish == "sharpened":
        grain = dice.even(*bounds.sharpening), grain[1]
    return Sensor(
        shot=shot,
        read=math.exp(2.18 * math.log(shot) + 1.2 + 0.26 * dice.normal()),
        red=dice.even(*bounds.red),
        blue=dice.even(*bounds.blue),
        colour=_colour_correction(dice, bounds),
        shoulder=dice.even(*bounds.shoulder),
        contrast=dice.even(*bounds.contrast),
        malvar=dice.even(0, 1),
        pattern=dice.whole(0, 3),
        luma_blur=luma_blur,
        chroma_blur=chroma_blur,
        chroma_left=1.0 if finish == "plain" else dice.even(*bounds.chroma_left),
        luma_grain=grain[0],
        chroma_grain=grain[1],
    )


def _sample_camera(dice: Dice, bounds: CameraRange) -> Camera:
    sensor = _sample_sensor(dice, bounds.sensor)
    chroma_blur = dice.log(*bounds.chroma_size)
    if sensor.chroma_blur > 0:  # a plain sensor stays plain
        sensor = replace(sensor, chroma_blur=max(chroma_blur, sensor.luma_blur))
    blotched, blotches, blotch_size = (
        dice.chance(bounds.blotch_share),
        dice.even(*bounds.blotches),
        dice.log(*bounds.blotch_size),
    )
    sharpened, sharpening, sharpening_size = (
        dice.chance(bounds.sharpened_share),
        dice.even(*bounds.sharpening),
        dice.log(*bounds.sharpening_size),
    )
    edged, edges = dice.chance(bounds.edge_share), dice.even(*bounds.edges)
    return Camera(
        sensor=sensor,
        mosaic=not bounds.reduced,
        settled=not bounds.reduced,
        blotches=blotches if blotched else 0.0,
        blotch_size=blotch_size,
        sharpening=sharpening if sharpened else 0.0,
        sharpening_size=sharpening_size,
        edges=edges if edged else 0.0,
    )


def _colour_correction(dice: Dice, bounds: SensorRange) -> tuple[float, ...]:
    """A matrix whose rows sum to 1, so that grey stays grey: each row takes a share of the other two colours off."""
    rows: list[float] = []
    for i in range(3):
        excess = dice.even(*bounds.saturation)
        # neighbours in the spectrum overlap most: green for red and blue
        near = dice.even(0.6, 1.1) if i != 1 else dice.even(0.3, 0.7)
        others = [-excess * near, -excess * (1 - near)]
        first, second = others if i != 2 else reversed(others)
        row = [first, second]
        row.insert(i, 1 + excess)
        rows += row
    return tuple(rows)
