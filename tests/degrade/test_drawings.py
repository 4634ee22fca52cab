"""Pictures that are no photos."""

from __future__ import annotations

import torch

from dfrestore.degrade.drawings import drawing


def test_a_drawing_is_a_picture_that_its_seed_decides() -> None:
    for seed in range(12):
        made = drawing(40, 56, seed)
        assert made.shape == (3, 40, 56)
        assert made.min() >= 0
        assert made.max() <= 1
        assert torch.equal(made, drawing(40, 56, seed))
        assert float(made.std()) > 0
    assert not torch.equal(drawing(40, 56, 1), drawing(40, 56, 2))
