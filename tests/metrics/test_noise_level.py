"""Noise measured from the noisy picture alone, on photos with drawn noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dfrestore.metrics import noise_sigma

PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "pairs" / "target").glob("*.jpg"))


def pixels(path: Path) -> NDArray[np.float32]:
    return np.asarray(Image.open(path).convert("RGB"), np.float32)


def grey_noise(photo: NDArray[np.float32], sigma: float, seed: int = 1) -> NDArray[np.float32]:
    """The same noise in all channels, so that luma has this sigma; in whole levels."""
    draws = np.random.default_rng(seed).normal(0, sigma, photo.shape[:2])[..., None]
    return np.clip(photo + draws, 0, 255).round().astype(np.float32)


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
@pytest.mark.parametrize("sigma", [3, 5, 10, 25, 50])
def test_drawn_noise_is_found_within_15_percent(path: Path, sigma: float) -> None:
    assert noise_sigma(grey_noise(pixels(path), sigma)) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_the_texture_of_a_clean_photo_is_less_than_one_level(path: Path) -> None:
    assert noise_sigma(pixels(path)) < 1


def test_noise_of_each_channel_alone_is_two_thirds_of_it_in_luma() -> None:
    draws = np.random.default_rng(2).normal(0, 15, (200, 200, 3))
    assert noise_sigma(128 + draws) == pytest.approx(15 * np.sqrt(0.299**2 + 0.587**2 + 0.114**2), rel=0.05)


def test_what_is_cut_off_at_black_and_white_does_not_count() -> None:
    photo = np.full((128, 128, 3), 128, np.float32)
    photo[:, :64] = 0  # half of it is black, where noise of 8 would look like half of it
    assert noise_sigma(grey_noise(photo, 8)) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_flat_picture_and_a_tiny_one_have_none(level: int) -> None:
    assert noise_sigma(np.full((64, 48, 3), level, np.uint8)) < 1e-6
    assert noise_sigma(np.full((1, 3, 3), level, np.uint8)) == 0


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        noise_sigma(np.zeros((8, 8)))
