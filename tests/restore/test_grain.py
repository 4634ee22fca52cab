"""Grain: where it lies, how strong it is, and what it follows from."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from dfrestore.restore.grain import MOST, is_grey, with_grain
from dfrestore.restore.images import luma_of


def flat(value: float, height: int = 96, width: int = 96) -> np.ndarray:
    return np.full((height, width, 3), value, np.float32)


def grain_of(value: float, amount: float = 1, seed: int = 0) -> np.ndarray:
    return with_grain(flat(value), amount, seed) - np.float32(value)


def test_it_is_strongest_in_mid_grey_and_weak_in_shadows_and_highlights() -> None:
    black, shadow, grey, light, white = (luma_of(grain_of(value)).std() for value in (0, 0.1, 0.5, 0.9, 1))
    assert grey == pytest.approx(MOST, rel=0.05)
    assert (black, white) == (0, 0)
    assert shadow == pytest.approx(0.36 * grey, rel=0.05)
    assert light == pytest.approx(0.36 * grey, rel=0.05)


def test_the_amount_is_a_share() -> None:
    np.testing.assert_allclose(grain_of(0.5, 0.25), grain_of(0.5, 1) / 4, atol=1e-6)


@pytest.mark.parametrize("value", [0.01, 0.99])
def test_brightness_stays_near_the_ends_of_the_range(value: float) -> None:
    assert abs(grain_of(value).mean()) < 0.1 / 255


def test_it_is_mostly_brightness() -> None:
    grain = grain_of(0.5)
    luma = luma_of(grain)
    colour = grain - luma[..., None]
    assert 0.05 < colour.std() / luma.std() < 0.3
    assert np.ptp(with_grain(flat(0.5), 1, 0, coloured=False), axis=2).max() == 0


def test_neighbours_belong_to_one_grain_and_pixels_further_off_do_not() -> None:
    luma = luma_of(grain_of(0.5))
    for axis in (0, 1):
        one, five = (np.mean(luma * np.roll(luma, shift, axis)) / luma.var() for shift in (1, 5))
        assert one > 0.5
        assert abs(five) < 0.1


def test_a_crop_from_the_corner_has_the_grain_of_the_whole() -> None:
    """Of more rows than are worked on at once."""
    whole = with_grain(flat(0.4, 300, 20), 0.5, 3)
    assert np.array_equal(with_grain(flat(0.4, 200, 9), 0.5, 3), whole[:200, :9])


def test_another_seed_is_another_grain() -> None:
    first, again, other = (grain_of(0.5, seed=seed) for seed in (5, 5, 2**63 - 1))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.1


def test_it_is_the_same_grain_in_every_version() -> None:
    levels = np.rint(255 * with_grain(flat(0.5, 40, 40), 0.5, 1)).astype(np.uint8)
    assert hashlib.sha256(levels.tobytes()).hexdigest()[:16] == "60ad13e7d723b4d7"


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (129, 1)])
def test_any_size_works_and_stays_in_range(size: tuple[int, int]) -> None:
    made = with_grain(np.random.default_rng(0).random((*size, 3), np.float32), 1, 0)
    assert made.shape == (*size, 3)
    assert made.dtype == np.float32
    assert 0 <= made.min() <= made.max() <= 1


def test_grey_is_three_equal_channels() -> None:
    grey = np.random.default_rng(0).random((4, 4, 1), np.float32).repeat(3, axis=2)
    assert is_grey(grey)
    grey[2, 3, 1] += 1e-3
    assert not is_grey(grey)
