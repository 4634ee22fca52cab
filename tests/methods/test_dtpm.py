"""DTPM: the network and its sampler are what the facts say, and what a literal reference computes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dtpm_reference as literal
from reference.random_dtpm import TASK, tiny_dtpm
from torch import Tensor

from dfrestore.diffusion import linear_alpha_bars
from dfrestore.diffusion.samplers import ddim_step
from dfrestore.methods.dtpm import DTPM, DTPMConfig, DTPMSampling
from dfrestore.methods.method import restored_at_once
from dfrestore.nn import Strips, Whole
from dfrestore.windows import parse

PRIORS: list[dict[str, Any]] = [
    {},
    {"semantic": "none"},
    {"semantic": "tiny", "encoder": (0, 2), "middle": 0, "decoder": (1, 0)},
    {"stem": 2, "width": 6, "encoder": (2,), "decoder": (1,)},
]
CONFIGS = [*PRIORS, *({**prior, **TASK} for prior in PRIORS), {**TASK, "condition": "predictor", "predictor_stem": 2}]


def pictures(network: DTPM, batch: int = 1, rows: int = 2, columns: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """y and y_eps in [-1, 1], and x_t."""
    generator = torch.Generator().manual_seed(1)
    shape = (batch, 3, rows * network.multiple, columns * network.multiple)
    y, y_eps = (torch.rand(shape, generator=generator) * 2 - 1 for _ in range(2))
    return y, torch.randn(shape, generator=generator), y_eps


def arrays(network: DTPM) -> dict[str, Any]:
    return {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}


def assert_near(got: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < tolerance * max(1.0, float(expected.abs().max()))


# -- the network, against the literal reference ----------------------------------------------------------------------


def reference(network: DTPM, y: Tensor, x_t: Tensor, t: float, y_eps: Tensor) -> Tensor:
    """What the literal reference makes of one picture (3, H, W)."""
    config, w = network.config, arrays(network)
    base = y_eps.double().numpy()
    code = network.coded(y_eps[None])
    code = None if code is None else code[0].double().numpy()
    time = literal.time_vector(t, w, config.width)
    levels = {name: level for name, level, _ in config.shape.places()}

    def block(f: Any, name: str, place: str, index: int) -> Any:
        f = literal.denoiser_block(f, w, name, time, code)
        if not config.adapters:
            return f
        seen = literal.area_average(base, config.stem * 2 ** (levels[place] - 1))
        return literal.adapter(f, seen, w, f"adapters.{place}.{index}")

    condition = y if config.condition == "degraded" else y_eps
    picture = torch.cat([condition, x_t]).double().numpy()
    shape = config.encoder, config.middle, config.decoder, config.stem
    return torch.from_numpy(literal.u_net(picture, w, "denoiser", *shape, block))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_denoiser_is_the_literal_one(config: dict[str, Any]) -> None:
    network = tiny_dtpm(**config)
    y, x_t, y_eps = pictures(network, rows=1, columns=2)
    got = network(y, x_t, torch.tensor([749.0]), y_eps)[0].double()
    assert_near(got, reference(network, y[0], x_t[0], 749.0, y_eps[0]))


def test_the_predictor_is_the_literal_one() -> None:
    network = tiny_dtpm(**TASK, predictor_stem=2)
    y, _, _ = pictures(network)
    w, config = arrays(network), network.config
    shape = config.predictor_encoder, config.predictor_middle, config.predictor_decoder, config.predictor_stem
    picture = y[0].double().numpy()
    made = literal.u_net(picture, w, "predictor", *shape, lambda f, name, *_: literal.learnt_block(f, w, name))
    assert_near(network.predictor(y)[0].double(), torch.from_numpy(picture + made))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_the_walk_on_whole_tensors_computes_forward(config: dict[str, Any], batch: int) -> None:
    network = tiny_dtpm(**config)
    y, x_t, y_eps = pictures(network, batch)
    t = torch.tensor([3.0, 900.0][:batch])
    assert_near(network.walk(Whole(), y, x_t, t, y_eps), network(y, x_t, t, y_eps))
    assert_near(network.predicted(Whole(), y), network.predictor(y) if network.config.predictor else y)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(CONFIGS), st.integers(1, 4), st.integers(1, 4), st.integers(0, 40))
def test_strips_of_any_height_compute_forward(config: dict[str, Any], rows: int, columns: int, height: int) -> None:
    network = tiny_dtpm(**config)
    y, x_t, y_eps = pictures(network, 1, rows, columns)
    t, how = torch.tensor([499.0]), Strips(rows=height)
    expected, guess = network(y, x_t, t, y_eps), network.predicted(Whole(), y)
    assert_near(network.walk(how, y.clone(), x_t.clone(), t, y_eps.clone()), expected)
    assert_near(network.predicted(how, y.clone()), guess)


def test_gradients_of_the_walk_are_those_of_forward() -> None:
    network = tiny_dtpm(**TASK).requires_grad_()
    y, x_t, y_eps = pictures(network, 2)
    t = torch.tensor([3.0, 900.0])
    gradients = []
    for evaluate in (network, partial(network.walk, Whole())):
        network.zero_grad()
        (evaluate(y, x_t, t, y_eps) * x_t).sum().backward()
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        assert_near(gradients[1][name], expected, 1e-4)


def test_windows_in_strips_are_those_on_whole_tensors() -> None:
    network = tiny_dtpm(**TASK)
    y, x_t, y_eps = pictures(network, 1, 16, 20)
    t, windows = torch.tensor([999.0]), parse("32")
    whole = network.walk(Whole(windows=windows), y, x_t, t, y_eps)
    strips = network.walk(Strips(windows=windows), y.clone(), x_t.clone(), t, y_eps.clone())
    assert_near(strips, whole)
    assert (whole - network(y, x_t, t, y_eps)).abs().max() > 1e-3  # and they are not the whole picture's


def test_bf16_features_stay_near() -> None:
    network = tiny_dtpm(**TASK)
    y, x_t, y_eps = pictures(network, 1, 4, 4)
    t = torch.tensor([999.0])
    expected = network(y, x_t, t, y_eps)
    assert_near(network.walk(Strips(torch.bfloat16), y.clone(), x_t.clone(), t, y_eps.clone()), expected, 0.1)
    kept = Strips(features=torch.bfloat16)
    assert_near(network.walk(kept, y.clone(), x_t.clone(), t, y_eps.clone()), expected, 0.1)


# -- properties of the facts, section 9 --------------------------------------------------------------------------------


def test_an_untrained_adapter_changes_no_bit() -> None:
    prior = tiny_dtpm()
    task = DTPM(replace(prior.config, adapters=True))
    task.load_state_dict({**task.state_dict(), **prior.state_dict()})
    y, x_t, y_eps = pictures(prior)
    t = torch.tensor([10.0])
    with torch.no_grad():
        assert torch.equal(task(y, x_t, t, y_eps), prior(y, x_t, t, y_eps))


def test_an_untrained_predictor_returns_its_input() -> None:
    network = DTPM(DTPMConfig(**TASK)).requires_grad_(False)
    y, _, _ = pictures(network)
    assert torch.equal(network.predictor(y), y)
    assert torch.equal(network.predicted(Strips(), y.clone()), y)


@pytest.mark.parametrize("t", [0, 19, 249, 499, 749, 999])
def test_one_step_with_the_true_noise_recovers_the_residual(t: int) -> None:
    bars = linear_alpha_bars().double()
    generator = torch.Generator().manual_seed(0)
    r = torch.rand((1, 3, 8, 8), generator=generator, dtype=torch.float64) * 4 - 2
    eps = torch.randn(r.shape, generator=generator, dtype=torch.float64)
    x_t = bars[t].sqrt() * r + (1 - bars[t]).sqrt() * eps
    _, r0 = ddim_step("epsilon", eps, x_t, bars, t, None, clip=2.0)
    assert torch.allclose(r0, r, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_the_chain_of_an_oracle_ends_at_the_residual(steps: int) -> None:
    bars = linear_alpha_bars().double()
    r = torch.rand((1, 3, 8, 8), dtype=torch.float64) * 4 - 2
    x = torch.randn(r.shape, dtype=torch.float64)
    points = DTPMSampling().points(steps)
    r0 = x
    for t, after in zip(points, [*points[1:], None], strict=True):
        eps = (x - bars[t].sqrt() * r) / (1 - bars[t]).sqrt()
        x, r0 = ddim_step("epsilon", eps, x, bars, t, after, clip=2.0)
    assert torch.allclose(r0, r, atol=1e-8)


def test_time_grids_and_noise_levels_are_the_facts() -> None:
    even, weather = DTPMSampling(), DTPMSampling(grid="weather")
    assert even.points(1) == [999]
    assert even.points(3) == [999, 665, 332]
    assert even.points(4) == [999, 749, 499, 249]
    assert even.points(10) == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert even.points(50)[:2] == [999, 979]
    assert even.points(50)[-1] == 19
    assert weather.points(4) == [750, 500, 250, 0]
    bars = linear_alpha_bars()
    expected = {0: 0.9999, 249: 0.52409, 499: 0.07859, 749: 0.0033506, 999: 4.036e-5}
    for t, value in expected.items():
        assert float(bars[t]) == pytest.approx(value, abs=6e-6 if t < 700 else 6e-8)
    assert np.allclose(bars.numpy(), literal.alpha_bars(), atol=1e-6)


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
@pytest.mark.parametrize("steps", [1, 4])
def test_the_sampler_is_the_literal_one(prediction: Any, steps: int) -> None:
    network = tiny_dtpm(DTPMSampling(prediction=prediction), **TASK)
    picture = torch.rand((3, 2 * network.multiple, network.multiple))
    got = restored_at_once(network, picture, steps, seed=7)
    y = picture * 2 - 1
    y_eps = network.predictor(y[None])[0]
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(7))

    def evaluate(x: Any, t: int) -> Any:
        return network(y[None], torch.from_numpy(x).float()[None], torch.tensor([float(t)]), y_eps[None])[0].numpy()

    points = network.sampling.points(steps)
    made = literal.ddim(y_eps.double().numpy(), noise.double().numpy(), points, evaluate, prediction)
    assert_near(got.double(), torch.from_numpy((made + 1) / 2), 2e-4 if prediction == "epsilon" else 1e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (13, 30), (17, 9)])
def test_any_size_is_padded_and_cropped_back(size: tuple[int, int]) -> None:
    network = tiny_dtpm(**TASK)
    made = restored_at_once(network, torch.rand((3, *size)), 2)
    assert made.shape == (3, *size)
    assert torch.isfinite(made).all()


def test_a_seed_gives_the_same_bytes_and_another_only_another_residual() -> None:
    network = tiny_dtpm(DTPMSampling(prediction="epsilon"), **TASK)
    picture = torch.rand((3, 20, 20))
    first, again, other = (restored_at_once(network, picture, 2, seed, Strips()) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    y = picture[None, :, :16, :16] * 2 - 1
    assert torch.equal(network.predicted(Strips(), y.clone()), network.predicted(Strips(), y.clone()))


def test_the_scale_of_the_residual_is_undone_after_sampling() -> None:
    """An oracle of the scaled residual gives the same picture as one of the residual itself."""
    picture = torch.rand((3, 16, 16))
    residual = torch.rand((3, 16, 16)) * 0.2 - 0.1
    for scale in (1.0, 8.0):
        network = tiny_dtpm(DTPMSampling(prediction="sample", residual_scale=scale), **TASK)
        network.predictor.ending.weight.zero_()
        network.predictor.ending.bias.zero_()
        network.denoised = lambda how, *args, s=scale, **kw: (residual * s)[None].clone()  # type: ignore[method-assign]
        made = restored_at_once(network, picture, 2)
        assert torch.allclose(made * 2 - 1, (picture * 2 - 1 + residual).clamp(-1, 1), atol=1e-5)


def test_with_continuous_gamma_the_network_is_told_its_root() -> None:
    network = tiny_dtpm(DTPMSampling(gamma="continuous"))
    told = network.told(torch.tensor([0, 999]))
    assert told.tolist() == pytest.approx([1000 * 0.9999**0.5, 1000 * 4.036e-5**0.5], rel=1e-3)
    assert tiny_dtpm().told(torch.tensor([0, 999])).tolist() == [0, 999]


def test_the_shares_of_the_parts_are_those_of_the_work() -> None:
    network = tiny_dtpm(**TASK)
    assert len(network.parts(4)) == 5
    assert len(tiny_dtpm().parts(4)) == 4
    assert network.parts(4)[1:] == [1.0] * 4
