"""One iteration's batch: crops, degradation or pairs, mixup; all drawn from (seed, stage, iteration) alone.

Because a batch follows from the iteration number, nothing random has to be saved to resume a run bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.training.config import DataConfig, TrainConfig
from dfrestore.training.data import Degrade, degrade_crops, generator_for, soften
from dfrestore.training.photos import Photos
from dfrestore.training.schedules import patch_and_batch

MIXUP_ALPHA = 1.2


@dataclass(frozen=True)
class Place:
    """Where a crop is taken: row and column as fractions of what there is to choose from.

    size: side of the crop at first. window: (top, left, side) of what is kept of it. resized: its side in the end,
    the crop being reduced to a half or enlarged; 0: as it is. grid: crops begin at multiples of it. turned: by 45
    degrees, the crop being the middle of what is turned.
    """

    photo: int
    row: float
    column: float
    size: int
    flip: bool
    resized: int = 0
    window: tuple[int, int, int] | None = None
    grid: int = 1
    turned: bool = False

    def reduced(self, scale: int) -> Place:
        """The same place in a picture that is ``scale`` times smaller."""
        if scale == 1:
            return self
        window = None
        if self.window is not None:
            top, left, side = self.window
            window = top // scale, left // scale, side // scale
        return replace(self, size=self.size // scale, window=window, grid=1)


def draw_batch(
    photos: Photos, config: TrainConfig, stage: int, iteration: int, degrade: Degrade | None, scale: int = 1
) -> tuple[Tensor, Tensor]:
    """(clean, degraded) of iteration ``iteration`` of a stage, both from 0; float32 in [0, 1].

    clean: (B, 3, P, P), degraded: (B, 3 or 4, P / s, P / s); s: ``scale``.
    """
    settings = list(config.stages.values())[stage]
    patch, batch = patch_and_batch(settings, iteration)
    generator = generator_for(config.seed, stage, iteration, 0)
    if config.data.crops == "shared-window":
        loader = max(settings.batches)
        chosen = loader_batch(len(photos.names), loader, iteration, (config.seed, stage), generator)
        subset = [chosen[i] for i in torch.randperm(loader, generator=generator)[:batch].tolist()]
        places = shared_window_places(subset, max(settings.patches), patch, config.data.flip, generator, scale)
    else:
        places = independent_places(photos, patch, batch, config.data, generator, scale)
    clean = torch.stack([cut(photos.pixels[place.photo], place) for place in places])
    if photos.paired:
        degraded = torch.stack([_degraded(photos, place.reduced(scale)) for place in places])
        keep = torch.rand(batch, generator=generator) < config.data.clean_fraction
        if degraded.shape == clean.shape:
            degraded[keep] = clean[keep]
        if photos.mixed is not None:
            _mix_in(photos.mixed, config.data, clean, degraded, degrade, generator)
    elif degrade is None:
        raise ValueError("clean photos need a degradation")
    else:
        soften(clean, config.data, generator)
        degraded = degrade_crops(clean, degrade, config.data, generator)
    if config.data.quarter_turn:
        turned = torch.rand(batch, generator=generator) < config.data.quarter_turn
        clean[turned], degraded[turned] = quarter_turn(clean[turned]), quarter_turn(degraded[turned])
    if config.data.upside_down:
        turned = torch.rand(batch, generator=generator) < config.data.upside_down
        clean[turned], degraded[turned] = clean[turned].flip(-2), degraded[turned].flip(-2)
    return mixup(clean, degraded, generator) if config.data.mixup else (clean, degraded)


def _degraded(photos: Photos, place: Place) -> Tensor:
    """The input's crop (3, P, P); where it has a mask (4, P, P), black in the hole."""
    crop = cut(photos.inputs[place.photo], place)
    if not photos.masks:
        return crop
    hole = cut(photos.masks[place.photo], place)[:1]
    return torch.cat([crop * (1 - hole), hole])


def _mix_in(
    photos: Photos,
    data: DataConfig,
    clean: Tensor,
    degraded: Tensor,
    degrade: Degrade | None,
    generator: torch.Generator,
) -> None:
    """Put crops of clean photos, degraded on the fly, in place of a part of the batch's pairs."""
    if degrade is None:
        raise ValueError("mixed-in clean photos need a degradation")
    count = int(len(clean) * data.mix_share + float(torch.rand(1, generator=generator)))  # the share, on average
    if count:
        places = independent_places(photos, clean.shape[-1], count, data, generator)
        clean[:count] = torch.stack([cut(photos.pixels[place.photo], place) for place in places])
        soften(clean[:count], data, generator)
        degraded[:count] = degrade_crops(clean[:count].clone(), degrade, data, generator)


def independent_places(
    photos: Photos, patch: int, count: int, data: DataConfig, generator: torch.Generator, grid: int = 1
) -> list[Place]:
    """Crops from photos weighted by area, some mirrored; of clean photos, some at half scale or enlarged."""
    chosen = torch.multinomial(photos.areas, count, replacement=True, generator=generator)
    places = []
    for index in chosen.tolist():
        scale, flip, row, column = torch.rand(4, generator=generator).tolist()
        side = patch if photos.paired else _side_before(patch, min(photos.pixels[index].shape[1:]), scale, data)
        flipped, resized = data.flip and flip < 0.5, 0 if side == patch else patch
        place = Place(index, row, column, side, flipped, resized, grid=grid if photos.paired else 1)
        if data.eighth_turn and float(torch.rand(1, generator=generator)) < data.eighth_turn:
            room = min(photos.pixels[index].shape[1:])
            place = replace(place, turned=grid == 1 and room >= turned_side(side))
        places.append(place)
    return places


def _side_before(patch: int, room: int, draw: float, data: DataConfig) -> int:
    """Of the crop that becomes one of ``patch``; draw: from 0 to 1, the lowest are reduced, the highest enlarged."""
    if draw < data.half_scale:
        return 2 * patch if room >= 2 * patch else patch
    larger = (draw - (1 - data.enlarged)) / data.enlarged if data.enlarged else 0.0
    return round(patch / 2 ** max(0.0, larger))


def loader_batch(
    total: int, batch: int, iteration: int, seed: tuple[int, int], generator: torch.Generator
) -> list[int]:
    """The indices that the authors' loader gives: an order shuffled anew each epoch, incomplete batches dropped.

    With fewer photos than a batch, where theirs gives nothing: drawn with replacement.
    """
    if total < batch:
        return torch.randint(total, (batch,), generator=generator).tolist()
    epoch, place = divmod(iteration, total // batch)
    order = torch.randperm(total, generator=generator_for(*seed, epoch, 2))
    return order[place * batch : (place + 1) * batch].tolist()


def shared_window_places(
    chosen: Sequence[int], largest: int, patch: int, flip: bool, generator: torch.Generator, grid: int = 1
) -> list[Place]:
    """The authors' crops: of the largest size, each with its own place and mirroring, then one window for all."""
    top, left = (int((largest - patch) * u) // grid * grid for u in torch.rand(2, generator=generator).tolist())
    draws = torch.rand(len(chosen), 3, generator=generator).tolist()
    return [
        Place(index, row, column, largest, flip and u < 0.5, window=(top, left, patch), grid=grid)
        for index, (row, column, u) in zip(chosen, draws, strict=True)
    ]


def cut(pixels: Tensor, place: Place) -> Tensor:
    """The crop of a photo uint8 (C, H, W) at a place: float32 (C, P, P) in [0, 1]; small photos are mirrored on."""
    if place.turned:
        whole = cut(pixels, replace(place, size=turned_side(place.size), resized=0, turned=False))
        crop = eighth_turn(whole, place.size)
        return _resized(crop, place.resized) if place.resized else crop
    size = place.size
    pixels = mirrored(pixels, size)
    top = int(place.row * ((pixels.shape[1] - size) // place.grid + 1)) * place.grid
    left = int(place.column * ((pixels.shape[2] - size) // place.grid + 1)) * place.grid
    side = size
    if place.window is not None:
        down, right, side = place.window
        top += down
        left += size - right - side if place.flip else right  # mirrored first, then the window
    crop = pixels[:, top : top + side, left : left + side].contiguous().float() / 255
    if place.resized:
        crop = _resized(crop, place.resized)
    return crop.flip(-1) if place.flip else crop


def _resized(crop: Tensor, side: int) -> Tensor:
    if crop.shape[1] == 2 * side:
        return functional.avg_pool2d(crop, 2)
    return functional.interpolate(crop[None], (side, side), mode="bicubic", align_corners=False)[0].clamp_(0, 1)


def mirrored(pixels: Tensor, side: int) -> Tensor:
    """(3, H, W) at least ``side`` large: reflected at bottom and right, the edge repeated, as often as needed."""
    height, width = pixels.shape[1:]
    if height >= side and width >= side:
        return pixels
    missing = [(0, 0), (0, max(0, side - height)), (0, max(0, side - width))]
    return torch.from_numpy(np.pad(pixels.numpy(), missing, mode="symmetric"))


def turned_side(side: int) -> int:
    """Of the square that is turned by 45 degrees, for a crop of ``side`` out of its middle: 364 for 256."""
    return 2 * math.ceil(side / math.sqrt(2))


def eighth_turn(crop: Tensor, side: int) -> Tensor:
    """(C, S, S) turned by 45 degrees, bilinearly; its middle, (C, side, side)."""
    across = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    down, right = across[:, None] * math.sqrt(0.5), across[None, :] * math.sqrt(0.5)
    grid = torch.stack([right - down, right + down], dim=-1) / ((crop.shape[-1] - 1) / 2)
    return functional.grid_sample(crop[None], grid[None], mode="bilinear", align_corners=True)[0]


def quarter_turn(crops: Tensor) -> Tensor:
    """(B, C, P, P) turned by 90 degrees: after the degradation, so that rain falls sideways too."""
    return crops.rot90(1, (-2, -1))


def mixup(clean: Tensor, degraded: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """With probability 1/2, both mixed with one permutation of the batch and one weight from Beta(1.2, 1.2)."""
    order = torch.randperm(len(clean), generator=generator)
    entropy = int(torch.randint(1 << 62, (1,), generator=generator))
    rng = np.random.default_rng(entropy)
    weight = float(rng.beta(MIXUP_ALPHA, MIXUP_ALPHA))
    if rng.random() < 0.5:
        return clean, degraded
    return weight * clean + (1 - weight) * clean[order], weight * degraded + (1 - weight) * degraded[order]
