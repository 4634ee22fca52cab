"""The interval of a mean: how often it holds the true one, and what it does at its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfrestore.evaluation.bootstrap import mean_interval

VALUES = st.lists(st.floats(-50, 50), min_size=1, max_size=30)


@pytest.mark.parametrize(("draw", "mean"), [("normal", 0.0), ("exponential", 1.0)])
def test_nearly_95_of_100_intervals_hold_the_true_mean(draw: str, mean: float) -> None:
    rng = np.random.default_rng(3)
    samples = [getattr(rng, draw)(size=60) for _ in range(300)]
    intervals = [mean_interval(sample, resamples=400, seed=number) for number, sample in enumerate(samples)]
    held = np.mean([low <= mean <= high for low, high in intervals])
    assert 0.90 <= held <= 0.98  # the percentile bootstrap is a little short for few and skewed values
    too_high, too_low = (np.mean([low > mean for low, _ in intervals]), np.mean([high < mean for _, high in intervals]))
    assert max(too_high, too_low) < 0.09


def test_a_lower_level_gives_a_narrower_interval_that_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    samples = rng.normal(size=(300, 60))
    intervals = [mean_interval(sample, level=0.8, resamples=400) for sample in samples]
    assert 0.74 <= np.mean([low <= 0 <= high for low, high in intervals]) <= 0.86


def test_of_many_values_it_is_the_normal_interval() -> None:
    values = np.random.default_rng(5).normal(3, 2, 1000)
    low, high = mean_interval(values, resamples=4000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


@settings(deadline=None, max_examples=40)
@given(VALUES)
def test_it_lies_within_the_values_in_order(values: list[float]) -> None:
    low, high = mean_interval(values, resamples=200)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


@settings(deadline=None, max_examples=40)
@given(VALUES, st.floats(-9, 9))
def test_it_moves_with_the_values(values: list[float], shift: float) -> None:
    low, high = mean_interval(values, resamples=200)
    moved = mean_interval([value + shift for value in values], resamples=200)
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-9)


def test_the_same_values_and_seed_give_the_same_interval_and_another_seed_nearly() -> None:
    values = np.random.default_rng(6).normal(size=20)
    first, again, other = mean_interval(values), mean_interval(list(values)), mean_interval(values, seed=1)
    assert first == again
    assert first != other
    assert first == pytest.approx(other, abs=0.05)


def test_equal_values_have_no_width() -> None:
    assert mean_interval([0.25] * 7) == (0.25, 0.25)


def test_more_values_than_fit_at_once_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(7).normal(size=50)
    whole = mean_interval(values, resamples=500)
    monkeypatch.setattr("dfrestore.evaluation.bootstrap._AT_ONCE", 1)
    assert mean_interval(values, resamples=500) == pytest.approx(whole, abs=0.1)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]])
def test_no_values_or_such_as_are_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean_interval(values)


@pytest.mark.parametrize("options", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}])
def test_impossible_levels_and_counts_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([1.0], **options)  # type: ignore[arg-type]
