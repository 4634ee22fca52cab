"""The finish of a result: a part of it alone, detail, grain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import pixels

from dfrestore.restore import Restorer
from dfrestore.restore.detail import with_detail
from dfrestore.restore.finish import PLAIN, Finish, only_part
from dfrestore.restore.grain import with_grain
from dfrestore.restore.images import luma_of
from dfrestore.restore.results import Settings

FINISHES = (
    PLAIN,
    Finish("luma"),
    Finish("chroma"),
    Finish("luma", grain=0.125),
    Finish(grain=0.5),
    Finish(keep_detail=0.5),
)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """An input and a result, away from 0 and 1; of more rows than are worked on at once."""
    dice = np.random.default_rng(0)
    rgb = dice.uniform(0.3, 0.7, (300, 7, 3)).astype(np.float32)
    return rgb, rgb + dice.uniform(-0.1, 0.1, rgb.shape).astype(np.float32)


def test_a_plain_finish_is_the_result_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert PLAIN.apply(*pair, seed=0) is pair[1]


@pytest.mark.parametrize("wrong", [{"only": "hue"}, {"grain": 1.5}, {"keep_detail": -0.1}, {"grain": float("nan")}])
def test_an_impossible_finish_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Finish(**wrong)


def test_a_finish_is_another_setting_and_a_plain_one_is_none() -> None:
    settings = [Settings("denoise", "sha", 1, finish=finish) for finish in FINISHES]
    assert len({one.hash for one in settings}) == len(FINISHES)
    assert settings[0].hash == Settings("denoise", "sha", 1).hash
    assert settings[0].made_by("m") == "m, 1 step, seed 0"
    assert settings[1].made_by("m") == "m, 1 step, seed 0, luma alone"
    assert settings[3].made_by("m") == "m, 1 step, seed 0, luma alone, grain 12.5 %"
    assert settings[5].made_by("m") == "m, 1 step, seed 0, detail 0.5 kept"


def test_the_restorer_finishes_before_strength_and_mask(random_model: Path) -> None:
    restorer = Restorer.from_pretrained("derain", random_model, precision="fp32")
    rgb = pixels(32, 32).astype(np.float32) / 255
    mask = np.zeros((32, 32), np.float32)
    mask[:, 16:] = 1
    plain = restorer(rgb, steps=1)
    half = restorer(rgb, steps=1, strength=0.5, mask=mask, finish=Finish("luma"))
    assert np.array_equal(half[:, :16], rgb[:, :16])
    wanted = (rgb + only_part(rgb, plain, "luma")) / 2
    np.testing.assert_allclose(half[:, 16:], wanted[:, 16:], atol=1e-6)


def test_a_share_of_the_detail_comes_back(pair: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, result = pair
    rgb[100:110] += np.float32(0.25)
    assert np.array_equal(Finish(keep_detail=0.5).apply(rgb, result, 0), with_detail(rgb, result, 0.5))


def test_grain_is_the_seeds_and_spares_what_the_mask_keeps(identity_model: Path) -> None:
    restorer = Restorer.from_pretrained("derain", identity_model, precision="fp32")
    rgb = pixels(32, 32).astype(np.float32) / 255
    mask = np.zeros((32, 32), np.float32)
    mask[:, 16:] = 1
    made = restorer(rgb, steps=1, seed=7, mask=mask, finish=Finish(grain=0.5))
    assert np.array_equal(made[:, :16], rgb[:, :16])
    grained = with_grain(restorer(rgb, steps=1, seed=7), 0.5, 7)
    np.testing.assert_allclose(made[:, 16:], grained[:, 16:], atol=1e-6)


def test_grain_on_grey_is_grey() -> None:
    grey = np.full((8, 8, 3), 0.5, np.float32)
    made = Finish(grain=1).apply(grey, grey, 0)
    assert made.std() > 0.05
    assert np.ptp(made, axis=2).max() == 0


# -- a part alone


def test_chroma_keeps_the_inputs_luma_and_luma_its_colours(pair: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, result = pair
    chroma, luma = only_part(rgb, result, "chroma"), only_part(rgb, result, "luma")
    np.testing.assert_allclose(luma_of(chroma), luma_of(rgb), atol=1e-6)
    np.testing.assert_allclose(luma_of(luma), luma_of(result), atol=1e-6)
    differences = np.array([[1, 0], [-1, 1], [0, -1]], np.float32)
    np.testing.assert_allclose(luma @ differences, rgb @ differences, atol=1e-6)
    np.testing.assert_allclose(chroma @ differences, result @ differences, atol=1e-6)


def test_both_parts_add_up_to_the_whole_change(pair: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, result = pair
    changes = only_part(rgb, result, "chroma") - rgb + only_part(rgb, result, "luma") - rgb
    np.testing.assert_allclose(changes, result - rgb, atol=1e-6)


def test_grey_stays_grey_exactly() -> None:
    grey, other = (np.random.default_rng(seed).random((5, 4, 1), np.float32).repeat(3, axis=2) for seed in (0, 1))
    assert np.array_equal(only_part(grey, other, "chroma"), grey)
    luma = only_part(grey, other, "luma")
    np.testing.assert_allclose(luma, other, atol=1e-6)
    assert np.ptp(luma, axis=2).max() == 0


def test_parts_stay_in_range() -> None:
    dice = np.random.default_rng(0)
    rgb, result = (dice.integers(0, 2, (9, 9, 3)).astype(np.float32) for _ in range(2))
    for part in ("chroma", "luma"):
        made = Finish(part).apply(rgb, result, 0)
        assert made.dtype == np.float32
        assert 0 <= made.min() <= made.max() <= 1
