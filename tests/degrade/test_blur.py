"""Synthetic motion blur: kernels, light, moving things, and what a seed fixes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dfrestore.degrade.blur import (
    BlurParams,
    MovingObject,
    add_blur,
    apply,
    convolve,
    degrade_batch,
    sample_many,
    sample_params,
)
from dfrestore.degrade.trajectories import Motion, motion_kernels
from dfrestore.metrics import psnr_y, to_8bit

SHARED = Path(os.environ.get("DFRESTORE_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
SET14 = SHARED / "data" / "val" / "Set14" / "target"
# mean PSNR on luma over Set14, picture i (by name) with seed 1 + i
FROZEN = {"shake": 21.64, "linear": 22.12, "object": 24.62, "motion": 23.14, "mixed": 23.14, "short": 26.34}
# mean, spread and two values of a checkerboard in the blur of seed 1
GOLDEN = {
    "shake": [0.54999, 0.21252, 0.27327, 0.28983],
    "linear": [0.58869, 0.08645, 0.48417, 0.50073],
    "object": [0.55684, 0.19810, 0.52852, 0.31985],
    "motion": [0.52407, 0.26252, 0.20323, 0.21979],
    "mixed": [0.52407, 0.26252, 0.20323, 0.21979],
    "short": [0.52407, 0.26252, 0.20323, 0.21979],  # the same faint blur, which every mix has
}
PRESETS = tuple(GOLDEN)  # those of one kernel; test_camera_path.py has the others
STILL = BlurParams(Motion(extent=0.0))
LINE = Motion("linear", extent=20.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=seeded(9))


def board() -> np.ndarray:
    squares = np.indices((64, 96)).sum(0) // 8 % 2
    return np.stack([0.2 + 0.6 * squares] * 3, axis=2).astype(np.float32)


def moments(kernel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre (x, y) relative to the middle, and covariance, of a kernel (side, side)."""
    side = kernel.shape[-1]
    axis = torch.arange(side, dtype=torch.float64) - side // 2
    places = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).view(-1, 2)
    weights = kernel.double().flatten()
    centre = weights @ places
    return centre, ((places - centre) * weights[:, None]).T @ (places - centre)


@pytest.mark.parametrize("preset", PRESETS)
def test_blur_keeps_shape_dtype_and_range(preset: str) -> None:
    blurred = degrade_batch(noise(3, 3, 40, 56), preset, seeded(1))
    assert blurred.shape == (3, 3, 40, 56)
    assert blurred.dtype == torch.float32
    assert float(blurred.min()) >= 0
    assert float(blurred.max()) <= 1


def test_blurred_half_precision_stays_half_precision() -> None:
    assert degrade_batch(noise(1, 3, 32, 32).bfloat16(), "motion", seeded()).dtype == torch.bfloat16


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_blur(preset: str) -> None:
    clean = noise(4, 3, 48, 48)
    assert torch.equal(degrade_batch(clean, preset, seeded(5)), degrade_batch(clean, preset, seeded(5)))
    assert not torch.equal(degrade_batch(clean, preset, seeded(5)), degrade_batch(clean, preset, seeded(6)))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seed_gives_the_blur_it_always_gave(preset: str) -> None:
    blurred = apply(board(), preset, seed=1)
    found = [float(blurred.mean()), float(blurred.std()), float(blurred[20, 30, 0]), float(blurred[50, 80, 1])]
    assert found == pytest.approx(GOLDEN[preset], abs=2e-4)


def test_the_sharp_picture_is_left_alone() -> None:
    clean = noise(2, 3, 32, 32)
    rgb = clean[0].permute(1, 2, 0).numpy()
    copies = clean.clone(), rgb.copy()
    degrade_batch(clean, "motion", seeded())
    apply(rgb, "object", 0)
    assert torch.equal(clean, copies[0])
    assert np.array_equal(rgb, copies[1])


def test_an_unknown_blur_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="shake, linear, object, motion, mixed, short"):
        sample_params(seeded(), "bokeh")


@pytest.mark.parametrize("fields", [{"extent": -1.0}, {"inertia": 1.5}, {"pull": -0.1}, {"acceleration": 2.0}])
def test_impossible_motion_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Motion(**fields)  # type: ignore[arg-type]


# -- kernels


def test_kernels_are_light_that_is_spread_and_not_lost() -> None:
    kernels = motion_kernels([blur.motion for blur in sample_many(200, seeded(), "motion")], seeded(1))
    assert float(kernels.min()) >= 0
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(200), atol=1e-5)


def test_kernels_move_nothing_on_average_and_fit_31_pixels() -> None:
    kernels = motion_kernels([blur.motion for blur in sample_many(200, seeded(), "shake")], seeded(1))
    assert kernels.shape[1] % 2 == 1
    assert kernels.shape[1] <= 31
    for kernel in kernels:
        assert float(moments(kernel)[0].abs().max()) < 1e-3


@pytest.mark.parametrize("kind", ["shake", "linear"])
@pytest.mark.parametrize("extent", [5.0, 12.0, 20.0])
def test_the_extent_is_the_widest_reach(kind: str, extent: float) -> None:
    for seed in range(5):
        kernel = motion_kernels([Motion(kind, extent=extent, angle=0.0, inertia=0.95)], seeded(seed))[0]  # type: ignore[arg-type]
        lit = (kernel > 1e-6).nonzero()
        reach = float((lit.amax(0) - lit.amin(0)).double().norm())
        assert extent / 1.5 < reach < 1.5 * extent + 2


def test_no_motion_is_a_point() -> None:
    kernel = motion_kernels([Motion(extent=0.0)], seeded())[0]
    assert kernel[1, 1] == pytest.approx(1)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_lines_run_in_the_direction_asked_for(angle: float) -> None:
    kernel = motion_kernels([replace(LINE, angle=angle)], seeded())[0]
    values, vectors = torch.linalg.eigh(moments(kernel)[1])
    x, y = vectors[:, 1].tolist()
    assert np.degrees(np.arctan2(y, x)) % 180 == pytest.approx(angle, abs=1) or angle == 0.0
    assert float(values[1]) == pytest.approx(20**2 / 12, rel=0.05)  # light spread evenly over 20 pixels
    assert float(values[0]) < 0.5


def test_acceleration_gathers_light_at_the_start() -> None:
    even, uneven = (motion_kernels([replace(LINE, acceleration=a)], seeded())[0].amax() for a in (0.0, 1.0))
    assert uneven > 2 * even


def test_inertia_makes_paths_smoother() -> None:
    def length(inertia: float) -> float:
        kernels = motion_kernels([Motion(extent=20.0, inertia=inertia, jolts=0.0)] * 20, seeded(1))
        return float((kernels > 1e-4).float().sum((1, 2)).mean())

    assert length(0.99) < 0.8 * length(0.3)


# -- pictures


def test_the_transform_is_a_convolution_with_mirrored_borders() -> None:
    pictures, kernels = noise(2, 3, 20, 17), torch.rand(2, 7, 7, generator=seeded())
    padded = torch.nn.functional.pad(pictures, (3, 3, 3, 3), mode="reflect")
    flipped = kernels.flip(1, 2)[:, None].repeat_interleave(3, 0)
    wanted = torch.nn.functional.conv2d(padded.view(1, 6, 26, 23), flipped, groups=6).view(2, 3, 20, 17)
    assert torch.allclose(convolve(pictures, kernels), wanted, atol=1e-5)


def test_large_photos_are_transformed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, kernels = noise(3, 3, 40, 40), torch.rand(3, 5, 5, generator=seeded())
    whole = convolve(pictures, kernels)
    for limit in (1, 3 * 45 * 45 + 1, 20_000):
        monkeypatch.setattr("dfrestore.degrade.blur.MAX_ELEMENTS", limit)
        assert torch.allclose(convolve(pictures, kernels), whole, atol=1e-6)


def test_stillness_changes_nothing() -> None:
    clean = noise(3, 32, 32)
    assert torch.allclose(add_blur(clean, STILL, seeded()), clean, atol=2e-3)


def test_an_even_picture_stays_even() -> None:
    clean = torch.full((4, 3, 50, 50), 0.4)
    params = BlurParams(Motion(extent=25.0), moving=MovingObject(Motion(extent=20.0)))
    assert torch.allclose(add_blur(clean, params, seeded()), clean, atol=1e-3)


def test_light_is_averaged_and_not_pixel_values() -> None:
    clean = torch.zeros(3, 64, 64)
    clean[:, :, ::2] = 0.8
    middle = add_blur(clean, BlurParams(LINE), seeded())[:, 20:44, 20:44]
    assert float(middle.mean()) == pytest.approx((0.8**2.2 / 2) ** (1 / 2.2), abs=0.01)


def test_saturated_lights_leave_brighter_trails() -> None:
    clean = torch.full((3, 64, 64), 0.1)
    clean[:, 30:33, 30:33] = 1.0
    plain, bright = (add_blur(clean, BlurParams(LINE, highlight=h), seeded()) for h in (0.0, 3.0))
    assert float(bright[0, 31, 35]) > 1.3 * float(plain[0, 31, 35])
    assert torch.allclose(plain[:, :10], bright[:, :10], atol=1e-3)


def test_only_what_moves_is_blurred() -> None:
    clean = noise(3, 96, 96)
    thing = MovingObject(replace(LINE, extent=12.0), centre=(0.3, 0.5), radii=(0.15, 0.25), wobble=0.0)
    blurred = add_blur(clean, replace(STILL, moving=thing), seeded())
    still, moved = (blurred - clean)[:, :, 70:].abs().mean(), (blurred - clean)[:, 40:56, 22:36].abs().mean()
    assert float(still) < 2e-3
    assert float(moved) > 0.05


def test_scaled_blur_reaches_further_in_large_photos() -> None:
    params = BlurParams(LINE, moving=MovingObject(LINE)).scaled(3)
    assert params.motion.extent == 60.0
    assert params.moving is not None
    assert params.moving.motion.extent == 60.0
    assert motion_kernels([params.motion], seeded()).shape[1] == 61


def test_blur_fits_any_size() -> None:
    for preset in PRESETS:
        for size in ((1, 1), (2, 5), (9, 40)):
            assert degrade_batch(torch.full((2, 3, *size), 0.4), preset, seeded()).shape == (2, 3, *size)


def test_motion_is_everything_from_barely_to_31_pixels() -> None:
    blurs = sample_many(400, seeded(), "motion")
    extents = [(blur.moving.motion if blur.moving else blur.motion).extent for blur in blurs]
    assert min(extents) < 1
    assert 29 < max(extents) <= 30
    assert {blur.motion.kind for blur in blurs} == {"shake", "linear"}
    assert 0.15 < np.mean([blur.moving is not None for blur in blurs]) < 0.3
    assert blurs == sample_many(400, seeded(), "mixed")


def test_wrong_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="float"):
        apply(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="shape"):
        degrade_batch(torch.zeros(1, 1, 8, 8), "shake", seeded())


@pytest.mark.skipif(not SET14.is_dir(), reason="Set14 is not here (DFRESTORE_SHARED names the folder with data/)")
@pytest.mark.parametrize("preset", ["shake", "linear", "object", "motion"])
def test_blurs_are_as_heavy_as_they_were(preset: str) -> None:
    scores = []
    for i, path in enumerate(sorted(SET14.glob("*"))):
        photo = np.asarray(Image.open(path).convert("RGB"))
        blurred = to_8bit(apply(photo / np.float32(255), preset, seed=1 + i))
        scores.append(psnr_y(blurred.astype(np.float64), photo.astype(np.float64)))
    assert float(np.mean(scores)) == pytest.approx(FROZEN[preset], abs=0.05)
