"""Synthetic noise: what a picture keeps, what a seed fixes, and how cameras' noise differs from white noise."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dfrestore.degrade.noise import PRESETS, NoiseParams, SensorRange, add_noise, apply, degrade_batch, sample_many
from dfrestore.degrade.sensor import Sensor, sensor_noise, to_display, to_linear
from dfrestore.metrics import psnr_y, to_8bit

SHARED = Path(os.environ.get("DFRESTORE_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
SET14 = SHARED / "data" / "val" / "Set14" / "target"
# mean PSNR on luma over Set14, picture i (by name) with seed 1 + i
FROZEN = {"gaussian15": 29.64, "gaussian25": 25.33, "gaussian50": 19.74, "sensor": 36.70, "mixed": 31.82}
FROZEN |= {"camera": 31.59, "blind": 31.52, "gaussian": 25.82}
# mean, spread and two values of a ramp of greys in the noise of seed 1
GOLDEN = {
    "gaussian15": [0.39956, 0.13064, 0.35294, 0.72941],
    "gaussian25": [0.39933, 0.15224, 0.36863, 0.85882],
    "gaussian50": [0.40194, 0.21988, 0.41176, 1.0],
    "gaussian": [0.39962, 0.12628, 0.34711, 0.69676],
    "sensor": [0.39969, 0.11692, 0.33856, 0.53315],
    "mixed": [0.39962, 0.12628, 0.34711, 0.69676],
    "camera": [0.40002, 0.11744, 0.33725, 0.53333],
    "blind": [0.39962, 0.12628, 0.34711, 0.69676],
}
CAMERA = Sensor(shot=0.004, read=2e-5, shoulder=1.0, contrast=0.6)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey(level: float, *, side: int = 128, count: int = 1) -> torch.Tensor:
    return torch.full((count, 3, side, side), level)


def correlation(noise: torch.Tensor, rows: int, columns: int) -> float:
    """Of a noise map (..., H, W) with itself, moved."""
    height, width = noise.shape[-2:]
    moved = noise[..., rows:, columns:] * noise[..., : height - rows, : width - columns]
    return float(moved.mean() / noise.square().mean())


def between_colours(noise: torch.Tensor) -> float:
    red, green, _ = noise[0]
    return float((red * green).mean() / (red.square().mean() * green.square().mean()).sqrt())


@pytest.mark.parametrize("preset", PRESETS)
def test_noise_keeps_shape_dtype_and_range(preset: str) -> None:
    clean = torch.rand(3, 3, 40, 56, generator=seeded())
    noisy = degrade_batch(clean, preset, seeded(1))
    assert noisy.shape == clean.shape
    assert noisy.dtype == clean.dtype
    assert float(noisy.min()) >= 0
    assert float(noisy.max()) <= 1


def test_half_precision_stays_half_precision() -> None:
    assert degrade_batch(grey(0.4, side=16).bfloat16(), "mixed", seeded()).dtype == torch.bfloat16


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_noise(preset: str) -> None:
    clean = grey(0.4, side=32, count=4)
    assert torch.equal(degrade_batch(clean, preset, seeded(5)), degrade_batch(clean, preset, seeded(5)))
    assert not torch.equal(degrade_batch(clean, preset, seeded(5)), degrade_batch(clean, preset, seeded(6)))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seed_gives_the_noise_it_always_gave(preset: str) -> None:
    ramp = np.full((64, 96, 3), 0.4, np.float32) * np.linspace(0.5, 1.5, 96, dtype=np.float32)[None, :, None]
    noisy = apply(ramp, preset, seed=1)
    found = [float(noisy.mean()), float(noisy.std()), float(noisy[20, 30, 0]), float(noisy[50, 80, 1])]
    assert found == pytest.approx(GOLDEN[preset], abs=2e-4)


def test_the_clean_batch_and_photo_are_left_alone() -> None:
    clean = torch.rand(4, 3, 32, 32, generator=seeded())
    rgb = clean[0].permute(1, 2, 0).numpy()
    copies = clean.clone(), rgb.copy()
    degrade_batch(clean, "mixed", seeded())
    apply(rgb, "sensor", 0)
    assert torch.equal(clean, copies[0])
    assert np.array_equal(rgb, copies[1])


def test_an_unknown_noise_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="gaussian15, gaussian25, gaussian50, gaussian, sensor, mixed, camera, blind"):
        degrade_batch(grey(0.4, side=8), "salt", seeded())


@pytest.mark.parametrize("fields", [{"sigma": -1.0}, {"sigma": 76.0}, {"quality": 0}, {"quality": 101}])
def test_impossible_noise_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        NoiseParams(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields", [{"shot": -1.0}, {"red": 0.0}, {"contrast": 2.0}, {"pattern": 4}, {"colour": (1.0,)}]
)
def test_impossible_sensors_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(CAMERA, **fields)  # type: ignore[arg-type]


# -- white noise


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_gaussian_presets_have_their_sigma_and_8_bits(sigma: int) -> None:
    noisy = degrade_batch(grey(0.5, side=256), f"gaussian{sigma}", seeded()) * 255
    assert torch.allclose(noisy, noisy.round(), atol=1e-4)
    above = ((noisy - 127.5).abs() > sigma).float().mean()  # what clipping cannot change
    assert float(above) == pytest.approx(0.317, abs=0.01)


def test_gaussian_noise_is_white() -> None:
    noise = degrade_batch(grey(0.5, side=256), "gaussian25", seeded()) - 0.5
    assert abs(correlation(noise, 0, 1)) < 0.02
    assert abs(between_colours(noise)) < 0.02


def test_no_noise_changes_nothing() -> None:
    clean = torch.rand(3, 32, 32, generator=seeded())
    assert torch.equal(add_noise(clean, NoiseParams(), seeded()), clean)


# -- sensors


def test_a_sensor_without_noise_adds_nothing() -> None:
    clean = torch.rand(2, 3, 32, 32, generator=seeded())
    quiet = replace(
        CAMERA,
        shot=0.0,
        read=0.0,
        luma_blur=1.0,
        chroma_blur=2.0,
        colour=(1.5, -0.4, -0.1, -0.2, 1.5, -0.3, 0.0, -0.5, 1.5),
    )
    assert float(sensor_noise(clean, [quiet] * 2, seeded()).abs().max()) < 1e-4


@pytest.mark.parametrize("contrast", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shoulder", [0.0, 2.5])
def test_tone_curves_can_be_undone(shoulder: float, contrast: float) -> None:
    display = torch.linspace(0, 1, 1001).view(1, 1, 1, -1)
    curve = torch.full((1, 1, 1, 1), shoulder), torch.full((1, 1, 1, 1), contrast)
    linear = to_linear(display, *curve)
    assert bool((linear.diff() >= 0).all())
    assert torch.allclose(to_display(linear, *curve), display, atol=2e-4)


def test_light_follows_the_raw_variance_of_foi() -> None:
    # without colours, curves and smoothing, green sites show the raw noise: shot * x + read
    plain = Sensor(shot=0.003, read=1e-4, red=1.0, blue=1.0, shoulder=0.0, contrast=0.0)
    zero = torch.zeros(1, 1, 1, 1)
    for level in (0.2, 0.5, 0.8):
        clean = grey(level, side=256)
        noise = sensor_noise(clean, [plain], seeded())
        light = to_linear(clean + noise, zero, zero) - to_linear(clean, zero, zero)
        sites = light[0, 1, 0::2, 1::2]
        wanted = 0.003 * float(to_linear(clean, zero, zero)[0, 0, 0, 0]) + 1e-4
        assert float(sites.var()) == pytest.approx(wanted, rel=0.06)


def test_noise_is_strongest_in_the_darker_middle_as_in_photos() -> None:
    dark, middle, bright = (float(sensor_noise(grey(x), [CAMERA], seeded()).std()) for x in (0.06, 0.35, 0.85))
    assert dark < middle
    assert bright < 0.8 * middle


def test_smoothing_ties_neighbours_together_and_sharpening_parts_them() -> None:
    plain, smooth, sharp = (
        correlation(sensor_noise(grey(0.4), [camera], seeded()), 0, 1)
        for camera in (
            CAMERA,
            replace(CAMERA, luma_blur=1.0, chroma_blur=1.5),
            replace(CAMERA, luma_blur=1.0, chroma_blur=0.0, luma_grain=1.5, chroma_grain=1.0),
        )
    )
    assert sharp < plain < smooth
    assert plain > 0.2  # demosaicing alone does that
    assert smooth > 0.6


def test_cameras_that_take_colour_noise_away_leave_grey_noise() -> None:
    plain = sensor_noise(grey(0.4), [CAMERA], seeded())
    grained = sensor_noise(grey(0.4), [replace(CAMERA, chroma_blur=3.0, chroma_left=0.3)], seeded())
    assert between_colours(plain) < 0.4
    assert between_colours(grained) > 0.85


def test_white_balance_makes_red_noisier_than_green() -> None:
    noise = sensor_noise(grey(0.4), [replace(CAMERA, red=2.4, blue=1.2)], seeded())[0]
    assert float(noise[0].std()) > 1.1 * float(noise[1].std())


@pytest.mark.parametrize("pattern", range(4))
@pytest.mark.parametrize("malvar", [0.0, 1.0])
def test_demosaicing_keeps_an_even_error_even(pattern: int, malvar: float) -> None:
    from dfrestore.degrade.sensor import demosaic, sites_of

    camera = replace(CAMERA, pattern=pattern, malvar=malvar)
    mosaic = torch.full((1, 1, 12, 14), 0.1)
    assert torch.allclose(demosaic(mosaic, sites_of([camera], mosaic), [camera]), torch.tensor(0.1), atol=1e-6)


def test_each_picture_has_a_camera_of_its_own() -> None:
    noisy = degrade_batch(grey(0.4, side=64, count=8), "sensor", seeded())
    assert len({round(float(x.std()), 6) for x in noisy}) == 8


def test_sensors_surround_the_noise_of_real_cameras() -> None:
    # CC15 and PolyU on grey of 64 to 128: spread 1.5 to 8.3 of 255, neighbours 0.54 to 0.81, colours 0.1 to 0.98
    clean = grey(0.38, side=64)
    noises = [degrade_batch(clean, "sensor", seeded(i)) - clean for i in range(120)]
    for measured, low, high in (
        ([255 * float(x.std()) for x in noises], 1.5, 8.3),
        ([correlation(x - x.mean((2, 3), keepdim=True), 0, 1) for x in noises], 0.54, 0.81),
        ([between_colours(x - x.mean((2, 3), keepdim=True)) for x in noises], 0.1, 0.95),
    ):
        inside = np.mean([low < value < high for value in measured])
        assert np.percentile(measured, 5) < low
        assert np.percentile(measured, 96) > high
        assert inside > 0.45


def test_mixed_is_half_gaussian_and_half_sensor() -> None:
    noises = sample_many(400, seeded(), "mixed")
    white = [noise for noise in noises if noise.sensor is None]
    assert 0.42 < len(white) / 400 < 0.58
    assert min(noise.sigma for noise in white) < 3
    assert 52 < max(noise.sigma for noise in white) <= 55
    bounds = SensorRange()
    for noise in noises:
        if noise.sensor is not None:
            assert bounds.shot[0] <= noise.sensor.shot <= bounds.shot[1]
            assert sum(noise.sensor.colour[:3]) == pytest.approx(1)
    assert {noise.quality is None for noise in noises if noise.sensor} == {True, False}


# -- photos


def test_noise_fits_any_size() -> None:
    for preset in PRESETS:
        for size in ((1, 1), (2, 3), (9, 40)):
            assert degrade_batch(torch.full((2, 3, *size), 0.4), preset, seeded()).shape == (2, 3, *size)


def test_large_photos_are_worked_on_in_bands_that_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.full((160, 64, 3), 0.4, np.float32)
    for seed in range(4):
        whole = apply(rgb, "sensor", seed)
        with monkeypatch.context() as patch:
            patch.setattr("dfrestore.degrade.noise.MAX_PIXELS", 64 * 32)
            banded = apply(rgb, "sensor", seed)
        assert banded.shape == whole.shape
        assert banded.std() == pytest.approx(whole.std(), rel=0.2)
        assert np.abs(np.diff(banded.mean((1, 2)))).max() < 3 * np.abs(np.diff(whole.mean((1, 2)))).max()


def test_integer_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="float"):
        apply(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="shape"):
        degrade_batch(torch.zeros(3, 8, 8), "sensor", seeded())


@pytest.mark.skipif(not SET14.is_dir(), reason="Set14 is not here (DFRESTORE_SHARED names the folder with data/)")
@pytest.mark.parametrize("preset", PRESETS)
def test_noise_is_as_heavy_as_it_was(preset: str) -> None:
    scores = []
    for i, path in enumerate(sorted(SET14.glob("*"))):
        photo = np.asarray(Image.open(path).convert("RGB"))
        noisy = to_8bit(apply(photo / np.float32(255), preset, seed=1 + i))
        scores.append(psnr_y(noisy.astype(np.float64), photo.astype(np.float64)))
    assert float(np.mean(scores)) == pytest.approx(FROZEN[preset], abs=0.05)
