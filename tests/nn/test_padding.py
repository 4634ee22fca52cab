from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfrestore.nn.padding import pad, padded_index, round_up


def test_padding_reflects_without_repeating_the_edge() -> None:
    assert padded_index(5, 8).tolist() == [0, 1, 2, 3, 4, 3, 2, 1]


def test_a_side_too_small_to_reflect_repeats_its_last_value() -> None:
    assert padded_index(3, 8).tolist() == [0, 1, 2, 1, 0, 0, 0, 0]
    assert padded_index(1, 4).tolist() == [0, 0, 0, 0]


def test_a_multiple_is_left_alone() -> None:
    image = torch.rand(3, 8, 16)
    assert pad(image, 8) is image


def test_torch_pads_the_same_where_it_can() -> None:
    image = torch.rand(3, 13, 10)
    assert torch.equal(pad(image, 8), torch.nn.functional.pad(image, (0, 6, 0, 3), mode="reflect"))


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([8, 16]))
def test_any_size_becomes_a_multiple_and_keeps_its_pixels(height: int, width: int, multiple: int) -> None:
    image = torch.rand(3, height, width)
    padded = pad(image, multiple)
    assert padded.shape == (3, round_up(height, multiple), round_up(width, multiple))
    assert torch.equal(padded[:, :height, :width], image)
    assert padded.shape[1] - height < multiple
