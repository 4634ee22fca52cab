"""How much a restoration changed: the numbers, and when they mean that nothing was found."""

from __future__ import annotations

import numpy as np
import pytest

from dfrestore.photo.enlarged import resized
from dfrestore.restore.change import HARDLY_LARGEST, HARDLY_MEAN, Change, change, in_words, is_hardly_any, together


def grey(height: int, width: int, level: float) -> np.ndarray:
    return np.full((height, width, 3), level / 255, np.float32)


def test_the_mean_and_the_largest_difference_are_in_levels_of_255() -> None:
    result = grey(4, 5, 100)
    result[0, 0, 0] = 130 / 255
    found = change(grey(4, 5, 90), result)
    assert found.mean == pytest.approx(10 + 30 / 60, abs=1e-4)
    assert found.largest == pytest.approx(40, abs=1e-4)


def test_what_did_not_change_is_zero() -> None:
    photo = np.random.default_rng(0).random((7, 9, 3), np.float32)
    assert change(photo, photo.copy()) == Change(0.0, 0.0)


def test_values_beyond_white_are_written_as_white() -> None:
    assert change(grey(2, 2, 255), grey(2, 2, 300)) == Change(0.0, 0.0)


def test_large_pictures_are_compared_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    photo, result = rng.random((37, 20, 3), np.float32), rng.random((37, 20, 3), np.float32)
    at_once = change(photo, result)
    monkeypatch.setattr("dfrestore.restore.change._BLOCK", 100)
    in_strips = change(photo, result)
    assert in_strips.mean == pytest.approx(at_once.mean)
    assert in_strips.largest == at_once.largest


def test_a_larger_result_is_compared_with_the_resized_photo() -> None:
    photo = np.random.default_rng(0).random((8, 12, 3), np.float32)
    base = np.stack([resized(photo[..., channel], 16, 24) for channel in range(3)], axis=2)
    assert change(photo, base) == Change(0.0, 0.0)
    assert change(photo, np.clip(base + 0.1, 0, 1)).largest == pytest.approx(25.5, abs=0.01)


def test_with_a_mask_the_mean_is_that_of_what_it_covers() -> None:
    mask = np.zeros((4, 8), np.float32)
    mask[:, :2] = 1
    result = grey(4, 8, 100)
    result[:, :2] = 120 / 255
    found = change(grey(4, 8, 100), result, mask)
    assert found.mean == pytest.approx(20, abs=1e-3)


@pytest.mark.parametrize(
    ("found", "task", "strength", "expected"),
    [
        (Change(0.97, 49), "derain", 1.0, True),  # the most that a clean photo of Set14 changes
        (Change(1.5, 30), "derain", 1.0, False),  # the least that a rainy one does which the model helps
        (Change(0.4, 80), "derain", 1.0, False),  # a few drops
        (Change(0.9, 20), "derain", 0.5, False),  # 1.8 at full strength
        (Change(0.2, 9), "upscale", 1.0, False),  # takes nothing away
        (Change(0.0, 0.0), "derain", 0.0, False),  # not the model's doing
    ],
)
def test_a_change_like_that_of_clean_photos_is_hardly_any(
    found: Change, task: str, strength: float, expected: bool
) -> None:
    assert is_hardly_any(found, task, strength) is expected
    assert (HARDLY_MEAN, HARDLY_LARGEST) == (1.0, 64.0)


def test_several_changes_together() -> None:
    assert together([Change(1, 5, True), Change(3, 4)]) == Change(2, 5)
    assert together([Change(1, 5, where="the region")]).where == "the region"


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("derain", "changed by 0.21 levels of 255 on average, 12 at most"),
        ("upscale", "differs from a plain resize by 0.21 levels of 255 on average, 12 at most"),
        ("inpaint", "changed by 0.21 levels of 255 on average inside the mask, 12 at most"),
    ],
)
def test_in_words(task: str, words: str) -> None:
    assert in_words(Change(0.2123, 12.3), task) == words


def test_in_words_of_a_part() -> None:
    found = Change(0.2123, 12.3, where="the regions")
    assert in_words(found, "derain") == "changed by 0.21 levels of 255 on average inside the regions, 12 at most"
