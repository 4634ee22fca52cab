"""How much a preset damages Set14, and a picture to draw on where those photos are not at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfrestore.degrade import KINDS
from dfrestore.metrics import psnr_rgb, psnr_y, to_8bit

SHARED = Path(os.environ.get("DFRESTORE_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
SET14 = SHARED / "data" / "val" / "Set14" / "target"
needs_set14 = pytest.mark.skipif(
    not SET14.is_dir(), reason="Set14 is not here (DFRESTORE_SHARED names the folder with data/)"
)


def damage(kind: str, preset: str) -> tuple[float, float]:
    """Mean PSNR over Set14 on RGB and on luma of what ``degrade KIND --preset PRESET --seed 1`` writes."""
    scores = []
    for i, path in enumerate(sorted(SET14.glob("*"))):
        photo = np.asarray(Image.open(path).convert("RGB"))
        assert KINDS[kind].scale(preset) == 1
        damaged = to_8bit(KINDS[kind].apply(photo / np.float32(255), preset, 1 + i))
        scores.append((psnr_rgb(damaged, photo), psnr_y(damaged, photo)))
    on_rgb, on_luma = np.mean(scores, axis=0)
    return float(on_rgb), float(on_luma)


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """A sky, a wall with windows and a ground of waves: float32 (height, width, 3) in [0, 1]."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    y, x = y / height * 96, x / width * 128
    picture = np.dstack([0.5 + 0.004 * y, 0.6 + 0.003 * y, 0.9 - 0.001 * y])
    wall = (x > 70) & (y > 20) & (y < 70)
    picture[wall] = (0.55, 0.35, 0.25)
    picture[wall & (x % 14 < 7) & (y % 16 < 9)] = (0.1, 0.12, 0.2)
    ground = y >= 60
    waves = 0.3 + 0.12 * np.sin(x / 3 + y) + 0.1 * np.cos(y / 2)
    picture[ground] = np.dstack([waves, waves * 1.2, waves * 0.6])[ground]
    return picture.clip(0, 1).astype(np.float32)


def fingerprint(kind: str, preset: str) -> list[float]:
    """Mean, spread and two values of the scene as seed 1 damages it."""
    scale = KINDS[kind].scale(preset)
    damaged = KINDS[kind].apply(scene()[: 96 // scale * scale, : 128 // scale * scale], preset, 1)
    height, width = damaged.shape[:2]
    places = damaged[height // 3, width * 5 // 8, 0], damaged[height * 5 // 6, width // 6, 1]
    return [float(value) for value in (damaged.mean(), damaged.std(), *places)]
