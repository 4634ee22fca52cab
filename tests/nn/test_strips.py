"""``forward_strips`` does the arithmetic of ``forward`` on one picture, whatever the strips."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.random_network import in_strips, random_network
from test_channels_last import CONFIGS, with_trained_looking_parameters
from torch import Tensor

from dfrestore.methods.c2f_dft import C2FDFT
from dfrestore.nn.strips import Strips

T = torch.tensor([417.0])


def network_of(config: dict[str, Any]) -> C2FDFT:
    return with_trained_looking_parameters(random_network(**config)[0])


def pictures(network: C2FDFT, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = (3, rows * network.multiple, columns * network.multiple)
    return torch.rand(size, generator=generator) * 2 - 1, torch.randn(size, generator=generator)


@torch.no_grad()
def both(network: C2FDFT, y: Tensor, x_t: Tensor, strips: Strips) -> tuple[Tensor, Tensor]:
    return in_strips(network, y, x_t, T, strips), network(y[None], x_t[None], T)[0]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (7, 3)])
@pytest.mark.parametrize("height", [1, 2, 3, 7, 0])
def test_the_output_is_that_of_forward(config: dict[str, Any], rows: int, columns: int, height: int) -> None:
    network = network_of(config)
    got, expected = both(network, *pictures(network, rows, columns), Strips(rows=height))
    assert got.dtype == torch.float32
    assert (got - expected).abs().max() < 1e-5 * max(1.0, float(expected.std()))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 30))
def test_the_strips_change_nothing_but_rounding(rows: int, columns: int, height: int) -> None:
    network = network_of({"stem": 2, "bias": True})
    got, expected = both(network, *pictures(network, rows, columns), Strips(rows=height))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_in_double_precision_only_the_order_of_the_sums_differs() -> None:
    network = network_of({"heads": (2, 1, 4, 8)}).double()
    y, x_t = (picture.double() for picture in pictures(network, 3, 4))
    got, expected = both(network, y, x_t, Strips(torch.float64, rows=5))
    assert (got - expected.float()).abs().max() < 3e-7  # the output is float32


def test_the_same_buffers_serve_pictures_of_any_size_one_after_the_other() -> None:
    network, strips = network_of({}), Strips()
    for rows, columns in ((5, 5), (1, 2), (9, 4), (5, 5)):
        got, expected = both(network, *pictures(network, rows, columns), strips)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("strips", [Strips(torch.bfloat16), Strips(features=torch.bfloat16)], ids=["bf16", "stored"])
def test_sixteen_bits_cost_little(strips: Strips) -> None:
    network = network_of({"stem": 2})
    got, expected = both(network, *pictures(network, 6, 6), strips)
    error = float((got - expected).square().mean().sqrt() / expected.std())
    assert 0 < error < 0.02


def test_the_same_strips_give_the_same_bytes() -> None:
    network = network_of({})
    y, x_t = pictures(network, 6, 6)
    first, again = (both(network, y, x_t, Strips(rows=5))[0] for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(("height", "row", "expected"), [(100, 16, [40, 40, 20]), (100, 700, [1] * 100), (3, 1, [3])])
def test_a_strip_holds_the_given_number_of_values(height: int, row: int, expected: list[int]) -> None:
    spans = list(Strips(values=640).spans(height, row))
    assert [end - first for first, end in spans] == expected
    assert spans[-1][1] == height


def test_strips_come_in_whole_multiples_even_where_that_is_too_much() -> None:
    assert [end - first for first, end in Strips(values=10).spans(6, 1000, multiple=2)] == [2, 2, 2]
