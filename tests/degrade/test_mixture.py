"""Damage of several kinds, with how severe each is."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from torch import Tensor

from dfrestore.degrade.dice import throw_dice
from dfrestore.degrade.fields import seeded
from dfrestore.degrade.mixture import TOGETHER, damaged, draw_kinds, draw_mixture
from dfrestore.severities import DAMAGES, psnr_of

NAMES = tuple(DAMAGES)


def a_photo(side: int = 96) -> Tensor:
    """Soft shapes with some texture."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(1, 3, 9, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)[0]
    return (smooth + 0.05 * torch.rand(3, side, side, generator=generator)).clamp(0, 1)


def test_the_groups_hold_every_kind_once() -> None:
    assert sorted(itertools.chain(*TOGETHER)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_one_kind_alone_has_the_severity_of_what_it_did(name: str) -> None:
    photo = a_photo()
    made = damaged(photo, [name], 3)
    assert made.picture.shape == photo.shape
    index = NAMES.index(name)
    left = psnr_of(float((made.picture - photo).square().mean()))
    assert float(made.severities[index]) == pytest.approx(DAMAGES[name].severity(left), abs=0.01)
    assert float(made.severities[index]) > 0
    assert int((made.severities > 0).sum()) == 1


def test_the_first_kind_of_several_is_as_severe_as_alone() -> None:
    photo = a_photo()
    both, alone = damaged(photo, ["jpeg", "motion"], 4), damaged(photo, ["motion"], 4)
    assert both.severities[NAMES.index("motion")] == alone.severities[NAMES.index("motion")]
    assert both.severities[NAMES.index("jpeg")] > 0
    assert not torch.equal(both.picture, alone.picture)


def test_what_befalls_a_photo_later_is_put_on_later_whatever_the_order_of_names() -> None:
    photo = a_photo()
    assert torch.equal(damaged(photo, ["noise", "haze"], 1).picture, damaged(photo, ["haze", "noise"], 1).picture)


def test_the_seed_decides_everything() -> None:
    photo = a_photo()
    seeds = range(40)
    first, second = ([draw_mixture(photo, seed) for seed in seeds] for _ in range(2))
    assert all(torch.equal(a.picture, b.picture) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a.severities, b.severities) for a, b in zip(first, second, strict=True))
    assert len({float(made.picture.sum()) for made in first}) > 30
    assert all(torch.equal((made.picture * 255).round() / 255, made.picture) for made in first)


def test_many_are_spared_and_of_a_group_there_is_one_at_most() -> None:
    drawn = [draw_kinds(throw_dice(1, seeded(seed))[0]) for seed in range(600)]
    counts = [len(kinds) for kinds in drawn]
    assert 0.15 < counts.count(0) / 600 < 0.3
    assert counts.count(1) > counts.count(2) > 0
    assert counts.count(3) > 0
    assert {name for kinds in drawn for name in kinds} == set(NAMES)
    assert all(len(set(group) & set(kinds)) <= 1 for kinds in drawn for group in TOGETHER)
    times = Counter(name for kinds in drawn for name in kinds)
    assert times["drops"] > 1.5 * times["snow"]  # drops are learnt slowly
