from __future__ import annotations

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfrestore.engine.plan import tile_shape
from dfrestore.engine.tiles import spans, starts, tight, tiles, window

MULTIPLE = st.sampled_from([8, 16])


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(2, 20), st.integers(0, 10), MULTIPLE)
def test_spans_of_one_size_cover_a_side_and_overlap_enough(side: int, tile: int, overlap: int, multiple: int) -> None:
    side, tile, overlap = side * multiple, tile * multiple, min(overlap, tile // 2) * multiple
    places = starts(side, tile, overlap, multiple)
    length = min(tile, side)
    assert places[0] == 0
    assert places[-1] + length == side
    for a, b in itertools.pairwise(places):
        assert 0 < b - a <= tile - overlap
        assert b % multiple == 0


def test_spans_are_spread_evenly() -> None:
    gaps = [b - a for a, b in itertools.pairwise(starts(1000 * 8, 256, 32, 8))]
    assert max(gaps) - min(gaps) <= 8


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(2, 20), st.integers(0, 10), MULTIPLE)
def test_tight_spans_are_as_many_but_no_longer_than_needed(side: int, tile: int, overlap: int, multiple: int) -> None:
    side, tile, overlap = side * multiple, tile * multiple, min(overlap, tile // 2) * multiple
    length = tight(side, tile, overlap, multiple)
    places = starts(side, length, overlap, multiple)
    assert length <= max(tile, side)
    assert length <= tile or len(places) == 1
    assert len(places) == len(starts(side, tile, overlap, multiple))
    assert places[-1] + length == side


def test_tight_spans_compute_little_twice() -> None:
    assert tight(1024, 512, 64, 16) == 384  # three of 512 would compute half as much again


def test_a_side_within_a_tile_is_one_span() -> None:
    assert starts(64, 64, 16, 8) == starts(8, 64, 16, 8) == (0,)


@settings(deadline=None)
@given(st.integers(2, 300))
def test_the_window_is_positive_symmetric_and_highest_in_the_middle(length: int) -> None:
    shape = window(length)
    assert (shape > 0).all()
    torch.testing.assert_close(shape, shape.flip(0))
    assert shape.argmax().item() in (length // 2, (length - 1) // 2)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(16, 200), MULTIPLE)
def test_weights_sum_to_one_everywhere(rows: int, columns: int, tile: int, multiple: int) -> None:
    side, overlap = tile_shape(tile, multiple)
    height, width = rows * multiple, columns * multiple
    total = torch.zeros(height, width)
    for place in tiles(spans(height, side, overlap, multiple), spans(width, side, overlap, multiple)):
        assert (place.weight > 0).all()
        total[place.rows, place.columns] += place.weight
    torch.testing.assert_close(total, torch.ones(height, width), rtol=0, atol=1e-6)


def test_a_place_under_one_tile_alone_has_weight_one_exactly() -> None:
    first = spans(96, 64, 16, 8).weights[0]
    assert torch.equal(first[:32], torch.ones(32))


def test_weights_change_smoothly_across_an_overlap() -> None:
    first = spans(448, 256, 64, 8).weights[0]
    assert first.diff().abs().max() < 2 / 64  # a straight line would have 1 / 64


def test_an_odd_tile_is_rounded_up_to_the_networks_multiple() -> None:
    assert tile_shape(100, 16) == (112, 16)
    assert tile_shape(100, 8) == (104, 16)
    assert tile_shape(1024, 16) == (1024, 128)


@settings(deadline=None)
@given(st.integers(1, 3000), MULTIPLE)
def test_a_tile_leaves_room_beside_its_overlap(tile: int, multiple: int) -> None:
    side, overlap = tile_shape(tile, multiple)
    assert side >= tile
    assert side % multiple == overlap % multiple == 0
    assert 0 < overlap <= side // 2
