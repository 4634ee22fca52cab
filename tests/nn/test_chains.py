"""Chains of convolutions in strips and on whole tensors are the modules one after the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dfrestore.nn import LayerNorm2d, ResidualConvs, Strips, Whole, modulated
from dfrestore.nn.chains import enlarged, values
from dfrestore.nn.norm import Norm


def conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def extracting() -> list[nn.Module]:
    """As in a network that extracts a vector."""
    residual = [ResidualConvs(6, 0.1) for _ in range(3)]
    return [conv(12, 6), nn.LeakyReLU(0.1), *residual, conv(6, 9), nn.LeakyReLU(0.1)]


def enlarging() -> list[nn.Module]:
    """As at the end of a network for super-resolution."""
    return [conv(5, 20), nn.PixelShuffle(2), conv(5, 20), nn.PixelShuffle(2), conv(5, 3)]


def randomly(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def seeded(chain: list[nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*chain).double().requires_grad_(False)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 13), st.integers(1, 7), st.integers(1, 20))
def test_a_picture_made_in_strips_is_that_of_the_modules(height: int, width: int, rows: int) -> None:
    chain, x = seeded(enlarging()), randomly(1, 5, height, width)
    residual = randomly(1, 3, height, width).float()
    expected = chain(x).float() + enlarged(residual, 4 * height)
    how = Strips(torch.float64, rows=rows)
    got = how.write_chain(x.permute(0, 2, 3, 1).contiguous(), list(chain), residual)
    torch.testing.assert_close(got, expected, rtol=0, atol=3e-7)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 13), st.integers(1, 7), st.integers(1, 20))
def test_an_average_taken_in_strips_is_that_of_the_modules(height: int, width: int, rows: int) -> None:
    chain, picture = seeded(extracting()), randomly(1, 3, 2 * height, 2 * width)
    expected = chain(nn.functional.pixel_unshuffle(picture, 2)).mean(dim=(2, 3))
    got = Strips(torch.float64, rows=rows).average([(picture, 2)], list(chain))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_an_average_is_of_pictures_side_by_side_each_unshuffled_by_its_own_number() -> None:
    chain, small, large = seeded([conv(6, 4)]), randomly(1, 2, 6, 5), randomly(1, 1, 12, 10)
    expected = chain(torch.cat([small, nn.functional.pixel_unshuffle(large, 2)], dim=1)).mean(dim=(2, 3))
    for how in (Strips(torch.float64, rows=2), Whole(torch.float64)):
        torch.testing.assert_close(how.average([(small, 1), (large, 2)], list(chain)), expected, rtol=0, atol=1e-12)


def test_whole_tensors_have_the_gradients_of_the_modules() -> None:
    torch.manual_seed(0)
    chain, tail = nn.Sequential(*extracting()).double(), nn.Sequential(*enlarging()).double()
    picture, x = randomly(2, 3, 6, 8).requires_grad_(), randomly(2, 5, 4, 3).requires_grad_()
    how, leaves = Whole(torch.float64), [picture, x, *chain.parameters(), *tail.parameters()]
    mean = how.average([(picture, 2)], list(chain))
    out = how.write_chain(x.permute(0, 2, 3, 1), list(tail), None)
    expected_mean = chain(nn.functional.pixel_unshuffle(picture, 2)).mean(dim=(2, 3))
    got = torch.autograd.grad(mean.square().sum() + out.square().sum(), leaves)
    expected = torch.autograd.grad(expected_mean.square().sum() + tail(x).square().sum(), leaves)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_no_map_of_a_chain_exists_as_a_whole() -> None:
    strips: list[int] = []
    chain = list(seeded(enlarging()))
    assert values(chain) == [20, 80, 80]  # for a position at its beginning
    Strips(torch.float64, values=2 * 8 * 80, tick=strips.append).write_chain(randomly(1, 64, 8, 5), chain, None)
    assert strips == [2 * 8 * sum(values(chain))] * 32  # two rows at a time


def test_a_picture_of_another_scale_is_added_pixel_by_pixel() -> None:
    x, residual = randomly(1, 4, 6, 5), randomly(1, 3, 4, 6).float()
    last = seeded([conv(5, 12)])[0]
    expected = nn.functional.pixel_shuffle(last(x.permute(0, 3, 1, 2)), 2).float() + enlarged(residual, 8)
    for how in (Strips(torch.float64, rows=3), Whole(torch.float64)):
        torch.testing.assert_close(how.write(x.clone(), last, 2, residual), expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("norm", ["WithBias", "BiasFree"])
def test_a_scaled_and_shifted_norm_is_the_norm_scaled_and_shifted(norm: Norm, batch: int) -> None:
    layer = LayerNorm2d(7, norm).double()
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(batch, 7, 3, 4, dtype=torch.float64, requires_grad=True)
    scale, shift = (torch.randn(batch, 7, dtype=torch.float64, requires_grad=True) for _ in range(2))
    expected = layer(x) * scale[:, :, None, None] + shift[:, :, None, None]
    got = modulated(layer, scale, shift)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    leaves: list[Any] = [x, scale, shift, *layer.parameters()]
    gradients = (torch.autograd.grad((y**3).sum(), leaves, retain_graph=True) for y in (got, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
