"""Noise of whole cameras: zero on average where a sensor's alone is not, coarse or fine, as strong as asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dfrestore.degrade.camera import Camera, camera_noise
from dfrestore.degrade.jpeg import to_ycc
from dfrestore.degrade.noise import FINISHED, PRESETS, CameraRange, degrade_batch, sample_many
from dfrestore.degrade.sensor import Sensor, sensor_noise

# enough noise that a tone curve moves its mean, with two cameras' ways of treating it
PLAIN = Sensor(shot=0.006, read=1e-4, shoulder=1.5, contrast=0.3)
COLOURED = replace(PLAIN, colour=(1.5, -0.4, -0.1, -0.2, 1.5, -0.3, 0.0, -0.5, 1.5))
SMOOTHED = replace(PLAIN, luma_blur=0.7, chroma_blur=2.0, luma_grain=0.1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey(level: float, *, side: int = 64, count: int = 1) -> torch.Tensor:
    return torch.full((count, 3, side, side), level)


def neighbours(plane: torch.Tensor, distance: int) -> float:
    """Correlation of a noise map (..., H, W) with itself, moved along the rows."""
    return float((plane[..., distance:] * plane[..., :-distance]).mean() / plane.square().mean())


@pytest.mark.parametrize("level", [0.02, 0.06, 0.15, 0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("camera", [Camera(PLAIN), Camera(SMOOTHED), Camera(COLOURED, mosaic=False)])
def test_noise_is_zero_on_average(camera: Camera, level: float) -> None:
    noise = camera_noise(grey(level, count=64), [camera] * 64, seeded()) * 255
    assert float(noise.mean((0, 2, 3)).abs().max()) < 0.45


def test_where_the_truth_is_the_light_the_tone_curve_moves_the_mean() -> None:
    noise = camera_noise(grey(0.5, count=16), [Camera(PLAIN, mosaic=False, settled=False)] * 16, seeded()) * 255
    assert float(noise.mean()) < -1.0


@pytest.mark.parametrize("level", [0.06, 0.5])
def test_the_sensor_alone_moves_the_mean(level: float) -> None:
    # what the test above would find without the correction
    noise = sensor_noise(grey(level, count=64), [PLAIN] * 64, seeded()) * 255
    assert float(noise.mean((0, 2, 3)).abs().max()) > 1.0


def test_the_mean_follows_edges() -> None:
    clean = grey(0.15, count=128)
    clean[..., 32:] = 0.7
    noise = camera_noise(clean, [Camera(PLAIN)] * 128, seeded()) * 255
    assert float(noise.mean((0, 2)).abs().max()) < 1.6  # columns, each of 8192 values
    assert float(noise.mean((0, 2, 3)).abs().max()) < 0.45


def test_black_and_white_stay_what_they_are() -> None:
    clean = grey(0.0, count=2)
    clean[1] = 1.0
    assert float(camera_noise(clean, [Camera(SMOOTHED)] * 2, seeded()).abs().max()) < 1e-3


def test_little_is_cut_off_in_the_dark() -> None:
    clean = grey(0.04, count=64)
    noise = camera_noise(clean, [Camera(SMOOTHED)] * 64, seeded())
    assert float(((clean + noise).clamp(0, 1) - clean).mean().abs()) * 255 < 0.2


def test_a_reduced_photo_has_noise_without_correlation() -> None:
    noise = camera_noise(grey(0.3, side=256), [Camera(PLAIN, mosaic=False)], seeded())
    assert abs(neighbours(noise, 1)) < 0.02
    mosaic = camera_noise(grey(0.3, side=256), [Camera(PLAIN)], seeded())
    assert neighbours(mosaic, 1) > 0.2


def test_blotches_are_coarse_coloured_and_as_strong_as_asked() -> None:
    quiet = replace(PLAIN, luma_blur=4.0, chroma_blur=8.0)
    camera = Camera(quiet, blotches=0.5, blotch_size=6.0)
    clean = grey(0.4, side=128, count=16)
    with_them, without = (
        to_ycc(camera_noise(clean, [one] * 16, seeded()))[:, 1] for one in (camera, replace(camera, blotches=0.0))
    )
    sensor = camera_noise(clean, [Camera(PLAIN, mosaic=False)] * 16, seeded()).std()
    spots = with_them - without  # the sensor draws first, so its noise is the same
    assert float(spots.std()) == pytest.approx(0.5 * float(sensor), rel=0.35)
    assert neighbours(spots, 6) > 0.6


def test_sharpening_parts_neighbours() -> None:
    smooth, sharp = (
        camera_noise(grey(0.4, side=128), [Camera(SMOOTHED, sharpening=amount)], seeded()) for amount in (0.0, 1.0)
    )
    assert float(sharp.std()) > 1.1 * float(smooth.std())
    assert neighbours(sharp, 2) < neighbours(smooth, 2)


def test_cameras_leave_more_noise_on_edges() -> None:
    clean = grey(0.4, side=128)
    clean[..., 64:] = 0.6
    noise = camera_noise(clean, [Camera(SMOOTHED, edges=1.0)], seeded())
    plain = camera_noise(clean, [Camera(SMOOTHED)], seeded())
    assert torch.allclose(noise[..., :50], plain[..., :50], atol=1e-6)  # flat
    ratio = float(noise[..., 63:65].std() / plain[..., 63:65].std())
    assert 1.5 < ratio < 2


@pytest.mark.parametrize("fields", [{"blotches": -1.0}, {"edges": -1.0}, {"sharpening": -0.1}, {"blotch_size": 0.0}])
def test_impossible_cameras_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no camera"):
        Camera(PLAIN, **fields)  # type: ignore[arg-type]


def test_a_picture_does_not_depend_on_how_it_is_batched_with_others() -> None:
    # but for the draws, which come in order: the first of a batch is the first alone
    clean = torch.rand(1, 3, 40, 56, generator=seeded(3))
    alone = camera_noise(clean, [Camera(SMOOTHED)], seeded())
    both = camera_noise(clean.expand(2, -1, -1, -1), [Camera(SMOOTHED), Camera(COLOURED, mosaic=False)], seeded())
    assert torch.allclose(both[:1], alone, atol=1e-6)


# -- presets


@pytest.mark.parametrize("preset", ["camera", "blind"])
def test_presets_are_ranges_whose_shares_sum_to_one(preset: str) -> None:
    assert sum(share for share, _ in PRESETS[preset]) == pytest.approx(1)


def test_camera_covers_weak_and_heavy_noise() -> None:
    squares = torch.rand(1, 3, 8, 8, generator=seeded()) / 4 + 0.3
    clean = squares.repeat_interleave(8, 2).repeat_interleave(8, 3)
    clean = clean.expand(200, -1, -1, -1)
    errors = (degrade_batch(clean, "camera", seeded()) - clean).square().mean((1, 2, 3))
    decibels = -10 * errors.log10()
    assert float(decibels.quantile(0.05)) < 24
    assert float(decibels.quantile(0.95)) > 38


def test_camera_covers_fine_and_coarse_colour() -> None:
    # CC15 and PolyU: neighbours at four pixels 0.17 to 0.86 in colour, below 0.3 in luma
    clean = grey(0.38, side=128, count=100)
    cameras = [noise.camera for noise in sample_many(400, seeded(), "camera")]
    finished = [c for c in cameras if c is not None and c.mosaic and c.sensor.luma_blur > 0][:100]
    ycc = to_ycc(camera_noise(clean, finished, seeded()))
    colour = [neighbours(x[1] - x[1].mean(), 4) for x in ycc]
    assert torch.tensor(colour).quantile(0.1) < 0.17
    assert torch.tensor(colour).quantile(0.95) > 0.7


def test_blind_is_four_tenths_gaussian() -> None:
    noises = sample_many(1000, seeded(), "blind")
    assert 0.35 < sum(noise.camera is None for noise in noises) / 1000 < 0.45
    for noise in noises:
        assert (noise.sigma > 0) == (noise.camera is None)


def test_ranges_hold() -> None:
    bounds = CameraRange(FINISHED.sensor)
    shares = {True: 0, False: 0}
    for noise in sample_many(300, seeded(), "camera"):
        camera = noise.camera
        assert camera is not None
        assert camera.blotches == 0 or bounds.blotches[0] <= camera.blotches <= bounds.blotches[1]
        assert bounds.blotch_size[0] <= camera.blotch_size <= bounds.blotch_size[1]
        assert camera.edges == 0 or bounds.edges[0] <= camera.edges <= bounds.edges[1]
        assert camera.settled == camera.mosaic
        shares[camera.mosaic] += 1
    assert shares[False] == pytest.approx(60, abs=25)
