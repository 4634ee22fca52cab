"""PSNR, SSIM and luma against definitions, scikit-image, and published scores of the usual test sets."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dfrestore.metrics import luma, psnr, psnr_hole, psnr_rgb, psnr_y, ssim, ssim_rgb, ssim_y, to_8bit

VAL = Path(os.environ.get("DFRESTORE_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "val"
needs_val = pytest.mark.skipif(
    not (VAL / "Rain100L_part").is_dir(), reason="test sets absent; DFRESTORE_TEST_DATA names their folder"
)


def noisy_pair(height: int, width: int, seed: int, sigma: float = 20) -> tuple[np.ndarray, np.ndarray]:
    """A smooth uint8 picture (H, W, 3) and the same with Gaussian noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / 17
    clean = 127 + 60 * np.sin(rows)[..., None] * np.cos(columns)[..., None] + rng.normal(0, 3, (height, width, 3))
    noisy = clean + rng.normal(0, sigma, clean.shape)
    return tuple(np.clip(np.rint(x), 0, 255).astype(np.uint8) for x in (clean, noisy))


def scikit_ssim(a: np.ndarray, b: np.ndarray) -> float:
    return structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((0, 0, 0), 16.0), ((255, 255, 255), 235.0), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)],
)
def test_luma_of_pure_colours_is_that_of_bt601(rgb: tuple[int, int, int], expected: float) -> None:
    assert luma(np.array([[rgb]], dtype=np.uint8))[0, 0] == pytest.approx(expected, abs=1e-12)


def test_luma_is_not_rounded_unless_asked() -> None:
    red = np.array([[[255, 0, 0]]], dtype=np.uint8)
    assert luma(red)[0, 0] != round(luma(red)[0, 0])
    assert luma(red, rounded=True)[0, 0] == 81


def test_luma_refuses_anything_but_three_channels() -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\), not \(4, 4\)"):
        luma(np.zeros((4, 4), dtype=np.uint8))


def test_to_8bit_clips_and_rounds() -> None:
    assert to_8bit(np.array([-0.2, 0.0, 0.4999 / 255, 0.51 / 255, 1.0, 7.0])).tolist() == [0, 0, 0, 1, 255, 255]


@given(st.integers(0, 255), st.integers(0, 255))
def test_every_8bit_value_survives_the_way_through_floats(first: int, second: int) -> None:
    values = np.array([first, second], dtype=np.uint8)
    assert to_8bit(values.astype(np.float32) / 255).tolist() == [first, second]


def test_psnr_of_a_difference_of_one_is_that_of_the_formula() -> None:
    a = np.full((8, 8, 3), 100, dtype=np.uint8)
    assert psnr(a, a + 1) == pytest.approx(20 * math.log10(255))
    assert psnr(a / 255, (a + 1) / 255, peak=1) == pytest.approx(20 * math.log10(255))


def test_psnr_does_not_wrap_around_in_uint8() -> None:
    a, b = np.zeros((8, 8), dtype=np.uint8), np.full((8, 8), 255, dtype=np.uint8)
    assert psnr(a, b) == psnr(b, a) == 0


def test_identical_pictures_have_infinite_psnr_and_ssim_of_exactly_one() -> None:
    picture, _ = noisy_pair(40, 50, seed=1)
    assert psnr_y(picture, picture) == psnr_rgb(picture, picture) == math.inf
    assert ssim_y(picture, picture) == ssim_rgb(picture, picture) == 1.0


@pytest.mark.parametrize("metric", [psnr_y, psnr_rgb, ssim_y, ssim_rgb])
def test_pictures_of_different_sizes_are_refused_with_both_sizes_named(metric) -> None:
    with pytest.raises(ValueError, match=r"\(20, 30, 3\) and \(30, 20, 3\)"):
        metric(np.zeros((20, 30, 3), np.uint8), np.zeros((30, 20, 3), np.uint8))


def test_ssim_of_less_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(np.zeros((10, 40)), np.zeros((10, 40)))


def test_ssim_of_exactly_one_window_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.uniform(0, 255, (2, 11, 11))
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
    covariance = (window * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-12)


def test_border_is_cropped_before_anything_is_measured() -> None:
    a, b = noisy_pair(60, 70, seed=4)
    inner = (slice(4, -4), slice(4, -4))
    for metric in (psnr_y, psnr_rgb, ssim_y, ssim_rgb):
        assert metric(a, b, border=4) == metric(a[inner], b[inner])
    with pytest.raises(ValueError, match="leaves nothing"):
        psnr_rgb(a, b, border=30)


@settings(max_examples=25, deadline=None)
@given(st.integers(11, 300), st.integers(11, 60), st.integers(0, 1000), st.floats(0.5, 80))
def test_scores_agree_with_scikit_image(height: int, width: int, seed: int, sigma: float) -> None:
    a, b = noisy_pair(height, width, seed, sigma)
    assert psnr_rgb(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)
    assert psnr_y(a, b) == pytest.approx(peak_signal_noise_ratio(luma(a), luma(b), data_range=255), abs=1e-9)
    assert ssim_y(a, b) == pytest.approx(scikit_ssim(luma(a), luma(b)), abs=1e-7)
    channels = [scikit_ssim(a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)]
    assert ssim_rgb(a, b) == pytest.approx(np.mean(channels), abs=1e-7)


@needs_val
@pytest.mark.parametrize(
    ("data", "metric", "published"),
    [
        ("CC15", psnr_rgb, 33.41),
        ("Rain100L_part", psnr_y, 29.56),
        ("Rain100H_part", psnr_y, 13.95),
        ("Rain100L_part", lambda a, b: psnr_y(a, b, rounded=True), 29.55),
        ("Rain100H_part", lambda a, b: psnr_y(a, b, rounded=True), 13.95),
    ],
)
def test_input_scores_are_those_published_for_the_set(data: str, metric, published: float) -> None:
    inputs = sorted((VAL / data / "input").iterdir())
    targets = sorted((VAL / data / "target").iterdir())
    assert [p.stem for p in inputs] == [p.stem for p in targets]
    values = [
        metric(*(np.asarray(Image.open(p).convert("RGB")) for p in pair)) for pair in zip(inputs, targets, strict=True)
    ]
    assert np.mean(values) == pytest.approx(published, abs=0.02)


def test_psnr_of_a_hole_is_that_of_its_pixels_alone() -> None:
    a, b = noisy_pair(24, 20, 3)
    hole = np.zeros((24, 20), np.float32)
    hole[5:15, 4:9] = 1
    expected = peak_signal_noise_ratio(b[5:15, 4:9], a[5:15, 4:9], data_range=255)
    assert psnr_hole(a, b, hole) == pytest.approx(expected)
    outside = np.where(hole[..., None] > 0, a, 255 - b)
    assert psnr_hole(a, outside, hole) == math.inf


def test_psnr_of_a_hole_leaves_the_border_out() -> None:
    a, b = noisy_pair(24, 20, 4)
    hole = np.zeros((24, 20), np.float32)
    hole[:6, :] = 1
    expected = peak_signal_noise_ratio(b[4:6, 4:-4], a[4:6, 4:-4], data_range=255)
    assert psnr_hole(a, b, hole, border=4) == pytest.approx(expected)


def test_psnr_of_a_hole_refuses_an_empty_hole_and_one_of_another_size() -> None:
    a, b = noisy_pair(24, 20, 5)
    with pytest.raises(ValueError, match="no pixel of the hole"):
        psnr_hole(a, b, np.zeros((24, 20)))
    with pytest.raises(ValueError, match=r"a hole of shape \(20, 24\)"):
        psnr_hole(a, b, np.ones((20, 24)))
