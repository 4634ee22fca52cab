"""Motion blur on clean pictures: shaking cameras, straight motion, and things that move before a steadier background.

Light adds up, not pixel values: pictures are blurred in linear light (gamma 2.2) and saturate again afterwards, with
highlights that were brighter than the picture can tell (Rim et al., "Realistic blur synthesis for learning image
deblurring", ECCV 2022). Everything is drawn from the generator given. Borders are mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.arrays import check_batch, column, mirrored, on_each, source_device, to_photo, to_tensor
from dfrestore.degrade.camera_path import CameraParams, CameraRange, exposure, sample_camera
from dfrestore.degrade.dice import Dice, Range, named_preset, throw_dice
from dfrestore.degrade.trajectories import Motion, motion_kernels

GAMMA = 2.2
SATURATED = 0.95  # of linear light: from here on highlights may be brighter than they look
MAX_ELEMENTS = 1 << 22  # pixels transformed at a time: bounds memory on whole photos


@dataclass(frozen=True)
class MovingObject:
    """A soft ellipse with an uneven rim that moves on its own. Places and sizes are shares of the picture.

    ``wobble``: unevenness of the rim; ``softness``: width of its edge relative to its radius.
    """

    motion: Motion
    centre: tuple[float, float] = (0.5, 0.5)
    radii: tuple[float, float] = (0.3, 0.3)
    wobble: float = 0.3
    softness: float = 0.1


@dataclass(frozen=True)
class BlurParams:
    """One picture's blur: ``motion`` of all of it, maybe something that moves before it, and what follows.

    ``highlight``: how many times brighter saturated places really are (0: not at all). ``noise``: sigma of white
    noise afterwards, on 0..255.
    """

    motion: Motion
    moving: MovingObject | None = None
    highlight: float = 0.0
    noise: float = 0.0

    def scaled(self, factor: float) -> BlurParams:
        """The same blur in a picture ``factor`` times as large."""
        moving = replace(self.moving, motion=self.moving.motion.scaled(factor)) if self.moving else None
        return replace(self, motion=self.motion.scaled(factor), moving=moving)


@dataclass(frozen=True)
class BlurRange:
    """Ranges (low, high) from which one blur is drawn; extents in pixels.

    ``extent``: of the picture's motion, or of the object's where one moves; the background behind it then moves by a
    share of that, ``background``, drawn evenly.
    """

    extent: Range
    linear_share: float
    object_share: float = 0.0
    background: Range = (0.0, 0.3)
    inertia: Range = (0.75, 0.99)
    jolts: Range = (0.0, 2.0)
    pull: Range = (0.0, 0.1)
    highlight_share: float = 0.5
    highlight: Range = (0.2, 3.0)
    noise_share: float = 0.5
    noise: Range = (0.3, 3.0)


SHAKE = BlurRange(extent=(3.0, 30.0), linear_share=0.0)
LINEAR = BlurRange(extent=(3.0, 30.0), linear_share=1.0)
OBJECT = BlurRange(extent=(5.0, 30.0), linear_share=0.7, object_share=1.0)
MILD = BlurRange(extent=(0.5, 5.0), linear_share=0.3, object_share=0.2)
SHORT = (
    (0.2, MILD),
    (0.4, replace(SHAKE, extent=(3.0, 12.0))),
    (0.25, replace(LINEAR, extent=(3.0, 12.0))),
    (0.15, replace(OBJECT, extent=(3.0, 12.0))),
)
PATH = CameraRange(extent=(0.0, 30.0))
BENCH = CameraRange(extent=(5.0, 17.0), noise=(0.3, 1.5))
MOTION = ((0.15, MILD), (0.45, SHAKE), (0.2, LINEAR), (0.2, OBJECT))

AnyBlur = BlurParams | CameraParams

# name -> shares of ranges; the shares of a preset sum to 1
PRESETS: dict[str, tuple[tuple[float, BlurRange | CameraRange], ...]] = {
    "shake": ((1.0, SHAKE),),
    "linear": ((1.0, LINEAR),),
    "object": ((1.0, OBJECT),),
    "motion": MOTION,
    "mixed": MOTION,
    "short": SHORT,
    "path": ((1.0, PATH),),
    "bench": ((1.0, BENCH),),
}


def sample_params(generator: torch.Generator | None, preset: str = "motion") -> AnyBlur:
    """One blur of a preset; ValueError names the presets that exist."""
    return sample_many(1, generator, preset)[0]


def sample_many(count: int, generator: torch.Generator | None, preset: str = "motion") -> list[AnyBlur]:
    """``count`` independent blurs of a preset, from one draw of the generator."""
    shares = named_preset("blur", PRESETS, preset)
    return [_sample(dice, dice.pick(shares)) for dice in throw_dice(count, generator)]


def add_blur(clean: Tensor, params: AnyBlur, generator: torch.Generator | None = None) -> Tensor:
    """Blur of these parameters on ``clean``, (3, H, W) or (B, 3, H, W) in [0, 1]; same shape, device and dtype.

    In a batch each picture gets its own path of the same parameters; a camera's path follows from its seed alone.
    """
    return on_each(_lay_over, clean, params, generator)


def degrade_batch(clean: Tensor, preset: str = "motion", generator: torch.Generator | None = None) -> Tensor:
    """Blur on a batch (B, 3, H, W) in [0, 1], each picture with its own parameters of ``preset``; in [0, 1]."""
    return _lay_over(clean, sample_many(clean.shape[0], generator, preset), generator)


def apply(rgb: NDArray[Any], preset: str = "motion", seed: int = 0, *, scale: float = 1.0) -> NDArray[np.float32]:
    """Blur on a whole photo (H, W, 3) in [0, 1]; a new fp32 array. ``scale`` lengthens the motion for large photos."""
    generator = torch.Generator().manual_seed(seed)
    clean = to_tensor(rgb, "blur")
    return to_photo(add_blur(clean, sample_params(generator, preset).scaled(scale), generator))


def _lay_over(clean: Tensor, blurs: Sequence[AnyBlur], generator: torch.Generator | None) -> Tensor:
    check_batch(clean, "blur")
    device = clean.device
    light = clean.float().clamp(0, 1) ** GAMMA
    if any(blur.highlight for blur in blurs):
        light = brighter(light, column([blur.highlight for blur in blurs], device))
    exposed = _exposed(light, blurs, generator)
    result = exposed.clamp_(0, 1) ** (1 / GAMMA)
    noisy = [i for i, blur in enumerate(blurs) if blur.noise > 0]
    if noisy:
        draws = torch.randn(len(noisy), *clean.shape[1:], generator=generator, device=source_device(generator))
        result[noisy] += draws.to(device) * column([blurs[i].noise / 255 for i in noisy], device)
    return result.clamp_(0, 1).to(clean.dtype)


def _exposed(light: Tensor, blurs: Sequence[AnyBlur], generator: torch.Generator | None) -> Tensor:
    by_kernels = {i: blur for i, blur in enumerate(blurs) if isinstance(blur, BlurParams)}
    by_frames = {i: blur for i, blur in enumerate(blurs) if isinstance(blur, CameraParams)}
    if not by_frames:  # not copied: the last bits of what follows depend on how the result lies in memory
        return _convolved(light, list(by_kernels.values()), generator)
    exposed = torch.empty_like(light)
    exposed[list(by_frames)] = exposure(light[list(by_frames)], list(by_frames.values()))
    if by_kernels:
        exposed[list(by_kernels)] = _convolved(light[list(by_kernels)], list(by_kernels.values()), generator)
    return exposed


def _convolved(light: Tensor, blurs: Sequence[BlurParams], generator: torch.Generator | None) -> Tensor:
    """Linear light (B, 3, H, W) under one kernel a picture, and under another where something moves."""
    device = light.device
    moving = [(i, blur.moving) for i, blur in enumerate(blurs) if blur.moving is not None]
    motions = [blur.motion for blur in blurs] + [thing.motion for _, thing in moving]
    kernels = motion_kernels(motions, generator).to(device)
    exposed = convolve(light, kernels[: len(blurs)])
    if moving:
        chosen = [i for i, _ in moving]
        mask = _masks([thing for _, thing in moving], generator, size=(light.shape[2], light.shape[3])).to(device)
        layers = convolve(torch.cat([light[chosen] * mask, mask], dim=1), kernels[len(blurs) :])
        # what moves covers the background for as long as it is there
        exposed[chosen] = exposed[chosen] * (1 - layers[:, 3:]) + layers[:, :3]
    return exposed


def brighter(light: Tensor, gain: Tensor) -> Tensor:
    """Saturated places of (B, 3, H, W) made brighter than 1, all three colours where one is saturated."""
    share = ((light.amax(1, keepdim=True) - SATURATED) / (1 - SATURATED)).clamp_(0, 1)
    return light * (1 + gain * share)


def convolve(pictures: Tensor, kernels: Tensor) -> Tensor:
    """(B, C, H, W), each picture with its own kernel (B, side, side), borders mirrored; by Fourier transform."""
    side = kernels.shape[-1]
    height, width = pictures.shape[2:]
    shape = _fast(height + side - 1), _fast(width + side - 1)
    rows = max(1, MAX_ELEMENTS // (pictures.shape[1] * shape[0] * shape[1]))
    if pictures.shape[0] > rows:
        pairs = zip(torch.split(pictures, rows), torch.split(kernels, rows), strict=True)
        return torch.cat([convolve(part, own) for part, own in pairs])
    if shape[0] * shape[1] > MAX_ELEMENTS and pictures.shape[1] > 1:
        return torch.cat([convolve(channel, kernels) for channel in torch.split(pictures, 1, dim=1)], dim=1)
    spectrum: Tensor = torch.fft.rfft2(mirrored(pictures, side // 2), s=shape)
    spectrum *= torch.fft.rfft2(kernels, s=shape).unsqueeze(1)
    # the first side - 1 rows and columns hold what wraps around
    blurred: Tensor = torch.fft.irfft2(spectrum, s=shape)
    return blurred[..., side - 1 : side - 1 + height, side - 1 : side - 1 + width]


def _fast(size: int) -> int:
    """The next size without prime factors above 5."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


def _masks(things: Sequence[MovingObject], generator: torch.Generator | None, size: tuple[int, int]) -> Tensor:
    """Where the objects are, fp32 (B, 1, H, W) in [0, 1], on the generator's device."""
    (height, width), device = size, source_device(generator)
    coarse = torch.randn(len(things), 1, 5, 5, generator=generator, device=device)
    uneven = functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
    fields = torch.tensor([(*t.centre, *t.radii, t.wobble, t.softness) for t in things], device=device)
    x, y, a, b, wobble, soft = fields.view(-1, 6, 1, 1, 1).unbind(1)
    down = (torch.arange(height, device=device).view(-1, 1) + 0.5) / height
    right = (torch.arange(width, device=device) + 0.5) / width
    distance = (((right - x) / a) ** 2 + ((down - y) / b) ** 2).sqrt()
    return torch.sigmoid((1 - distance + wobble * uneven) / (0.25 * soft))


def _sample(dice: Dice, bounds: BlurRange | CameraRange) -> AnyBlur:
    if isinstance(bounds, CameraRange):
        return sample_camera(dice, bounds)
    extent = dice.even(*bounds.extent)
    motion = _sample_motion(dice, bounds, extent)
    moving = None
    if dice.chance(bounds.object_share):
        moving = MovingObject(
            motion=motion,
            centre=(dice.even(0.2, 0.8), dice.even(0.2, 0.8)),
            radii=(dice.even(0.2, 0.6), dice.even(0.2, 0.6)),
            wobble=dice.even(0.0, 0.4),
            softness=dice.even(0.05, 0.5),
        )
        motion = _sample_motion(dice, bounds, extent * dice.even(*bounds.background))
    return BlurParams(
        motion=motion,
        moving=moving,
        highlight=dice.even(*bounds.highlight) if dice.chance(bounds.highlight_share) else 0.0,
        noise=dice.even(*bounds.noise) if dice.chance(bounds.noise_share) else 0.0,
    )


def _sample_motion(dice: Dice, bounds: BlurRange, extent: float) -> Motion:
    return Motion(
        kind="linear" if dice.chance(bounds.linear_share) else "shake",
        extent=extent,
        angle=dice.even(0, 360),
        acceleration=dice.even(0, 1),
        inertia=dice.even(*bounds.inertia),
        jolts=dice.even(*bounds.jolts),
        pull=dice.even(*bounds.pull),
    )
