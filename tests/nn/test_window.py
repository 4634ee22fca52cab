"""Local statistics: windows of cells, matrices between their centres, the same in every way to compute them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.local_attention import local_attention
from reference.random_network import in_strips, on_whole_tensors, random_network
from test_channels_last import with_trained_looking_parameters
from torch import Tensor

from dfrestore.methods.c2f_dft import C2FDFT
from dfrestore.nn import AttentionBranch, TransposedAttention
from dfrestore.nn.cells import Grid, axis, cells_of, grid, pieces
from dfrestore.nn.strips import Strips
from dfrestore.nn.window import mix
from dfrestore.windows import Windows

T = torch.tensor([417.0])


def attention_of(channels: int = 8, heads: int = 2) -> TransposedAttention:
    attn = TransposedAttention(channels, heads).double().requires_grad_(False)
    attn.temperature += torch.tensor([0.3, 2.0]).view(2, 1, 1)
    return attn


def features(height: int, width: int, channels: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, height, width, channels, dtype=torch.float64, generator=generator) for _ in range(3)]


def attend(q: Tensor, k: Tensor, v: Tensor, attn: TransposedAttention, cells: Grid) -> Tensor:
    return mix(torch.cat([q, k, v], dim=-1), AttentionBranch(attn, lambda x: x), cells)


def network_of(**config: Any) -> C2FDFT:
    return with_trained_looking_parameters(random_network(**config)[0])


def pictures(height: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, height, width, generator=generator) * 2 - 1, torch.randn(3, height, width, generator=generator)


@pytest.mark.parametrize("window", [16, 32, 70])
def test_attention_is_that_of_the_literal_reference(window: int) -> None:
    q, k, v = features(50, 70)
    attn, cells = attention_of(), grid(50, 70, window)
    torch.testing.assert_close(attend(q, k, v, attn, cells), local_attention(q, k, v, attn, cells), rtol=0, atol=1e-12)


def test_what_is_smooth_stays_smooth_across_the_borders_of_cells() -> None:
    q, k, _ = features(128, 128)
    ramp = torch.linspace(0.5, 1.5, 128, dtype=torch.float64)
    v = (ramp[:, None] + ramp)[None, :, :, None] * torch.arange(8).expand(2, 1, 1, 8)
    attn, cells = attention_of(), grid(128, 128, 32)  # other statistics in each window: q and k are noise
    change = attend(q, k, v, attn, cells) - attend(q, k, v, attn, grid(128, 128, 128))
    assert change.abs().max() > 1e-3
    for axis_of_picture, side, step in ((1, cells.rows.side, cells.rows.step_rows), (2, cells.columns.side, 1)):
        places = range(step - 1, 127, step)  # down, from step to step
        jumps = change.diff(dim=axis_of_picture).abs().mean(dim=(0, 3 - axis_of_picture, 3))[list(places)]
        at_border = torch.tensor([(place + 1) % side == 0 for place in places])
        assert jumps[at_border].mean() < 1.3 * jumps[~at_border].mean()


def test_gradients_reach_what_the_statistics_come_from() -> None:
    leaves = [x[:1, ..., :4].clone().requires_grad_() for x in features(36, 36)]
    attn, cells = TransposedAttention(4, 2).double(), grid(36, 36, 8)
    with torch.inference_mode():  # what is kept from one call to the next must serve both
        attend(*(x.detach() for x in leaves), attn, cells)
    assert torch.autograd.gradcheck(lambda *qkv: attend(*qkv, attn, cells), leaves, fast_mode=True)


@given(st.integers(1, 3000), st.integers(8, 600))
def test_cells_cover_the_axis_and_windows_lie_inside(length: int, window: int) -> None:
    got = axis(length, window)
    assert (got.cells - 1) * got.side < length <= got.cells * got.side
    assert got.side % (2 * got.step_rows) == 0
    assert got.step_rows == 1 or got.side / got.step_rows >= 8
    for i in range(got.cells):  # windows are shifted at the borders, and do not shrink
        assert got.window(i)[0] >= 0
        assert got.window(i)[-1] < got.cells
        assert i in got.window(i)
    assert sum(got.weights) * got.side >= min(window, length) * 0.7


@given(st.integers(1, 600), st.integers(8, 600))
def test_a_picture_no_larger_than_the_window_has_one_window(length: int, window: int) -> None:
    assert grid(length, min(length, 5), window).whole or length > window


def test_a_long_axis_has_windows_of_the_asked_size_in_steps_of_a_quarter() -> None:
    got = axis(640, 64)
    assert (got.side, got.cells, got.weights) == (16, 40, (0.5, 1, 1, 1, 0.5))
    assert [got.window(i) for i in (0, 1, 20, 39)] == [range(5), range(5), range(18, 23), range(35, 40)]


@given(st.integers(1, 500), st.integers(8, 200))
def test_bands_cover_the_axis_and_lie_between_the_centres_of_their_cells(length: int, window: int) -> None:
    rows = axis(length, window)
    found = [(*rows.band(i), *rows.neighbours(i)) for i in range(rows.bands)]
    assert [first for first, *_ in found] == [0, *(end for _, end, *_ in found[:-1])]
    assert found[-1][1] == length
    for first, end, above, below in found:
        assert above in (below, below - 1)
        inside = [place / rows.side - 0.5 for place in (first + 0.5, end - 0.5) if first < end]
        assert all(above <= x <= below or x < 0 or x > rows.cells - 1 for x in inside)


@given(st.integers(1, 500), st.integers(8, 200), st.integers(1, 300), st.data())
def test_pieces_cover_their_bands_in_order_and_do_not_cross_the_end_of_the_ring(
    length: int, window: int, most: int, data: st.DataObject
) -> None:
    rows = axis(length, window)
    first = data.draw(st.integers(0, rows.bands))
    bands, ring = range(first, data.draw(st.integers(first, rows.bands))), data.draw(st.integers(1, rows.bands))
    found = list(pieces(rows, bands, most, ring))
    spans = [piece.of(rows) for piece in found]
    if bands and rows.band(bands[0])[0] < length:
        assert spans[0][0] == rows.band(bands[0])[0]
        assert spans[-1][1] == rows.band(bands[-1])[1]
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    for piece in found:
        assert piece.bands[0] % ring + len(piece.bands) <= ring
        assert len(piece.bands) == 1 or (piece.rows == range(rows.side) and len(piece.bands) * rows.side <= most)
        assert len(piece.rows) < 1.5 * most + rows.step_rows or len(piece.bands) > 1
        assert piece.rows.start % rows.step_rows == 0  # a step is never cut, but by the picture's end
        assert piece.rows.stop % rows.step_rows == 0 or piece.of(rows)[1] == length


@pytest.mark.parametrize(
    "config", [{}, {"stem": 2, "bias": True}, {"norm": "BiasFree", "heads": (2, 1, 4, 8)}], ids=str
)
@pytest.mark.parametrize(("window", "rows"), [(16, 0), (16, 3), (40, 1), (64, 7)])
def test_strips_compute_what_the_differentiable_way_does(config: dict[str, Any], window: int, rows: int) -> None:
    network = network_of(**config)
    y, x_t = pictures(112, 80)
    with torch.no_grad():
        expected = on_whole_tensors(network, y[None], x_t[None], T, windows=Windows(window))[0]
        got = in_strips(network, y, x_t, T, Strips(rows=rows, windows=Windows(window)))
        assert (expected - network(y[None], x_t[None], T)[0]).abs().max() > 1e-3  # it is not the whole picture's
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_a_window_as_large_as_the_picture_gives_the_whole_pictures_result() -> None:
    network = network_of(stem=2)
    y, x_t = pictures(96, 128)
    with torch.no_grad():
        got = in_strips(network, y, x_t, T, Strips(windows=Windows(128)))
        assert torch.equal(got, in_strips(network, y, x_t, T, Strips()))


def test_the_statistics_of_a_place_do_not_know_what_is_far_away() -> None:
    network = network_of()
    y, x_t = pictures(64, 640)
    other = y.clone()
    other[:, :, 500:] = -1
    with torch.no_grad():
        near, far = (in_strips(network, image, x_t, T, Strips(windows=Windows(64)))[:, :, :96] for image in (y, other))
        whole, changed = (in_strips(network, image, x_t, T, Strips())[:, :, :96] for image in (y, other))
    assert (near - far).abs().max() < 1e-6 < (whole - changed).abs().max()


@pytest.mark.parametrize("rows", [0, 3])
def test_windows_at_some_levels_leave_the_others_with_the_whole_pictures_statistics(rows: int) -> None:
    network, (y, x_t) = network_of(), pictures(112, 80)
    with torch.no_grad():
        of = {
            levels: in_strips(network, y, x_t, T, Strips(rows=rows, windows=Windows(32, levels)))
            for levels in ((), (1, 2, 3, 4), (2,))
        }
        expected = on_whole_tensors(network, y[None], x_t[None], T, windows=Windows(32, (2,)))[0]
        whole = in_strips(network, y, x_t, T, Strips(rows=rows))
    assert torch.equal(of[()], of[1, 2, 3, 4])
    torch.testing.assert_close(of[2,], expected, rtol=0, atol=1e-4)
    assert not torch.allclose(of[2,], of[()], atol=1e-3)
    assert not torch.allclose(of[2,], whole, atol=1e-3)


def test_only_the_levels_asked_for_have_cells() -> None:
    assert cells_of(None, 1, 64, 64, 256) is None
    assert cells_of(Windows(64, (2,)), 1, 64, 64, 256) is None
    assert cells_of(Windows(64, (2,)), 2, 64, 64, 256) == cells_of(Windows(64), 2, 64, 64, 256) == grid(64, 64, 16)


@pytest.mark.parametrize("strips", [{"features": torch.bfloat16}, {"dtype": torch.bfloat16}], ids=["stored", "bf16"])
@pytest.mark.parametrize("levels", [(), (1,), (1, 2)])
def test_16_bit_costs_windows_no_more_than_the_whole_picture(strips: dict[str, Any], levels: tuple[int, ...]) -> None:
    network, (y, x_t) = network_of(stem=2), pictures(208, 144)

    def error(windows: Windows | None) -> float:
        exact = in_strips(network, y, x_t, T, Strips(windows=windows))
        return float((in_strips(network, y, x_t, T, Strips(windows=windows, **strips)) - exact).abs().mean())

    with torch.no_grad():
        assert 0 < error(Windows(48, levels)) < 1.3 * error(None)
