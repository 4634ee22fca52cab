"""The mean of several restorations: its turns, its seeds, its spread, and that it costs no memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import pixels, save_model, tiny_spec
from reference.fake_network import FakeNetwork
from torch import Tensor

from dfrestore.engine import Progress
from dfrestore.errors import BadResultError
from dfrestore.restore import Outcome, Restorer
from dfrestore.restore.ensemble import Tally, Turn, turn_of
from dfrestore.restore.flow import drain

PICTURE = pixels().astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def restorer(random_model: Path) -> Restorer:
    return Restorer.from_pretrained("derain", random_model, precision="fp32")


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    """Of a task without up and down: its members take quarter turns too."""
    path = save_model(tmp_path_factory.mktemp("model") / "denoise.safetensors", tiny_spec(task="denoise"), 1.0)
    return Restorer.from_pretrained("denoise", path, precision="fp32")


class Sometimes(FakeNetwork):
    """A network that returns its input, but fails where ``fails`` says so of its calls, counted from 1."""

    def __init__(self, fails: Any, value: float = float("nan")) -> None:
        super().__init__()
        self.calls, self.fails, self.value = 0, fails, value

    def evaluate(self, how: Any, planes: Tensor) -> Tensor:
        self.calls += 1
        return torch.full_like(planes, self.value) if self.fails(self.calls, how.dtype) else planes


class Cramped(FakeNetwork):
    """A network that returns its input until memory runs out: after ``calls`` calls, for all above 600 pixels."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def evaluate(self, how: Any, planes: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0 and max(planes.shape[2:]) > 600:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return planes


def restored(restorer: Restorer, rgb: np.ndarray = PICTURE, **options: Any) -> Outcome:
    return drain(restorer.restore_rgb(rgb, steps=1, **options))


def members(restorer: Restorer, task: str, count: int, seed: int = 0) -> np.ndarray:
    """Each member on its own, upright: (count, H, W, 3)."""
    turns = [turn_of(k, task) for k in range(count)]
    return np.stack([turn.undo(restored(restorer, turn.apply(PICTURE), seed=seed + k).rgb)
                     for k, turn in enumerate(turns)])  # fmt: skip


# -- turns


@pytest.mark.parametrize("task", ["derain", "denoise"])
def test_every_turn_is_undone(task: str) -> None:
    for member in range(9):
        turn = turn_of(member, task)
        assert np.array_equal(turn.undo(turn.apply(PICTURE)), PICTURE)


def test_the_order_of_turns_is_as_stated() -> None:
    rgb = np.arange(6).reshape(2, 3)
    seen = [turn_of(k, "denoise").apply(rgb).tolist() for k in range(8)]
    plain, mirrored, upside_down, flipped = seen[:4]
    assert plain == [[0, 1, 2], [3, 4, 5]]
    assert mirrored == [[2, 1, 0], [5, 4, 3]]
    assert upside_down == [[5, 4, 3], [2, 1, 0]]
    assert flipped == [[3, 4, 5], [0, 1, 2]]
    assert seen[4] == [[2, 5], [1, 4], [0, 3]]
    assert len({str(turned) for turned in seen}) == 8


def test_members_begin_again_after_the_last_turn() -> None:
    assert turn_of(8, "denoise") == turn_of(0, "denoise") == Turn(False, 0)
    assert turn_of(4, "derain") == Turn(False, 0)


def test_rain_is_never_turned_sideways() -> None:
    assert {turn_of(k, "derain").quarters for k in range(16)} == {0, 2}


# -- the mean


def test_an_ensemble_of_one_is_the_plain_restoration(restorer: Restorer) -> None:
    assert restored(restorer, ensemble=1).rgb.tobytes() == restored(restorer).rgb.tobytes()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_an_ensemble_is_the_mean_of_turned_pictures_with_seeds_that_follow(restorer: Restorer, count: int) -> None:
    expected = members(restorer, "derain", count, seed=3).mean(axis=0)
    np.testing.assert_allclose(restored(restorer, ensemble=count, seed=3).rgb, expected, atol=1e-6)


def test_pictures_that_are_not_square_take_quarter_turns(denoiser: Restorer) -> None:
    outcome = restored(denoiser, ensemble=8, spread=True)
    every = members(denoiser, "denoise", 8)
    np.testing.assert_allclose(outcome.rgb, every.mean(axis=0), atol=1e-6)
    assert outcome.spread is not None
    assert outcome.spread.shape == PICTURE.shape[:2]


def test_the_spread_is_the_largest_standard_deviation_of_the_channels(restorer: Restorer) -> None:
    expected = members(restorer, "derain", 4).std(axis=0, ddof=1).max(axis=2)
    assert expected.max() > 0.001
    np.testing.assert_allclose(restored(restorer, ensemble=4, spread=True).spread, expected, atol=1e-6)


def test_members_that_agree_have_no_spread(identity_model: Path) -> None:
    exact = Restorer.from_pretrained("derain", identity_model, precision="fp32")
    outcome = restored(exact, ensemble=4, spread=True)
    assert outcome.spread is not None
    assert outcome.spread.max() < 1e-6


def test_there_is_no_spread_unless_it_is_wanted(restorer: Restorer) -> None:
    assert restored(restorer, ensemble=2).spread is None


def test_the_spread_is_that_of_the_members_before_strength(restorer: Restorer) -> None:
    full, half = (restored(restorer, ensemble=2, spread=True, strength=s) for s in (1.0, 0.5))
    assert full.spread is not None
    assert np.array_equal(full.spread, half.spread)


def test_members_do_not_change_under_the_hands_of_who_looks_on(restorer: Restorer) -> None:
    seen = [(state.estimate, state.estimate.copy()) for state in restorer.restore_rgb(PICTURE, steps=2, ensemble=3)]
    assert all(np.array_equal(given, kept) for given, kept in seen)


def test_progress_counts_all_members_and_the_last_record_has_the_mean(restorer: Restorer) -> None:
    states: list[Progress] = list(restorer.restore_rgb(PICTURE, steps=2, ensemble=3))
    assert [(state.done, state.total) for state in states] == [(done, 6) for done in range(1, 7)]
    assert [state.result is None for state in states] == [True] * 5 + [False]
    expected = drain(restorer.restore_rgb(PICTURE, steps=2, ensemble=3)).rgb
    assert np.array_equal(states[-1].result, expected)


def test_the_result_is_told_once_however_a_restoration_is_weighted() -> None:
    class Light(FakeNetwork):
        def parts(self, steps: int) -> list[float]:
            return [0.1]  # in floating point, 5 * 0.1 + 0.1 is not 6 * 0.1

    states = list(Restorer(Light(), tiny_spec(), precision="fp32").restore_rgb(PICTURE, steps=1, ensemble=6))
    assert sum(state.estimate is not None for state in states) == 6
    assert [state.result is None for state in states] == [True] * 5 + [False]


@pytest.mark.parametrize("spread", [False, True])
def test_memory_does_not_grow_with_the_members(spread: bool) -> None:
    rgb = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)

    def peak(count: int) -> int:
        tally = Tally(spread=spread)
        tracemalloc.start()
        for _ in range(count):
            tally.add(rgb.copy())
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(32) < 1.1 * peak(3)


# -- when something goes wrong


def test_a_member_that_fails_in_half_precision_is_redone_in_fp32_and_said_once() -> None:
    broken = Sometimes(lambda call, dtype: call >= 2 and dtype == torch.bfloat16)
    outcome = restored(Restorer(broken, tiny_spec(), precision="bf16"), ensemble=4)
    assert [warning.partition(";")[2].strip() for warning in outcome.warnings] == ["redone in fp32"]
    assert outcome.precision == "fp32"
    np.testing.assert_allclose(outcome.rgb, PICTURE, atol=0.005)  # the first member was bf16


def test_a_member_that_fails_in_fp32_fails_the_picture() -> None:
    broken = Sometimes(lambda call, dtype: call == 3)
    with pytest.raises(BadResultError, match="picture: the model gave values that are not finite"):
        restored(Restorer(broken, tiny_spec(), precision="fp32"), ensemble=4)


def test_where_memory_runs_out_all_further_members_are_done_in_tiles() -> None:
    rgb = np.random.default_rng(0).random((16, 1200, 3)).astype(np.float32)
    outcome = restored(Restorer(Cramped(2), tiny_spec(), precision="fp32"), rgb, ensemble=4, spread=True)
    assert outcome.warnings
    assert "tiles of 512" in outcome.plan
    np.testing.assert_allclose(outcome.rgb, rgb, atol=1e-6)
    assert outcome.spread is not None
    assert outcome.spread.max() < 1e-5


# -- the Python API


def test_the_api_gives_image_and_spread(restorer: Restorer) -> None:
    image, spread = restorer.with_spread(pixels(), ensemble=2, steps=1)
    assert (image == restorer(pixels(), ensemble=2, steps=1)).all()
    assert (spread.shape, spread.dtype) == ((16, 24), np.float32)


@pytest.mark.parametrize("options", [{"ensemble": 0}, {"ensemble": -1}, {"ensemble": 1, "spread": True}])
def test_too_few_members_are_refused(restorer: Restorer, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="an ensemble has"):
        restored(restorer, **options)


def test_the_seed_of_the_last_member_must_be_possible(restorer: Restorer) -> None:
    with pytest.raises(ValueError, match="seed is from 0"):
        restored(restorer, ensemble=2, seed=2**63 - 1)
