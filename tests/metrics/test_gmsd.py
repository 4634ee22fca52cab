"""GMSD against a literal reference, and what it says of noise and of even changes."""

from __future__ import annotations

import numpy as np
import pytest
from damaged_photos import scene
from reference import gmsd_reference

from dfrestore.metrics import gmsd


def picture(height: int = 60, width: int = 80) -> np.ndarray:
    return np.rint(255 * scene(height, width)).astype(np.uint8)


def noisy(clean: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(60, 80), (61, 80), (60, 81), (45, 33), (4, 4), (3, 3)])
def test_it_is_what_the_authors_code_computes(height: int, width: int) -> None:
    clean = picture(height, width)
    other = noisy(clean, 20)
    assert gmsd(clean, other) == pytest.approx(gmsd_reference.gmsd(clean, other), abs=1e-12)


def test_identical_pictures_have_none() -> None:
    assert gmsd(picture(), picture()) == 0


def test_it_grows_with_noise_and_does_not_tell_the_two_pictures_apart() -> None:
    clean = picture()
    found = [gmsd(clean, noisy(clean, sigma)) for sigma in (0, 3, 8, 20, 50)]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert gmsd(noisy(clean, 20), clean) == found[3]


def test_damage_of_one_place_counts_more_than_the_same_noise_everywhere() -> None:
    clean = picture(64, 64)
    half = clean.copy()
    half[:, :32] = noisy(clean, 30)[:, :32]
    assert gmsd(clean, half) > gmsd(clean, noisy(clean, 15))


def test_grey_pictures_are_measured_as_they_are() -> None:
    grey = picture()[..., 0]
    colours = np.repeat(grey[..., None], 3, axis=2)
    other = noisy(grey, 20)
    assert gmsd(grey, other) == pytest.approx(gmsd(colours, np.repeat(other[..., None], 3, axis=2)))


def test_pictures_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        gmsd(picture(8, 8), picture(8, 9))
    with pytest.raises(ValueError, match="at least 3x3 pixels, not 9x2"):
        gmsd(picture(2, 9), picture(2, 9))
    with pytest.raises(ValueError, match=r"\(H, W, 3\) or \(H, W\), not \(8, 8, 4\)"):
        gmsd(np.zeros((8, 8, 4)), np.zeros((8, 8, 4)))
