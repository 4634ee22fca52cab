from __future__ import annotations

import numpy as np
import pytest
import torch
from reference import ddim_reference
from torch import Tensor

from dfrestore.diffusion import initial_noise, linear_alpha_bars, sample, to_x0_eps

TIMES = [999, 666, 333, 0]
GOLDEN_NOISE = [  # seed 0, 8x8: [0, 0, :4], [1, 3, :4], [2, 7, 4:]
    [-1.1258398, -1.1523602, -0.2505786, -0.4338788],
    [-0.2460009, 2.3025165, -1.8816892, -0.0497270],
    [0.6667811, -0.9943897, -1.1893640, -1.1959494],
]


def network(x: Tensor, t: Tensor) -> Tensor:
    """Smooth, not linear, different at each t: a stand-in that numpy can compute too."""
    return torch.tanh(0.7 * x) + 0.1 * torch.sin(t.to(x.dtype) / 100)


def network_in_numpy(x: np.ndarray, t: int) -> np.ndarray:
    return np.tanh(0.7 * x) + 0.1 * np.sin(t / 100)


@pytest.mark.parametrize("times", [TIMES, [999], [999, 500, 0], [999, 250], list(range(999, -1, -111))])
def test_every_state_agrees_with_the_reference(times: list[int]) -> None:
    x = initial_noise(6, 5, seed=3)[None].double()
    states = list(sample(network, x, times, linear_alpha_bars(), "epsilon"))
    expected = ddim_reference.sample(network_in_numpy, x.numpy(), times)
    assert [state.t for state in states] == times
    assert [state.index for state in states] == list(range(len(times)))
    for state, (x_next, x0) in zip(states, expected, strict=True):
        # The package's schedule is float32, as the authors'.
        np.testing.assert_allclose(state.x.numpy(), x_next, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(state.x0.numpy(), x0, rtol=2e-5, atol=2e-5)


def test_float32_states_stay_close_to_float64() -> None:
    x = initial_noise(6, 5, seed=3)[None]
    single = list(sample(network, x, TIMES, linear_alpha_bars(), "epsilon"))
    double = list(sample(network, x.double(), TIMES, linear_alpha_bars(), "epsilon"))
    assert single[-1].x.dtype == torch.float32
    torch.testing.assert_close(single[-1].x.double(), double[-1].x, rtol=1e-4, atol=1e-4)


def test_the_last_state_is_its_clean_estimate_unclamped() -> None:
    last = list(sample(network, 5 * initial_noise(4, 4, seed=0)[None], TIMES, linear_alpha_bars(), "epsilon"))[-1]
    assert torch.equal(last.x, last.x0)
    assert last.x.abs().max() > 1


def test_a_sample_network_takes_the_same_way_as_its_epsilon_twin() -> None:
    alpha_bar = linear_alpha_bars()
    x = initial_noise(6, 5, seed=1)[None].double()

    def twin(x: Tensor, t: Tensor) -> Tensor:
        return to_x0_eps("epsilon", network(x, t), x, alpha_bar[int(t)])[0]

    for a, b in zip(
        sample(network, x, TIMES, alpha_bar, "epsilon"), sample(twin, x, TIMES, alpha_bar, "sample"), strict=True
    ):
        torch.testing.assert_close(a.x, b.x, rtol=1e-10, atol=1e-9)


def test_a_step_is_computed_only_when_asked_for() -> None:
    calls = []

    def counted(x: Tensor, t: Tensor) -> Tensor:
        calls.append(int(t))
        return x

    states = sample(counted, initial_noise(2, 2, 0)[None], TIMES, linear_alpha_bars(), "epsilon")
    next(states)
    assert calls == [999]


def test_noise_of_seed_0_is_the_golden_one() -> None:
    noise = initial_noise(8, 8, seed=0)
    assert noise.shape == (3, 8, 8)
    assert noise.dtype == torch.float32
    # Not bit for bit: PyTorch's logarithm and sine differ in the last digits between kinds of CPU.
    values = torch.stack([noise[0, 0, :4], noise[1, 3, :4], noise[2, 7, 4:]])
    torch.testing.assert_close(values, torch.tensor(GOLDEN_NOISE), rtol=0, atol=1e-5)


def test_noise_depends_on_size_and_seed_alone() -> None:
    expected = initial_noise(5, 7, seed=4)
    torch.manual_seed(99)
    torch.randn(10)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert torch.equal(initial_noise(5, 7, seed=4), expected)
    finally:
        torch.set_num_threads(threads)
    assert not torch.equal(initial_noise(5, 7, seed=5), expected)


def test_drawing_noise_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.randn(3)
    torch.manual_seed(1)
    initial_noise(8, 8, seed=0)
    assert torch.equal(torch.randn(3), expected)
