"""Presets: what is drawn, how broadly, and how heavy it comes out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dfrestore.degrade import PRESETS, RainParams, StreakLayer, degrade_batch, sample_params
from dfrestore.degrade.presets import MIN_ASPECT, sample_many
from dfrestore.degrade.streaks import moments, streak_maps


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def luma_error(preset: str, level: float = 0.35) -> list[float]:
    """PSNR on studio luma of 200 grey patches in rain."""
    clean = torch.full((200, 3, 64, 64), level)
    error = (degrade_batch(clean, preset, seeded(4)) - clean).mean(dim=1) * 219 / 255
    return [-10 * math.log10(max(float(e.square().mean()), 1e-9)) for e in error]


def test_an_unknown_preset_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="drizzle, fine, rain, storm, mixed"):
        sample_params(seeded(), "hail")


def test_parameters_follow_from_the_seed() -> None:
    assert sample_params(seeded(3), "storm") == sample_params(seeded(3), "storm")
    assert sample_params(seeded(3), "storm") != sample_params(seeded(4), "storm")


@pytest.mark.parametrize("preset", PRESETS)
def test_parameters_stay_in_their_ranges(preset: str) -> None:
    ranges = [bounds for _, bounds in PRESETS[preset]]
    for rain in sample_many(300, seeded(), preset):
        assert min(r.layers[0] for r in ranges) <= len(rain.layers) <= max(r.layers[1] for r in ranges)
        for layer in rain.layers:
            assert 0 < layer.opacity <= 1
            assert layer.length / layer.width >= MIN_ASPECT - 1e-9
            assert min(r.length[0] for r in ranges) - 1e-9 <= layer.length <= max(r.length[1] for r in ranges) + 1e-9


def test_shares_of_every_preset_sum_to_one() -> None:
    assert all(sum(share for share, _ in parts) == pytest.approx(1) for parts in PRESETS.values())


def test_mixed_draws_every_kind_of_rain() -> None:
    rains = sample_many(400, seeded(), "mixed")
    layers = [layer for rain in rains for layer in rain.layers]
    assert {rain.blend for rain in rains} == {"additive", "screen", "alpha"}
    assert {len(rain.layers) for rain in rains} == {1, 2, 3, 4, 5}
    assert {layer.kind for layer in layers} == {"drawn", "noise"}
    assert any(abs(layer.angle) > 70 for layer in layers)
    assert float(np.median([abs(layer.angle) for layer in layers])) < 30
    assert min(layer.length for layer in layers) < 12
    assert max(layer.length for layer in layers) > 110


def test_fine_rain_is_thin_and_some_of_it_grey() -> None:
    rains = sample_many(200, seeded(), "fine")
    assert float(np.median([layer.width for rain in rains for layer in rain.layers])) < 2
    assert 40 < sum(rain.tint[0] < 0.75 for rain in rains) < 160
    white = torch.ones(200, 3, 64, 64)
    assert float(degrade_batch(white, "fine", seeded()).amin()) < 0.9  # hides what is brighter
    assert float(degrade_batch(white, "storm", seeded()).amin()) > 0.8


def test_storms_are_heavier_than_rain_and_rain_than_drizzle() -> None:
    drizzle, rain, storm = (float(np.median(luma_error(p))) for p in ("drizzle", "rain", "storm"))
    assert 27 < drizzle < 33
    assert 20 < rain < 25
    assert 11 < storm < 15


def test_mixed_is_two_fifths_light_and_two_fifths_heavy() -> None:
    scores = np.array(luma_error("mixed"))
    assert 0.3 < np.mean(scores > 24) < 0.55
    assert 0.3 < np.mean(scores < 18) < 0.5


def test_storms_are_streaks_and_not_a_veil() -> None:
    # most of the error must vary over the picture: a veil alone would only shift its level
    rainy = degrade_batch(torch.full((40, 3, 96, 96), 0.3), "storm", seeded(2)).mean(dim=1) - 0.3
    spread = rainy.flatten(1).std(dim=1) / rainy.flatten(1).square().mean(dim=1).sqrt()
    assert float(spread.median()) > 0.45


@pytest.mark.parametrize(
    "layer",
    [
        StreakLayer(coverage=0.2),
        StreakLayer(coverage=1.5, width=3.0, ripple=0.8, unevenness=0.7),
        StreakLayer(coverage=0.6, softness=0.0, taper=0.0, opacity_spread=0.0),
        StreakLayer(kind="noise", coverage=0.3),
        StreakLayer(kind="noise", coverage=1.5, width=3.0, length=60.0),
    ],
)
def test_expected_brightness_is_what_is_drawn(layer: StreakLayer) -> None:
    streaks = streak_maps([RainParams((layer,))], 700, 700, seeded(1))
    mean, square = moments(layer)
    assert float(streaks.mean()) == pytest.approx(mean * layer.opacity, rel=0.1)
    assert float(streaks.var()) == pytest.approx(square * layer.opacity**2, rel=0.2)


@pytest.mark.parametrize("fields", [{"length": 0.0}, {"width": -1.0}, {"coverage": -0.1}, {"opacity": 1.2}])
def test_impossible_streaks_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        StreakLayer(**fields)  # type: ignore[arg-type]
