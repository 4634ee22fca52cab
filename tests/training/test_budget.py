"""A schedule for a number of minutes: fits, keeps the preset's shape, and is measured on what is there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import darken, smooth_photos, tiny

from dfrestore.errors import StartError, UsageError
from dfrestore.training.budget import Speed, all_shares, fit, measure, run_seconds
from dfrestore.training.config import TrainConfig, with_stage
from dfrestore.training.settings import load_preset

COMPACT = load_preset("compact")


def speed_of(config: TrainConfig, step: float, validation: float) -> Speed:
    """Every step takes ``step`` seconds for a patch of 64, more for larger ones."""
    kinds = {
        (name, patch, batch): step * patch / 64
        for name, stage in config.stages.items()
        for patch, batch in zip(stage.patches, stage.batches, strict=True)
    }
    return Speed(kinds, validation)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["compact", "paper-deblur", "smoke"]),
    st.floats(0.001, 2.0),
    st.floats(0.0, 60.0),
    st.floats(30.0, 100_000.0),
)
def test_a_fitted_run_takes_the_time_it_may_and_no_more(
    preset: str, step: float, validation: float, seconds: float
) -> None:
    config = load_preset(preset)
    speed = speed_of(config, step, validation)
    try:
        fitted = fit(config, speed, seconds)
    except StartError:
        assert 40 * step * 4 + 2 * validation > 0.9 * seconds - 4  # there really is no time
        return
    needed = run_seconds(fitted, speed)
    assert needed <= seconds
    if fitted.iterations > 500:
        assert needed > 0.85 * seconds - 2 * validation - 3


def test_the_stages_keep_the_presets_ratio() -> None:
    fitted = fit(COMPACT, speed_of(COMPACT, 0.5, 10), 3600)
    assert fitted.stages["fine"].iterations / fitted.stages["coarse"].iterations == pytest.approx(
        COMPACT.stages["fine"].iterations / COMPACT.stages["coarse"].iterations, rel=0.02
    )


def test_the_ratio_of_the_stages_can_be_given() -> None:
    fitted = fit(COMPACT, speed_of(COMPACT, 0.5, 10), 3600, {"coarse": 0.5})
    assert fitted.stages["coarse"].iterations == pytest.approx(fitted.stages["fine"].iterations, abs=1)
    alone = fit(COMPACT, speed_of(COMPACT, 0.5, 10), 3600, {"coarse": 0.0})
    assert alone.stages["coarse"].iterations == 0


def test_the_whole_patch_cycle_fits_into_the_shorter_run() -> None:
    fitted = fit(COMPACT, speed_of(COMPACT, 0.5, 10), 3600)
    assert (
        fitted.stages["fine"].patch_period * len(fitted.stages["fine"].patches) < fitted.stages["fine"].iterations / 10
    )


def test_validations_are_at_least_ten_but_take_little() -> None:
    short = fit(COMPACT, speed_of(COMPACT, 0.1, 0.1), 60)
    assert short.iterations / short.validate_every >= 9
    slow = fit(COMPACT, speed_of(COMPACT, 0.1, 30), 600)
    assert slow.iterations / slow.validate_every <= 2


def test_too_few_minutes_are_refused_with_the_measured_speed() -> None:
    with pytest.raises(StartError, match=r"30 s are left to train in.* an iteration takes up to 25 s"):
        fit(COMPACT, speed_of(COMPACT, 10, 5), 30)


def test_every_kind_of_step_and_a_validation_are_measured() -> None:
    config = tiny(coarse=4, fine=4)
    config = with_stage(config, "coarse", patches=(32, 64), batches=(2, 1))
    speed = measure(config, smooth_photos(), darken, "cpu", 1.0)
    assert list(speed.steps) == [("coarse", 32, 2), ("coarse", 64, 1), ("fine", 32, 4)]
    assert all(seconds > 0 for seconds in speed.steps.values())
    assert speed.validation > 0


def test_a_stage_that_only_a_share_brings_in_is_measured_and_fitted() -> None:
    config, shares = tiny(coarse=0, fine=4), {"coarse": 0.25}
    speed = measure(config, smooth_photos(), darken, "cpu", 1.0, shares=shares)
    assert list(speed.steps) == [("coarse", 32, 4), ("fine", 32, 4)]
    fitted = fit(config, speed_of(fit(config, speed, 60, shares), 0.01, 0.1), 60, shares)
    assert fitted.stages["coarse"].iterations == pytest.approx(fitted.iterations / 4, abs=1)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"coarse": 1.5}, "the share of the stage coarse, 1.5, is not from 0 to 1"),
        ({"coarse": 0.7, "fine": 0.7}, "are 1.4 together, not 1"),
        ({"coarse": 0.2, "fine": 0.2}, "are 0.4 together, not 1"),
        ({"course": 0.2}, "no stage 'course': did you mean 'coarse'"),
    ],
)
def test_impossible_shares_are_refused(shares: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        all_shares(COMPACT, shares)


def test_a_run_without_iterations_has_nothing_to_train() -> None:
    with pytest.raises(StartError, match="no stage has any iterations"):
        measure(tiny(coarse=0, fine=0), smooth_photos(), darken, "cpu", 1.0)
