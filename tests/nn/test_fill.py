"""The smooth fill that inpainting may start from."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from dfrestore.nn.fill import filled_smoothly


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 9))
def test_what_is_known_stays_and_the_rest_lies_between_known_colours(
    height: int, width: int, share: float, seed: int
) -> None:
    whole = picture(height, width, seed)
    hole = (torch.rand((2, 1, height, width), generator=torch.Generator().manual_seed(seed + 1)) < share).float()
    filled = filled_smoothly(whole, hole)
    for one, of_it, result in zip(whole, hole, filled, strict=True):
        known = (of_it == 0).expand(3, -1, -1)
        assert torch.equal(result[known], one[known])
        if known.any():
            low, high = (bound(one[known].view(3, -1), dim=1) for bound in (torch.amin, torch.amax))
            assert (result >= low[:, None, None] - 1e-5).all()
            assert (result <= high[:, None, None] + 1e-5).all()
        else:
            assert not result.any()


def test_a_plain_picture_is_filled_with_its_colour() -> None:
    plain = torch.full((1, 3, 33, 50), 0.3)
    hole = torch.zeros(1, 1, 33, 50)
    hole[:, :, 5:30, 7:44] = 1
    assert filled_smoothly(plain, hole).allclose(plain, atol=1e-6)


def test_a_gradient_is_gone_through_smoothly() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    hole = torch.zeros(1, 1, 64, 64)
    hole[:, :, 24:40, 24:40] = 1
    assert (filled_smoothly(ramp, hole) - ramp).abs().max() < 0.1


def test_pictures_of_a_batch_are_filled_each_by_itself() -> None:
    whole, hole = picture(20, 30), torch.zeros(2, 1, 20, 30)
    hole[0, :, 2:9, 3:20] = 1
    hole[1, :, 12:, :] = 1
    both = filled_smoothly(whole, hole)
    for i in range(2):
        assert torch.equal(both[i : i + 1], filled_smoothly(whole[i : i + 1], hole[i : i + 1]))
