"""Blur of a camera on its path: frames in linear light, what passes before it, and what a seed fixes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from damaged_photos import damage, fingerprint, needs_set14, scene

from dfrestore.degrade.blur import GAMMA, add_blur, apply, degrade_batch, sample_many
from dfrestore.degrade.camera_path import CameraParams, CameraPath, CameraRange, Passing, exposure
from dfrestore.degrade.trajectories import Motion

PRESETS = ("path", "bench")
STILL = CameraPath(Motion(extent=0.0))
LINE = CameraPath(Motion("linear", extent=12.0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.from_numpy(scene(height, width)).permute(2, 0, 1)


@needs_set14
@pytest.mark.parametrize(("preset", "on_rgb"), [("path", 20.49), ("bench", 21.28)])
def test_how_much_the_presets_damage_is_known(preset: str, on_rgb: float) -> None:
    found, on_luma = damage("blur", preset)
    assert found == pytest.approx(on_rgb, abs=0.05)
    if preset == "bench":
        assert 21 < found < on_luma < 23


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [("path", [0.4931, 0.2283, 0.5507, 0.3563]), ("bench", [0.4941, 0.2265, 0.5505, 0.3817])],
)
def test_a_seed_gives_the_blur_it_always_gave(preset: str, wanted: list[float]) -> None:
    assert fingerprint("blur", preset) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_blur(preset: str) -> None:
    batch = picture(40, 48)[None].repeat(3, 1, 1, 1)
    one, same, other = (degrade_batch(batch, preset, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_picture_is_blurred_alone_as_in_a_batch() -> None:
    blurs = [replace(blur, noise=0.0) for blur in sample_many(4, seeded(3), "path")]
    light = torch.rand(4, 3, 40, 56, generator=seeded())
    together = exposure(light, blurs)  # type: ignore[arg-type]
    for i, blur in enumerate(blurs):
        assert torch.equal(exposure(light[i : i + 1], [blur]), together[i : i + 1])  # type: ignore[list-item]


def test_dtype_and_range_are_kept() -> None:
    blurred = degrade_batch(picture()[None].bfloat16(), "path", seeded())
    assert blurred.dtype == torch.bfloat16
    assert 0 <= float(blurred.min()) <= float(blurred.max()) <= 1


def test_a_camera_at_rest_blurs_nothing() -> None:
    assert torch.allclose(add_blur(picture(), CameraParams(STILL)), picture(), atol=2e-3)


def test_an_even_picture_stays_even() -> None:
    even = torch.full((3, 50, 60), 0.4)
    passing = Passing(LINE, (0.5, 0.5), (0.3, 0.3), 0.2, 0.1)
    blurred = add_blur(even, CameraParams(CameraPath(Motion(extent=20.0), turn=8.0, zoom=8.0), passing))
    assert torch.allclose(blurred, even, atol=1e-3)


def test_light_is_averaged_and_not_pixel_values() -> None:
    stripes = torch.zeros(3, 64, 64)
    stripes[:, :, ::2] = 0.8
    middle = add_blur(stripes, CameraParams(LINE))[:, 20:44, 20:44]
    assert float(middle.mean()) == pytest.approx((0.8**GAMMA / 2) ** (1 / GAMMA), abs=0.02)


def test_a_turn_blurs_the_corners_more_than_the_middle() -> None:
    noise = torch.rand(3, 97, 97, generator=seeded())
    change = (add_blur(noise, CameraParams(replace(STILL, turn=12.0))) - noise).abs().mean(0)
    assert float(change[46:51, 46:51].mean()) < 0.5 * float(change[:9, :9].mean())


def test_only_what_passes_is_blurred_before_a_camera_at_rest() -> None:
    noise = torch.rand(3, 96, 96, generator=seeded())
    passing = Passing(LINE, (0.3, 0.5), (0.15, 0.25), 0.0, 0.05)
    change = (add_blur(noise, CameraParams(STILL, passing)) - noise).abs()
    assert float(change[:, :, 70:].mean()) < 2e-3
    assert float(change[:, 40:56, 22:36].mean()) > 0.05


def test_a_larger_photo_gets_a_longer_path() -> None:
    blur = CameraParams(replace(LINE, turn=2.0), Passing(LINE, (0.5, 0.5), (0.3, 0.3), 0.0, 0.1)).scaled(3)
    assert (blur.path.motion.extent, blur.path.turn) == (36.0, 6.0)
    assert blur.passing is not None
    assert blur.passing.path.motion.extent == 36.0


def test_any_size_is_blurred() -> None:
    for size in ((1, 1), (2, 5), (9, 40)):
        assert degrade_batch(torch.full((2, 3, *size), 0.4), "path", seeded()).shape == (2, 3, *size)


def test_large_photos_are_added_up_a_few_frames_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = apply(scene(), "path", 2)
    monkeypatch.setattr("dfrestore.degrade.camera_path.AT_ONCE", 1)
    assert np.allclose(apply(scene(), "path", 2), whole, atol=1e-5)


def test_paths_cover_what_their_range_says() -> None:
    blurs = sample_many(300, seeded(), "path")
    extents = [blur.path.motion.extent for blur in blurs if isinstance(blur, CameraParams)]
    assert len(extents) == 300
    assert min(extents) < 1
    assert 29 < max(extents) <= CameraRange(extent=(0.0, 30.0)).extent[1]
