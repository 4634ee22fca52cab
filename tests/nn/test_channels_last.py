"""``forward_fast`` does the arithmetic of ``forward``: values and gradients, for every kind of configuration."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reference.random_network import on_whole_tensors, random_network
from torch import Tensor

from dfrestore.methods.c2f_dft import C2FDFT

CONFIGS: list[dict[str, Any]] = [
    {},
    {"stem": 2},
    {"stem": 4},
    {"norm": "BiasFree"},
    {"norm": "BiasFree", "stem": 2, "bias": True},
    {"bias": True, "ffn_factor": 2.66, "heads": (2, 1, 4, 8)},
    {"dual_pixel": True, "bias": True},
    {"time_embedding": False},
]


def inputs(network: C2FDFT, batch: int, rows: int, columns: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = (batch, 3, rows * network.multiple, columns * network.multiple)
    return torch.rand(size, generator=generator) * 2 - 1, torch.randn(size, generator=generator)


def with_trained_looking_parameters(network: C2FDFT) -> C2FDFT:
    """Biases, norms and temperatures off their initial 0 and 1, which would hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1 or "temperature" in name:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 2)])
def test_the_output_is_that_of_forward(config: dict[str, Any], rows: int, columns: int) -> None:
    network = with_trained_looking_parameters(random_network(**config)[0])
    y, x_t = inputs(network, 2, rows, columns)
    for t in (torch.tensor([417.0]), torch.tensor([3.0, 999.0])):
        with torch.no_grad():
            expected = network(y, x_t, t.expand(2))
            got = on_whole_tensors(network, y, x_t, t)
        assert got.dtype == y.dtype
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_gradients_are_those_of_forward(config: dict[str, Any]) -> None:
    network = with_trained_looking_parameters(random_network(**config)[0]).double()
    y, x_t = (image.double() for image in inputs(network, 2, 1, 2))
    x_t.requires_grad_()
    leaves = [x_t, *(p for p in network.parameters())]
    t = torch.tensor([120.0, 879.0])
    # fp64, so that only the order of the sums differs
    slow = torch.autograd.grad(network(y, x_t, t).square().mean(), leaves)
    fast = torch.autograd.grad(on_whole_tensors(network, y, x_t, t, dtype=torch.float64).square().mean(), leaves)
    for a, b in zip(slow, fast, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-7, atol=1e-9 * max(1.0, a.abs().max().item()))


def test_bf16_stays_near_fp32() -> None:
    network = random_network(stem=2)[0]
    y, x_t = inputs(network, 1, 2, 2)
    t = torch.tensor([500.0])
    with torch.no_grad():
        exact, half = on_whole_tensors(network, y, x_t, t), on_whole_tensors(network, y, x_t, t, dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    change = (exact - y).std()
    assert (half - exact).std() < 0.05 * change


def test_each_picture_of_a_batch_has_its_own_attention() -> None:
    network = random_network()[0]
    y, x_t = inputs(network, 2, 2, 2)
    t = torch.tensor([500.0])
    with torch.no_grad():
        both = on_whole_tensors(network, y, x_t, t)
        alone = on_whole_tensors(network, y[1:], x_t[1:], t)
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-6)
