"""What a run that fills holes is judged by: crops of held-out pairs that show something of the hole."""

from __future__ import annotations

import torch
from torch import Tensor

from dfrestore.methods import outline
from dfrestore.training.config import spec_of
from dfrestore.training.distributed import SOLO
from dfrestore.training.photos import Photos
from dfrestore.training.settings import load_preset
from dfrestore.training.validation import HeldOut


def degraded_of(hole: Tensor) -> Tensor:
    """The degraded crop of one pair, 32 pixels wide. hole: (H, W), uint8, 255 in the hole."""
    picture = torch.arange(hole.numel() * 3).reshape(3, *hole.shape).remainder(251).to(torch.uint8)
    config = load_preset("compact-inpaint", overrides={"data": {"validation_size": 32}})
    photos = Photos(("a",), (picture,), inputs=(picture,), masks=(hole.expand(3, -1, -1),))
    held_out = HeldOut(photos, config, outline(spec_of(config)), None, torch.device("cpu"), SOLO)
    (clean,), (degraded,) = held_out.pairs()
    known = degraded[3] == 0
    assert torch.equal(clean[:, known], degraded[:3, known])
    assert not degraded[:3, ~known].any()
    return degraded


def test_a_hole_far_from_the_middle_is_looked_at() -> None:
    hole = torch.zeros((100, 140), dtype=torch.uint8)
    hole[97:100, 3:8] = 255
    assert int(degraded_of(hole)[3].sum()) == 15


def test_a_hole_in_the_middle_leaves_the_crop_there() -> None:
    hole = torch.zeros((100, 140), dtype=torch.uint8)
    hole[34, 54] = hole[0, 0] = 255
    assert degraded_of(hole)[3].nonzero().tolist() == [[0, 0]]
