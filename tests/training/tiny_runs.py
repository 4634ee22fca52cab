"""What the tests of training share: photos in memory, pairs on disk, a run of a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dfrestore.training.config import DataConfig, TrainConfig, with_stage
from dfrestore.training.photos import Photos
from dfrestore.training.settings import load_preset


def darken(clean: Tensor, preset: str, generator: torch.Generator) -> Tensor:
    """A degradation that can be undone: a seeded gain."""
    return clean * (0.4 + 0.2 * torch.rand(clean.shape[0], 1, 1, 1, generator=generator))


def tiny(coarse: int, fine: int) -> TrainConfig:
    """A run of a few thousand weights on patches of 32."""
    config = load_preset("smoke", "derain", {"model": {"network": {"dim": 8}}})
    config = with_stage(config, "coarse", iterations=coarse, patches=(32,), batches=(4,), warmup=0)
    config = with_stage(config, "fine", iterations=fine, steps=(1, 2), patches=(32,), batches=(4,), warmup=0)
    return replace(
        config,
        validate_every=4,
        log_every=1,
        data=DataConfig(validation=2, validation_size=32),
        optim=replace(config.optim, precision="fp32"),
    )


def smooth_photos() -> Photos:
    """Ten smooth photos of 96 pixels."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.integers(0, 256, (10, 3, 12, 12), dtype=np.uint8))
    large = torch.nn.functional.interpolate(small.float(), size=96, mode="bilinear").byte()
    return Photos(tuple(f"p{i}.png" for i in range(10)), tuple(large))


def smooth_pairs() -> Photos:
    """The same with a darker input each: half of the target, rounded down."""
    photos = smooth_photos()
    return replace(photos, inputs=tuple(p // 2 for p in photos.pixels))


def write_pairs(folder: Path, count: int, size: tuple[int, int] = (80, 72)) -> Path:
    """``input/000.png`` and ``target/000.png`` and so on, the input half as bright; returns ``folder``."""
    for part in ("input", "target"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "target" / f"{i:03d}.png")
        Image.fromarray(pixels // 2).save(folder / "input" / f"{i:03d}.png")
    return folder
