"""The broad colours of the input in the result, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import pixels

from dfrestore.restore import Restorer
from dfrestore.restore.colour import SIGMA, with_colour_of
from dfrestore.restore.images import LUMA
from dfrestore.restore.work import on_top


@pytest.fixture
def rgb() -> np.ndarray:
    """Half dark, half bright with a hard edge, and noise; away from 0 and 1."""
    noise = np.random.default_rng(0).normal(0, 0.02, (96, 160, 3))
    return (np.where(np.arange(160)[None, :, None] < 80, 0.25, 0.7) + noise).astype(np.float32)


def without_luma(*shift: float) -> np.ndarray:
    """The colour of a shift alone, float32 (3,)."""
    return (np.array(shift) - np.array(shift) @ LUMA).astype(np.float32)


def test_a_result_of_the_same_colours_is_not_changed(rgb: np.ndarray) -> None:
    np.testing.assert_allclose(with_colour_of(rgb, rgb), rgb, atol=1e-6)


def test_a_shift_of_colour_is_taken_back(rgb: np.ndarray) -> None:
    np.testing.assert_allclose(with_colour_of(rgb, rgb + without_luma(0.05, -0.03, 0.1)), rgb, atol=1e-5)


def test_brightness_is_the_results(rgb: np.ndarray) -> None:
    np.testing.assert_allclose(with_colour_of(rgb, rgb - np.float32(0.1)), rgb - np.float32(0.1), atol=1e-6)


def test_a_shift_is_taken_back_up_to_the_borders(rgb: np.ndarray) -> None:
    ramp = np.linspace(0, 1, 96, dtype=np.float32)[:, None, None] * without_luma(0.1, 0, -0.1)
    left = np.abs(with_colour_of(rgb, rgb + ramp) - rgb)
    assert left.max() < 0.01
    assert left.mean() < 0.002


def test_details_are_the_results(rgb: np.ndarray) -> None:
    """Removing noise is not taken back: it is no low frequency."""
    clean = np.broadcast_to(np.where(np.arange(160)[None, :, None] < 80, 0.25, 0.7), rgb.shape).astype(np.float32)
    kept = with_colour_of(rgb, clean)
    assert (kept - clean).std() < 0.1 * (rgb - clean).std()


def test_a_hard_edge_throws_no_halo_worth_noticing(rgb: np.ndarray) -> None:
    """4 % of blue are another shift on each side of the edge: nowhere is it made worse by 2 levels of 8 bit."""
    tinted = rgb + without_luma(0, 0, -0.04) * rgb
    before, after = np.abs(tinted - rgb), np.abs(with_colour_of(rgb, tinted) - rgb)
    assert (after - before).max() < 2 / 255
    assert after.mean() < before.mean() / 4


def test_the_smoothing_is_a_gaussian_of_the_stated_width() -> None:
    rgb = np.full((320, 320, 3), 0.5, np.float32)
    result = rgb.copy()
    result[160, 160] -= without_luma(0.4, 0, 0)
    shift = (with_colour_of(rgb, result) - result)[:, :, 0].astype(np.float64)
    sigma = SIGMA * 320
    away = np.arange(320) - 160
    expected = np.exp(-(away**2) / (2 * sigma**2))
    row = shift[160] / shift[160, 160]
    assert np.abs(row - expected).max() < 0.04


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 500)])
def test_any_size_works(size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).random((*size, 3)).astype(np.float32)
    kept = with_colour_of(rgb, np.clip(rgb + np.float32(0.1), 0, 1))
    assert kept.shape == rgb.shape
    assert kept.dtype == np.float32
    assert 0 <= kept.min() <= kept.max() <= 1


def test_the_restorer_keeps_colours_when_asked_to(random_model: Path) -> None:
    restorer = Restorer.from_pretrained("derain", random_model, precision="fp32")
    rgb = pixels(96, 96).astype(np.float32) / 255
    plain, kept = restorer(rgb, steps=1), restorer(rgb, steps=1, keep_color=True)
    np.testing.assert_allclose(kept, with_colour_of(rgb, plain), atol=1e-6)
    assert not np.array_equal(kept, plain)


def test_of_a_hole_no_colours_are_kept_and_the_shift_is_that_of_what_is_around(rgb: np.ndarray) -> None:
    shift = without_luma(0.05, -0.03, 0.1)
    known = np.ones(rgb.shape[:2], np.float32)
    known[30:50, 60:90] = 0
    painted = np.where(known[..., None] > 0, rgb, np.float32([1, 0, 1]))
    np.testing.assert_allclose(with_colour_of(painted, rgb + shift, known), rgb, atol=1e-5)


def test_what_was_painted_over_does_not_come_back_with_the_colours(rgb: np.ndarray) -> None:
    mask = np.zeros(rgb.shape[:2], np.float32)
    mask[30:50, 60:90] = 1
    painted = np.where(mask[..., None] > 0, np.float32([1, 0, 1]), rgb)
    filled = on_top(painted, rgb, strength=1, mask=mask, keep_color=True, fills=True)
    np.testing.assert_allclose(filled, rgb, atol=1e-5)


def test_a_restorer_that_fills_holes_keeps_the_colours_of_what_is_known_alone(filling: Path) -> None:
    restorer = Restorer.from_pretrained("inpaint", filling, precision="fp32")
    rgb = pixels(96, 96).astype(np.float32) / 255
    mask = np.zeros(rgb.shape[:2], np.float32)
    mask[30:50, 60:90] = 1
    painted = np.where(mask[..., None] > 0, np.float32([1, 0, 1]), rgb)
    kept = [restorer(each, keep_color=True, mask=mask) for each in (rgb, painted)]
    np.testing.assert_allclose(kept[0], kept[1], atol=1e-6)
