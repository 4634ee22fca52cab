"""Learning rate and patch cycle: the authors' check values and the rules of our own fractions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfrestore.errors import UsageError
from dfrestore.methods.c2f_dft.stages import Coarse
from dfrestore.training.config import StageConfig
from dfrestore.training.schedules import cosine_cycles, learning_rate, patch_and_batch, patch_counts
from dfrestore.training.settings import load_preset

COARSE_DERAIN = StageConfig(
    iterations=270_000,
    lr=3e-4,
    periods=(50_000, 220_000),
    minima=(3e-4, 1e-5),
    patches=(32, 64, 128),
    batches=(360, 96, 24),
    patch_period=10_000,
    own=Coarse(),
)


@pytest.mark.parametrize(
    ("k", "rate"),
    [
        (1, 3e-4),
        (50_001, 3e-4),
        (105_001, 2.57530483e-4),
        (160_001, 1.55e-4),
        (215_001, 5.24695167e-5),
        (270_000, 1e-5),
    ],
)
def test_coarse_deraining_rate_has_the_authors_values(k: int, rate: float) -> None:
    assert learning_rate(COARSE_DERAIN, k - 1) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(
    ("k", "periods", "base", "low", "rate"),
    [
        (190_001, (50_000, 280_000), 3e-4, 1e-5, 1.55e-4),
        (50_001, (10_000, 80_000), 1e-5, 1e-7, 5.05e-6),
        (90_000, (10_000, 80_000), 1e-5, 1e-7, 1.00000004e-7),
        (50_001, (10_000, 80_000), 4e-5, 1e-6, 2.05e-5),
        (20_001, (10_000, 20_000), 4e-5, 1e-6, 2.05e-5),
        (30_000, (10_000, 20_000), 4e-5, 1e-6, 1.00000024e-6),
    ],
)
def test_other_stages_have_the_authors_values(
    k: int, periods: tuple[int, int], base: float, low: float, rate: float
) -> None:
    assert cosine_cycles(k - 1, base, periods, (base, low)) == pytest.approx(rate, rel=1e-6)


def test_patch_cycle_switches_after_each_period_and_keeps_the_last_entry() -> None:
    expected = {1: (32, 360), 10_000: (32, 360), 10_001: (64, 96), 20_001: (128, 24), 30_001: (32, 360)}
    for k, pair in expected.items():
        assert patch_and_batch(COARSE_DERAIN, k - 1) == pair
    longer = replace(COARSE_DERAIN, iterations=330_000)
    assert patch_and_batch(longer, 270_000) == (32, 360)
    assert patch_and_batch(replace(longer, patch_cycles=9), 270_000) == (128, 24)


@given(
    st.integers(0, 300),
    st.integers(0, 40),
    st.integers(0, 4),
    st.sampled_from([(8,), (8, 16), (8, 16, 32), (8, 8, 16)]),
)
def test_counts_of_patches_are_those_of_the_iterations(
    iterations: int, period: int, cycles: int, patches: tuple[int, ...]
) -> None:
    stage = StageConfig(
        iterations, patches=patches, batches=patches, patch_period=period, patch_cycles=cycles, own=Coarse()
    )
    assert +patch_counts(stage) == Counter(patch_and_batch(stage, p) for p in range(iterations))


def test_fractional_periods_follow_the_iterations() -> None:
    stage = StageConfig(iterations=1000, lr=1.0, periods=(0.4, 0.6), minima=(1.0, 0.0), own=Coarse())
    assert learning_rate(stage, 0) == learning_rate(stage, 400) == 1.0
    assert learning_rate(stage, 700) == pytest.approx(0.5)
    assert learning_rate(stage, 999) < 1e-4


def test_warmup_rises_linearly_from_the_first_iteration() -> None:
    stage = StageConfig(iterations=100, lr=1.0, periods=(1.0,), minima=(1.0,), warmup=10, own=Coarse())
    assert [learning_rate(stage, p) for p in (0, 4, 9, 50)] == pytest.approx([0.1, 0.5, 1.0, 1.0])


def test_a_rate_in_steps_falls_at_each_milestone() -> None:
    stage = StageConfig(100, lr=1.0, rate="steps", milestones=(0.5, 80), gamma=0.1, own=Coarse())
    assert [learning_rate(stage, p) for p in (0, 49, 50, 79, 80, 99)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_entries_of_a_patch_list_may_have_lengths_of_their_own() -> None:
    stage = load_preset("paper-diffir-deblur").stages["s1"]
    assert [patch_and_batch(stage, p) for p in (0, 91999, 92000, 171999, 172000, 299999)] == [
        (192, 8),
        (192, 8),
        (256, 4),
        (256, 4),
        (320, 2),
        (512, 1),
    ]
    counts = patch_counts(stage)
    assert (sum(counts.values()), counts[320, 2], counts[512, 1]) == (300000, 38000, 24000)


@pytest.mark.parametrize(
    "settings",
    [{"patch_lengths": [1, 2]}, {"patch_lengths": [0]}, {"betas": [0.9]}, {"betas": [0.9, 1.0]}],
)
def test_settings_of_a_stage_that_do_not_fit_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="joint"):
        load_preset("smoke-upscale", overrides={"stages": {"joint": settings}})
