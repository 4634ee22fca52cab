"""Synthetic rain: what a picture keeps, what a seed fixes, and what the parameters mean."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dfrestore.degrade import PRESETS, RainParams, StreakLayer, add_rain, apply, degrade_batch, rain_layer
from dfrestore.metrics import psnr_y, to_8bit

SHARED = Path(os.environ.get("DFRESTORE_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
SET14 = SHARED / "data" / "val" / "Set14" / "target"
# mean PSNR on luma over Set14, picture i (by name) with seed 1 + i
FROZEN = {"drizzle": 30.39, "fine": 30.73, "rain": 23.97, "storm": 14.44, "mixed": 23.63}
# mean, spread and two values of a grey picture in the rain of seed 1
GOLDEN = {
    "drizzle": [0.40731, 0.02772, 0.40000, 0.40000],
    "fine": [0.40829, 0.03537, 0.60820, 0.40000],
    "rain": [0.42489, 0.06159, 0.40000, 0.40000],
    "storm": [0.64750, 0.19698, 0.47809, 0.58593],
    "mixed": [0.40755, 0.03583, 0.40000, 0.40000],
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey(*shape: int, level: float = 0.4) -> torch.Tensor:
    return torch.full(shape, level)


def rain_of(**fields: object) -> RainParams:
    return RainParams((replace(StreakLayer(), **fields),))  # type: ignore[arg-type]


def fall(streaks: torch.Tensor) -> float:
    """Direction of (soft, wide) streaks in degrees from the vertical, from the structure tensor."""
    down, right = torch.gradient(streaks.double())
    tensor = torch.stack([torch.stack([(a * b).mean() for a in (right, down)]) for b in (right, down)])
    x, y = torch.linalg.eigh(tensor).eigenvectors[:, 0].tolist()
    return float((np.degrees(np.arctan2(x, y)) + 90) % 180 - 90)


@pytest.mark.parametrize("preset", PRESETS)
def test_rain_keeps_shape_dtype_and_range(preset: str) -> None:
    clean = torch.rand(3, 3, 40, 56, generator=seeded())
    rainy = degrade_batch(clean, preset, seeded(1))
    assert rainy.shape == clean.shape
    assert rainy.dtype == clean.dtype
    assert float(rainy.min()) >= 0
    assert float(rainy.max()) <= 1


def test_half_precision_pictures_stay_in_half_precision() -> None:
    assert degrade_batch(grey(1, 3, 32, 32).bfloat16(), "rain", seeded()).dtype == torch.bfloat16


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_rain(preset: str) -> None:
    clean = grey(4, 3, 48, 48)
    assert torch.equal(degrade_batch(clean, preset, seeded(5)), degrade_batch(clean, preset, seeded(5)))
    assert not torch.equal(degrade_batch(clean, preset, seeded(5)), degrade_batch(clean, preset, seeded(6)))


def test_a_seed_gives_the_rain_it_always_gave() -> None:
    for preset, golden in GOLDEN.items():
        rainy = apply(np.full((64, 96, 3), 0.4, np.float32), preset, seed=1)
        found = [float(rainy.mean()), float(rainy.std()), float(rainy[20, 30, 0]), float(rainy[50, 80, 1])]
        assert found == pytest.approx(golden, abs=2e-4), preset


def test_the_clean_picture_is_left_alone() -> None:
    clean = torch.rand(2, 3, 32, 32, generator=seeded())
    rgb = clean[0].permute(1, 2, 0).numpy()
    copies = clean.clone(), rgb.copy()
    degrade_batch(clean, "storm", seeded())
    apply(rgb, "storm", 0)
    assert torch.equal(clean, copies[0])
    assert np.array_equal(rgb, copies[1])


def test_pictures_of_a_batch_get_different_rain() -> None:
    rainy = degrade_batch(grey(6, 3, 64, 64), "storm", seeded())
    assert len({round(float(x.mean()), 6) for x in rainy}) == 6


def test_no_streaks_and_no_veil_change_nothing() -> None:
    clean = torch.rand(3, 32, 32, generator=seeded())
    assert torch.equal(add_rain(clean, RainParams(()), seeded()), clean)
    for kind in ("drawn", "noise"):
        assert torch.equal(add_rain(clean, rain_of(kind=kind, opacity=0.0), seeded()), clean)


def test_additive_rain_is_the_picture_plus_the_streaks() -> None:
    params = rain_of(coverage=0.5, opacity=0.3)
    rainy = add_rain(grey(3, 50, 50, level=0.1), params, seeded(3))
    expected = (0.1 + rain_layer(50, 50, params, seeded(3))).clamp(0, 1)
    assert torch.allclose(rainy, expected.expand(3, 50, 50), atol=1e-6)


def test_a_screen_never_clips_and_paint_replaces() -> None:
    params = rain_of(coverage=0.5, opacity=1.0, opacity_spread=0.0)
    streaks = rain_layer(50, 50, params, seeded(3))
    screen = add_rain(grey(3, 50, 50, level=0.6), replace(params, blend="screen"), seeded(3))
    assert torch.allclose(screen[0], 1 - (1 - 0.6) * (1 - streaks), atol=1e-6)
    paint = add_rain(grey(3, 50, 50, level=0.6), replace(params, blend="alpha", tint=(0.5, 0.5, 0.5)), seeded(3))
    assert torch.allclose(paint[0], 0.6 + (0.5 - 0.6) * streaks, atol=1e-6)


def test_rain_on_a_grey_picture_is_grey_without_tint() -> None:
    rainy = add_rain(grey(3, 64, 64), rain_of(coverage=1.0), seeded())
    assert torch.equal(rainy[0], rainy[1])
    assert torch.equal(rainy[0], rainy[2])


def test_a_veil_pulls_towards_the_airlight() -> None:
    params = RainParams((), veil=0.5, airlight=(0.9, 0.8, 0.7), veil_variation=0.0)
    rainy = add_rain(grey(3, 32, 32, level=0.1), params, seeded())
    assert rainy.mean(dim=(1, 2)).tolist() == pytest.approx([0.5, 0.45, 0.4], abs=1e-5)


@pytest.mark.parametrize("kind", ["drawn", "noise"])
@pytest.mark.parametrize("angle", [-60.0, -20.0, 0.0, 35.0, 80.0])
def test_streaks_fall_in_the_direction_asked_for(kind: str, angle: float) -> None:
    params = rain_of(kind=kind, angle=angle, angle_spread=0.5, length=60.0, width=5.0, softness=1.0, coverage=0.3)
    assert fall(rain_layer(160, 160, params, seeded(2))) == pytest.approx(angle, abs=2)


@pytest.mark.parametrize("kind", ["drawn", "noise"])
@pytest.mark.parametrize("size", [(24, 300), (300, 24), (150, 150)])
def test_streaks_cover_borders_and_middle_alike(kind: str, size: tuple[int, int]) -> None:
    params = rain_of(kind=kind, coverage=0.4, opacity=0.2, length=50.0, angle=20.0)
    mean = torch.stack([rain_layer(*size, params, seeded(i)) for i in range(60)]).mean(0)
    inner = mean[size[0] // 4 : -(size[0] // 4), size[1] // 4 : -(size[1] // 4)].mean()
    for border in (mean[:4], mean[-4:], mean[:, :4], mean[:, -4:]):
        assert float(border.mean() / inner) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("kind", ["drawn", "noise"])
def test_twice_the_coverage_is_twice_the_light(kind: str) -> None:
    one, two = (
        float(rain_layer(300, 300, rain_of(kind=kind, coverage=c, opacity=0.1), seeded(1)).mean()) for c in (0.4, 0.8)
    )
    assert two / one == pytest.approx(2, rel=0.1)


def test_scaled_rain_has_longer_and_wider_streaks_of_the_same_coverage() -> None:
    layer = rain_of(length=20.0, width=1.5).scaled(3).layers[0]
    assert (layer.length, layer.width, layer.coverage) == (60.0, 4.5, StreakLayer().coverage)


def test_one_pixel_is_a_picture() -> None:
    for preset in PRESETS:
        assert degrade_batch(grey(1, 3, 1, 1), preset, seeded()).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("shape", [(3, 8), (1, 1, 8, 8), (2, 4, 8, 8)])
def test_pictures_without_three_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        degrade_batch(torch.zeros(shape), "rain", seeded())


def test_integer_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        degrade_batch(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "rain", seeded())
    with pytest.raises(ValueError, match="float"):
        apply(np.zeros((8, 8, 3), np.uint8))


def photos() -> list[np.ndarray]:
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(SET14.glob("*"))]


@pytest.mark.skipif(not SET14.is_dir(), reason="Set14 is not here (DFRESTORE_SHARED names the folder with data/)")
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_as_heavy_as_they_were(preset: str) -> None:
    scores = []
    for i, photo in enumerate(photos()):
        rainy = to_8bit(apply(photo / np.float32(255), preset, seed=1 + i))
        scores.append(psnr_y(rainy.astype(np.float64), photo.astype(np.float64)))
    assert float(np.mean(scores)) == pytest.approx(FROZEN[preset], abs=0.05)
