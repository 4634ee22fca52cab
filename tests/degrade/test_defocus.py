"""Defocus: layers, discs, and what covers what."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from damaged_photos import scene

from dfrestore.degrade.blur import GAMMA
from dfrestore.degrade.defocus import MAX_LAYERS, DefocusParams, add_defocus, sample_many

EVEN = DefocusParams((5.0,))
# the upper half far and out of focus, the lower near and sharp
GROUND = DefocusParams((8.0, 0.0), borders=(0.5,), shares=(1.0, 0.0), on_edges=False)


def picture() -> torch.Tensor:
    return torch.from_numpy(scene()).permute(2, 0, 1)


def noise() -> torch.Tensor:
    return torch.rand(3, 120, 120, generator=torch.Generator().manual_seed(1))


def test_what_is_in_focus_stays_as_it_is() -> None:
    assert torch.allclose(add_defocus(picture(), replace(EVEN, radii=(0.0,))), picture(), atol=1e-5)


def test_an_even_picture_stays_even() -> None:
    grey = torch.full((3, 60, 80), 0.4)
    for view in (EVEN, GROUND, replace(GROUND, radii=(0.0, 8.0))):
        assert torch.allclose(add_defocus(grey, view), grey, atol=2e-3)


def test_light_is_averaged_and_not_pixel_values() -> None:
    stripes = torch.zeros(3, 64, 64)
    stripes[:, :, ::2] = 0.8
    middle = add_defocus(stripes, EVEN)[:, 20:44, 20:44]
    assert float(middle.mean()) == pytest.approx((0.8**GAMMA / 2) ** (1 / GAMMA), abs=0.02)


def test_a_point_of_light_becomes_a_disc() -> None:
    night = torch.zeros(3, 61, 61)
    night[:, 30, 30] = 1.0
    disc = add_defocus(night, replace(EVEN, highlight=50.0))[0] ** GAMMA
    assert int((disc > 0.5 * disc.max()).sum()) == pytest.approx(torch.pi * 25, rel=0.15)
    assert float(disc[30, 30]) == pytest.approx(float(disc[30, 33]), abs=0.02)


def test_each_layer_has_its_own_disc() -> None:
    change = (add_defocus(noise(), GROUND) - noise()).abs().mean((0, 2))
    assert float(change[:40].mean()) > 0.15
    assert float(change[80:].mean()) < 1e-3


def test_near_blur_spreads_over_what_is_sharp_behind_it_and_not_the_other_way_round() -> None:
    # sharp far stripes above, a blurred near white below
    view = replace(GROUND, radii=(0.0, 8.0))
    clean = torch.zeros(3, 120, 60)
    clean[:, 60:] = 1.0
    over = add_defocus(clean, view)[0, :, 30]
    assert float(over[56]) > 0.2
    # blurred far white above, sharp near black below: nothing of it falls on what is near
    clean = torch.ones(3, 120, 60)
    clean[:, 60:] = 0.0
    under = add_defocus(clean, GROUND)[0, :, 30]
    assert float(under[64]) < 0.05


def test_layers_may_follow_the_edges_of_the_picture() -> None:
    view = DefocusParams((8.0, 0.0), borders=(0.5,), shares=(0.3, 0.7), on_edges=False, seed=2)
    assert not torch.allclose(
        add_defocus(picture(), view), add_defocus(picture(), replace(view, on_edges=True)), atol=0.02
    )


def test_noise_is_not_blurred() -> None:
    grey = torch.full((3, 64, 64), 0.5)
    grainy = add_defocus(grey, replace(EVEN, noise=3.0))
    assert float(grainy.std()) * 255 == pytest.approx(3.0, rel=0.1)


def test_mixed_is_all_from_slight_to_12_pixels_with_one_to_six_layers() -> None:
    views = sample_many(400, torch.Generator().manual_seed(0), "mixed")
    largest = [max(view.radii) for view in views]
    assert min(largest) < 1
    assert 11 < max(largest) <= 12
    assert {len(view.radii) for view in views} == set(range(1, MAX_LAYERS + 1))
    assert 0.5 < sum(min(view.radii) == 0 for view in views) / 400 < 0.95
    assert all(view.borders == tuple(sorted(view.borders)) for view in views)


def test_layers_without_borders_are_refused() -> None:
    with pytest.raises(ValueError, match="2 layers with 0 borders"):
        DefocusParams((1.0, 2.0))
