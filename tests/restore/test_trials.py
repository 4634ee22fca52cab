"""A second opinion on damage: how much of a few crops the model changes that takes it away."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from dfrestore.restore import Restorer
from dfrestore.restore.trials import CROPS, SIDE, VIEW, Sample, tried
from dfrestore.severities import DAMAGES


class Shift:
    """Stands in for a restorer: it makes all darker, and remembers what it saw."""

    def __init__(self, by: float) -> None:
        self.by, self.seen = np.float32(by), list[tuple[int, ...]]()

    def __call__(self, rgb: Any) -> Any:
        self.seen.append(rgb.shape)
        return rgb - self.by

    @property
    def restorer(self) -> Restorer:
        return cast(Restorer, self)


class ShiftsLarge(Shift):
    """Changes the view alone."""

    def __call__(self, rgb: Any) -> Any:
        return super().__call__(rgb) if rgb.shape[1] == VIEW else rgb


def photo(height: int, width: int) -> Any:
    rng = np.random.default_rng(3)
    return rng.random((height, width, 3), dtype=np.float32) / 2 + 0.25


@pytest.mark.parametrize("damage", ["rain", "noise", "drops", "haze"])
def test_the_severity_is_that_of_the_change(damage: str) -> None:
    assert tried(damage, Shift(0.1).restorer, Sample.of(photo(300, 400))) == pytest.approx(
        DAMAGES[damage].severity(20.0), abs=1e-5
    )


def test_a_model_that_changes_nothing_finds_nothing() -> None:
    assert tried("rain", Shift(0.0).restorer, Sample.of(photo(300, 400))) == 0.0


def test_the_crops_lie_side_by_side_however_large_the_picture_is() -> None:
    shift = Shift(0.1)
    tried("rain", shift.restorer, Sample.of(photo(900, 1300)))
    assert shift.seen == [(2 * SIDE, 2 * SIDE, 3)]


@pytest.mark.parametrize("damage", ["motion", "defocus"])
def test_blur_is_looked_for_crop_by_crop(damage: str) -> None:
    shift = Shift(0.1)
    tried(damage, shift.restorer, Sample.of(photo(900, 1300)))
    assert shift.seen == [(SIDE, SIDE, 3)] * CROPS


def test_haze_is_looked_for_in_all_of_the_picture() -> None:
    shift = Shift(0.1)
    tried("haze", shift.restorer, Sample.of(photo(450, 900)))
    assert shift.seen == [(VIEW // 2, VIEW, 3)]


def test_drops_have_to_be_seen_in_the_whole_and_in_crops() -> None:
    shift = Shift(0.1)
    assert tried("drops", shift.restorer, Sample.of(photo(450, 900))) > 0
    assert shift.seen == [(VIEW // 2, VIEW, 3), (2 * SIDE, 2 * SIDE, 3)]
    large_alone = ShiftsLarge(0.1)
    assert tried("drops", large_alone.restorer, Sample.of(photo(450, 900))) == 0


def test_the_sample_is_of_the_picture_itself() -> None:
    rgb = photo(2 * SIDE, 2 * SIDE)
    sample = Sample.of(rgb)
    assert np.array_equal(sample.beside, rgb)  # four crops of it are all of it
    assert np.array_equal(sample.crops[3], rgb[SIDE:, SIDE:])


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (130, 129)])
def test_pictures_of_any_size_are_tried(size: tuple[int, int]) -> None:
    assert 0 < tried("rain", Shift(0.1).restorer, Sample.of(photo(*size))) < 1
