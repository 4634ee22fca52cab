"""Products and squared norms of q and k: the same in every precision and with every gradient."""

from __future__ import annotations

import pytest
import torch

from dfrestore.nn.sums import sums


@pytest.mark.parametrize("channels", [16, 80])  # one product of everything in half precision, or two
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.5)])
def test_the_sums_are_those_over_all_positions(channels: int, dtype: torch.dtype, tolerance: float) -> None:
    qk = torch.randn(3, 50, 2 * channels, generator=torch.Generator().manual_seed(0)).to(dtype)
    gram, squares = sums(qk)
    q, k = qk.double().chunk(2, dim=-1)
    assert gram.dtype == squares.dtype == dtype
    torch.testing.assert_close(gram.double(), torch.einsum("bni,bnj->bij", q, k), rtol=0, atol=tolerance)
    torch.testing.assert_close(squares.double(), (qk.double() ** 2).sum(dim=1), rtol=0, atol=tolerance)


def test_the_gradient_is_that_of_the_sums() -> None:
    qk = torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(sums, qk)


def test_nothing_is_kept_for_a_gradient_that_nobody_asked_for() -> None:
    gram, squares = sums(torch.ones(1, 2, 4))
    assert not gram.requires_grad
    assert not squares.requires_grad
