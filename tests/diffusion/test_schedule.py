from __future__ import annotations

import pytest
import torch
from reference import ddim_reference

from dfrestore.diffusion import linear_alpha_bars, timesteps, to_x0_eps

LAST_PLACE = 2**-23  # of fp32, relative: PyTorch's square roots differ by it between processors (0.00635281857 does)


@pytest.mark.parametrize(
    ("t", "fp64", "fp32", "signal", "noise"),
    [
        (0, 0.9999, 0.999899983, 0.999949992, 0.0100008296),
        (333, 0.31862485496644566, 0.318624794, 0.564468622, 0.825454533),
        (500, 0.07779665836502389, 0.0777966604, 0.278920531, 0.960314214),
        (666, 0.010984230178593665, 0.0109842299, 0.104805678, 0.99449271),
        (999, 4.035829765375676e-05, 4.03582999e-05, 0.00635281857, 0.999979854),
    ],
)
def test_alpha_bar_has_the_authors_values(t: int, fp64: float, fp32: float, signal: float, noise: float) -> None:
    value = linear_alpha_bars()[t]
    assert ddim_reference.alpha_bar(t) == pytest.approx(fp64, rel=1e-12)
    assert value.item() == pytest.approx(fp32, rel=5e-9)
    assert value.sqrt().item() == pytest.approx(signal, rel=LAST_PLACE)
    assert (1 - value).sqrt().item() == pytest.approx(noise, rel=LAST_PLACE)


def test_alpha_bar_is_float32_and_falls() -> None:
    table = linear_alpha_bars()
    assert table.dtype == torch.float32
    assert table.shape == (1000,)
    assert (table.diff() < 0).all()


def test_alpha_bar_follows_the_checkpoints_own_schedule() -> None:
    torch.testing.assert_close(linear_alpha_bars(10, 0.1, 0.1), torch.tensor([0.9 ** (i + 1) for i in range(10)]))


def test_four_steps_are_the_authors_option_three() -> None:
    assert timesteps(1000, 4) == [999, 666, 333, 0] == ddim_reference.visited(3)


def test_one_step_is_the_noisiest() -> None:
    assert timesteps(1000, 1) == [999]


def test_halves_round_to_even() -> None:
    assert timesteps(1000, 3) == [999, 500, 0]  # 499.5
    assert timesteps(1000, 7) == [999, 832, 666, 500, 333, 166, 0]  # 832.5, 499.5, 166.5


def test_every_count_of_steps_falls_strictly_from_last_to_zero() -> None:
    for steps in range(1, 1001):
        times = timesteps(1000, steps)
        assert times == ddim_reference.evenly(steps)
        assert len(set(times)) == steps
        assert times == sorted(times, reverse=True)
        assert times[0] == 999
        assert steps == 1 or times[-1] == 0


def test_a_checkpoints_own_list_is_used_for_its_count_only() -> None:
    lists = {2: (999, 250)}
    assert timesteps(1000, 2, lists) == [999, 250]
    assert timesteps(1000, 4, lists) == [999, 666, 333, 0]


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_counts_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000"):
        timesteps(1000, steps)


@pytest.mark.parametrize("t", [0, 333, 999])
def test_both_predictions_describe_the_same_state(t: int) -> None:
    generator = torch.Generator().manual_seed(t)
    x0, eps = torch.randn((2, 1, 3, 4, 4), generator=generator, dtype=torch.float64)
    alpha_bar = linear_alpha_bars()[t]
    x_t = alpha_bar.sqrt().double() * x0 + (1 - alpha_bar).sqrt().double() * eps
    from_eps = to_x0_eps("epsilon", eps, x_t, alpha_bar)
    from_sample = to_x0_eps("sample", x0, x_t, alpha_bar)
    for estimates in (from_eps, from_sample):
        torch.testing.assert_close(estimates[0], x0, rtol=0, atol=1e-11)
        torch.testing.assert_close(estimates[1], eps, rtol=0, atol=1e-11)
