"""Training pairs: photos decoded once into memory, crops and degradations drawn from (seed, iteration) alone.

Because a batch follows from the iteration number, nothing random has to be saved to resume a run bit for bit.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dfrestore.errors import PhotoReadError, StartError, did_you_mean
from dfrestore.photo import is_candidate, read
from dfrestore.training.config import DataConfig

Degrade = Callable[[Tensor, str, torch.Generator], Tensor]


def degradation(task: str) -> Degrade:
    """The synthetic degradation that a task undoes. Raises :class:`StartError` for a task without one."""
    from dfrestore.degrade import degrade_batch

    known: dict[str, Degrade] = {"derain": degrade_batch}
    if task not in known:
        raise StartError(
            f"no synthetic degradation for '{task}'{did_you_mean(task, known)} (known: {', '.join(known)})"
        )
    return known[task]


@dataclass(frozen=True)
class Photos:
    """Clean photos in memory: uint8 tensors (3, H, W) and their names; ``skipped`` holds one line a file left out."""

    names: tuple[str, ...]
    pixels: tuple[Tensor, ...]
    skipped: tuple[str, ...]

    def split(self, held_out: int) -> tuple[Photos, Photos]:
        """(training, validation): at most ``held_out`` photos, evenly spread over the sorted names, at most a fifth."""
        count = min(held_out, len(self.names) // 5)
        chosen = {round((i + 0.5) * len(self.names) / count) for i in range(count)} if count else set()
        return self._pick([i for i in range(len(self.names)) if i not in chosen]), self._pick(sorted(chosen))

    def _pick(self, indices: Sequence[int]) -> Photos:
        return Photos(tuple(self.names[i] for i in indices), tuple(self.pixels[i] for i in indices), ())


def load_photos(folders: Sequence[Path], smallest: int = 64) -> Photos:
    """All photos under the folders, recursively, sorted by path. Raises :class:`StartError` when none can be used."""
    files = sorted({f for folder in folders for f in Path(folder).rglob("*") if f.is_file() and is_candidate(f)})
    names, pixels, skipped = [], [], []
    for file in files:
        try:
            rgb = read(file).rgb
        except PhotoReadError as error:
            skipped.append(str(error))
            continue
        if min(rgb.shape[:2]) < smallest:
            skipped.append(f"{file}: {rgb.shape[1]}x{rgb.shape[0]} is smaller than {smallest} pixels")
            continue
        names.append(file.name)
        pixels.append(torch.from_numpy(np.round(rgb * 255).astype(np.uint8)).permute(2, 0, 1).contiguous())
    if not pixels:
        where = ", ".join(str(f) for f in folders)
        raise StartError(f"nothing to train on: no usable photo under {where} ({len(skipped)} left out)")
    return Photos(tuple(names), tuple(pixels), tuple(skipped))


def generator_for(seed: int, *path: int) -> torch.Generator:
    """An independent CPU generator for a place in the run, e.g. (stage, iteration, rank)."""
    entropy = np.random.SeedSequence([seed, *path]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy & np.uint64(0x7FFF_FFFF_FFFF_FFFF)))


def draw_crops(photos: Photos, patch: int, count: int, data: DataConfig, generator: torch.Generator) -> Tensor:
    """(count, 3, patch, patch) float32 in [0, 1]: photos weighted by area, some at half scale, some mirrored."""
    areas = torch.tensor([float(p.shape[1] * p.shape[2]) for p in photos.pixels])
    chosen = torch.multinomial(areas, count, replacement=True, generator=generator)
    crops = torch.empty(count, 3, patch, patch)
    for i, index in enumerate(chosen.tolist()):
        pixels = photos.pixels[index]
        half, flip, row, column = torch.rand(4, generator=generator).tolist()
        scale = 2 if half < data.half_scale and min(pixels.shape[1:]) >= 2 * patch else 1
        crop = _window(pixels, patch * scale, row, column).float() / 255
        if scale == 2:
            crop = torch.nn.functional.avg_pool2d(crop, 2)
        crops[i] = crop.flip(-1) if data.flip and flip < 0.5 else crop
    return crops


def degrade_crops(clean: Tensor, degrade: Degrade, data: DataConfig, generator: torch.Generator) -> Tensor:
    """Degraded inputs for clean crops (B, 3, P, P): a part stays clean, a part is compressed as JPEG, all 8 bit."""
    degraded = degrade(clean, data.preset, generator)
    draws = torch.rand(clean.shape[0], 2, generator=generator)
    low, high = data.jpeg_quality
    qualities = torch.randint(low, high + 1, (clean.shape[0],), generator=generator).tolist()
    for i, (keep, compress) in enumerate(draws.tolist()):
        if keep < data.clean_fraction:
            degraded[i] = clean[i]
        elif compress < data.jpeg_fraction:
            degraded[i] = jpeg_round_trip(degraded[i], qualities[i])
    return (degraded * 255).round() / 255


def jpeg_round_trip(image: Tensor, quality: int) -> Tensor:
    """(3, H, W) in [0, 1] through a JPEG of the given quality (4:2:0 below 90, else 4:4:4)."""
    array = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality, subsampling=2 if quality < 90 else 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decoded = np.array(Image.open(buffer).convert("RGB"))
    return torch.from_numpy(decoded).permute(2, 0, 1).float() / 255


def _window(pixels: Tensor, side: int, row: float, column: float) -> Tensor:
    height, width = pixels.shape[1:]
    if height < side or width < side:  # reflect, as often as needed
        padded = np.pad(
            pixels.numpy(), [(0, 0), (0, max(0, side - height)), (0, max(0, side - width))], mode="symmetric"
        )
        pixels, (height, width) = torch.from_numpy(padded), padded.shape[1:]
    top, left = int(row * (height - side + 1)), int(column * (width - side + 1))
    return pixels[:, top : top + side, left : left + side]
