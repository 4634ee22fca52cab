"""Detail that comes back: what stands out from the noise, and as little of the noise as may be."""

from __future__ import annotations

import numpy as np
import pytest

from dfrestore.restore import detail
from dfrestore.restore.detail import with_detail
from dfrestore.restore.images import luma_of

SIGMA = 0.02


def noise(height: int = 96, width: int = 96, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, SIGMA, (height, width, 3)).astype(np.float32)


def flat(height: int = 96, width: int = 96) -> np.ndarray:
    return np.full((height, width, 3), 0.5, np.float32)


def size_of(picture: np.ndarray) -> float:
    return float(np.sqrt(np.mean(picture**2)))


def test_of_plain_noise_next_to_nothing_comes_back() -> None:
    back = with_detail(flat() + noise(), flat(), 1) - flat()
    assert size_of(back) < 0.03 * SIGMA


def test_a_lost_texture_comes_back_in_its_place() -> None:
    texture = np.zeros((96, 96, 1), np.float32)
    texture[32:64, 32:64] = 4 * SIGMA * (-1) ** (np.indices((32, 32)).sum(0) // 2)[..., None]
    back = with_detail(flat() + texture + noise(), flat(), 1) - flat()
    inside = back[36:60, 36:60]
    assert np.mean(inside * texture[36:60, 36:60]) > 0.7 * np.mean(texture[36:60, 36:60] ** 2)
    assert size_of(back[:24]) < 0.05 * SIGMA


def test_what_is_broader_than_the_bands_does_not_come_back() -> None:
    slope = np.linspace(-0.2, 0.2, 96, dtype=np.float32)[None, :, None]
    back = with_detail(flat() + slope + noise(), flat(), 1) - flat()
    assert size_of(back[:, 32:-32]) < 0.05 * SIGMA


def test_noise_that_is_stronger_where_it_is_bright_stays_away() -> None:
    """The threshold follows the brightness of the result."""
    result = flat()
    result[:, 48:] = 0.8
    scale = np.where(np.arange(96) < 48, np.float32(0.2), np.float32(1))[None, :, None]
    back = with_detail(result + scale * noise(), result, 1) - result
    assert size_of(back) < 0.05 * SIGMA


def test_the_amount_is_a_share_and_none_is_the_result() -> None:
    rgb = flat() + noise()
    rgb[40:50, 40:50] += np.float32(0.3)
    back = {amount: with_detail(rgb, flat(), amount) - flat() for amount in (0, 0.5, 1)}
    assert not back[0].any()
    np.testing.assert_allclose(2 * back[0.5], back[1], atol=1e-6)
    assert size_of(back[1]) > SIGMA


def test_lost_brightness_brings_no_colour_and_lost_colour_no_brightness() -> None:
    spot = np.zeros((64, 64, 3), np.float32)
    spot[30:34, 30:34] = 0.2
    back = with_detail(flat(64, 64) + spot, flat(64, 64), 1) - flat(64, 64)
    assert back[31, 31, 0] > 0.1
    assert np.ptp(back, axis=2).max() < 1e-6
    spot *= np.array([1, 0, -1], np.float32)
    spot -= luma_of(spot)[..., None]
    back = with_detail(flat(64, 64) + spot, flat(64, 64), 1) - flat(64, 64)
    assert np.abs(back).max() > 0.1
    assert np.abs(luma_of(back)).max() < 1e-6


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = flat(300, 20) + noise(300, 20)
    rgb[100:200, 5:9] += np.float32(0.2)
    whole = with_detail(rgb, flat(300, 20), 1)
    monkeypatch.setattr(detail, "_STRIP", 1)
    assert np.array_equal(with_detail(rgb, flat(300, 20), 1), whole)


def test_the_noise_of_a_large_picture_is_measured_on_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = flat(300, 40) + noise(300, 40)
    monkeypatch.setattr(detail, "_SAMPLE", 2 * 64 * 40)
    assert size_of(with_detail(rgb, flat(300, 40), 1) - flat(300, 40)) < 0.05 * SIGMA


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 200)])
def test_any_size_works_and_stays_in_range(size: tuple[int, int]) -> None:
    rgb, result = (np.random.default_rng(seed).random((*size, 3), np.float32) for seed in (0, 1))
    made = with_detail(rgb, result, 1)
    assert made.shape == rgb.shape
    assert made.dtype == np.float32
    assert 0 <= made.min() <= made.max() <= 1


def test_a_result_that_lost_nothing_is_not_changed() -> None:
    rgb = flat() + noise()
    assert np.array_equal(with_detail(rgb, rgb, 1), rgb)
