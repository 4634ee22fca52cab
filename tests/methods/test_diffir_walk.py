"""DiffIR on whole tensors and in strips is its ``forward``: values and gradients, for every kind of configuration."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.random_diffir import tiny_diffir, tiny_diffir_s1
from torch import Tensor

from dfrestore.methods.diffir import DiffIR
from dfrestore.methods.diffir.blocks import GatedFeedForward
from dfrestore.nn import Strips, Whole
from dfrestore.windows import parse

CONFIGS: list[dict[str, Any]] = [
    {},
    {"norm": "BiasFree", "dim": 10, "heads": (2, 1, 5, 4), "prior_features": 3, "denoiser_layers": 3},
    {"scale": 4, "tail": True, "prior_stem": 1, "ffn_factor": 2.2, "norm": "BiasFree"},
    {"scale": 2, "stem": 2, "tail": True, "prior_stem": 2, "bias": True},
    {"scale": 1, "stem": 4, "tail": True, "prior_blocks": 0, "denoiser_layers": 0},
    {"mask": True, "residual": False, "refinement": 0, "ffn_factor": 1.8, "bias": True},
    {"mask": True, "stem": 2},
    {"scale": 3, "prior_stem": 2},
    {"scale": 2, "stem": 2, "prior_stem": 1, "refinement": 2},
]


def inputs(network: DiffIR, batch: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = rows * network.multiple, columns * network.multiple
    lq = torch.rand((batch, network.config.planes, *sides), generator=generator)
    return lq, torch.randn((batch, network.config.code), generator=generator)


def assert_near(got: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < tolerance * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("height", [1, 3, 0])
def test_strips_of_any_height_compute_forward(config: dict[str, Any], rows: int, columns: int, height: int) -> None:
    network = tiny_diffir(**config)
    lq, z = inputs(network, 1, rows, columns)
    got = network.walk(Strips(rows=height), lq, z)
    assert got.dtype == torch.float32
    assert_near(got, network(lq, z))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(CONFIGS), st.integers(1, 5), st.integers(1, 5), st.integers(1, 40))
def test_in_fp64_the_strips_change_nothing_but_the_order_of_sums(
    config: dict[str, Any], rows: int, columns: int, height: int
) -> None:
    network = tiny_diffir(**config).double()
    lq, z = (x.double() for x in inputs(network, 1, rows, columns))
    assert_near(network.walk(Strips(torch.float64, rows=height), lq, z), network(lq, z), 3e-7)  # a picture is fp32


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_whole_tensors_have_the_values_and_gradients_of_forward(config: dict[str, Any]) -> None:
    network = tiny_diffir(**config).double().requires_grad_()
    lq, z = (x.double().requires_grad_() for x in inputs(network, 2, 1, 2))
    leaves = [lq, z, *network.parameters()]
    slow, fast = network(lq, z), network.walk(Whole(torch.float64), lq, z)
    assert_near(fast.detach(), slow.detach(), 1e-12)
    gradients = (torch.autograd.grad(out.square().mean(), leaves) for out in (slow, fast))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-7, atol=1e-9 * max(1.0, a.abs().max().item()))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_stage_1_sees_the_ground_truth_in_all_ways(config: dict[str, Any]) -> None:
    network = tiny_diffir_s1(**config)
    lq, _ = inputs(network, 1, 2, 1)  # type: ignore[arg-type]
    height, width = (side * network.scale for side in lq.shape[2:])
    truth = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(1))
    expected = network(lq, truth)
    assert_near(network.walk(Whole(), lq, truth), expected)
    assert_near(network.walk(Strips(rows=3), lq, truth), expected)
    assert (network(lq, 1 - truth) - expected).abs().max() > 1e-4


def test_each_picture_of_a_batch_has_its_own_prior_and_attention() -> None:
    network = tiny_diffir()
    lq, z = inputs(network, 2, 2, 2)
    both = network.walk(Whole(), lq, z)
    assert_near(both[1:], network.walk(Whole(), lq[1:], z[1:]))


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[2]], ids=str)
@pytest.mark.parametrize("strips", [Strips(torch.bfloat16), Strips(features=torch.bfloat16)], ids=["bf16", "stored"])
def test_sixteen_bits_cost_little(config: dict[str, Any], strips: Strips) -> None:
    network = tiny_diffir(**config)
    lq, z = inputs(network, 1, 4, 4)
    got, expected = network.walk(strips, lq, z), network(lq, z)
    error = float((got - expected).square().mean().sqrt() / expected.std())
    assert 0 < error < 0.03


@pytest.mark.parametrize("height", [1, 7, 0])
def test_windows_in_strips_are_those_of_whole_tensors(height: int) -> None:
    network, windows = tiny_diffir(norm="BiasFree"), parse("32")
    lq, z = inputs(network, 1, 10, 9)
    local = network.walk(Whole(windows=windows), lq, z)
    assert_near(network.walk(Strips(windows=windows, rows=height), lq, z), local)
    assert (local - network(lq, z)).abs().max() > 1e-4


@pytest.mark.parametrize(("hidden", "padded"), [(8, 8), (9, 12), (130, 144), (144, 144)])
def test_odd_widths_are_padded_with_channels_that_change_nothing(hidden: int, padded: int) -> None:
    torch.manual_seed(0)
    ffn = GatedFeedForward(6, hidden, bias=True, code=2).requires_grad_(False).double()
    wide = ffn.padded()
    assert wide.project_out.in_channels == padded
    wide.kernel = ffn.kernel
    x, z = torch.rand(1, 6, 5, 4, dtype=torch.float64), torch.rand(1, 2, dtype=torch.float64)
    torch.testing.assert_close(wide(x, z), ffn(x, z), rtol=0, atol=1e-12)


def test_the_same_strips_give_the_same_bytes() -> None:
    network = tiny_diffir(scale=4, tail=True, prior_stem=1)
    lq, z = inputs(network, 1, 3, 3)
    first, again = (network.walk(Strips(rows=5), lq, z) for _ in range(2))
    assert torch.equal(first, again)
