"""Haze: thickness, airlight, horizon, edges, and rain behind a veil."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from damaged_photos import scene

from dfrestore.degrade.fields import along_edges
from dfrestore.degrade.haze import EDGE, HazeParams, add_haze, sample_many
from dfrestore.degrade.streaks import RainParams, StreakLayer

EVEN = HazeParams(thinnest=1.0, thickest=1.0, airlight=(0.7, 0.8, 0.9))
RISING = HazeParams(thinnest=0.0, thickest=3.0, shares=(1.0, 0.0, 0.0))


def picture() -> torch.Tensor:
    return torch.from_numpy(scene()).permute(2, 0, 1)


def test_even_haze_is_airlight_for_what_does_not_come_through() -> None:
    air = torch.tensor(EVEN.airlight).view(3, 1, 1)
    wanted = picture() * np.exp(-1) + air * (1 - np.exp(-1))
    assert torch.allclose(add_haze(picture(), EVEN), wanted, atol=1e-5)


def test_no_haze_changes_nothing() -> None:
    assert torch.allclose(add_haze(picture(), replace(EVEN, thinnest=0.0, thickest=0.0)), picture(), atol=1e-6)


def test_what_is_higher_in_the_picture_is_further_away() -> None:
    black = torch.zeros(3, 60, 80)
    rows = add_haze(black, RISING).mean((0, 2))
    assert (rows.diff() < 0).all()
    assert float(rows[0]) == pytest.approx(0.8 * (1 - np.exp(-3)), abs=0.01)
    assert float(rows[-1]) == pytest.approx(0.0, abs=0.01)


def test_the_horizon_may_lie_anywhere() -> None:
    columns = add_haze(torch.zeros(3, 60, 80), replace(RISING, horizon=90.0)).mean((0, 1))
    assert (columns.diff() > 0).all()


def test_clouds_and_regions_make_it_uneven() -> None:
    black = torch.zeros(3, 90, 90)
    for shares in ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        assert float(add_haze(black, replace(RISING, shares=shares, seed=3)).std()) > 0.03


def test_fields_are_bent_to_the_edges_of_the_picture() -> None:
    guide, field = torch.zeros(2, 1, 1, 64, 64)
    guide[..., 32:] = 0.5
    field[..., 37:] = 1.0  # its edge lies five pixels beside that of the picture
    bent = along_edges(field, guide, 8, EDGE)
    assert int(bent[0, 0, 32].diff().argmax()) == 31
    plain = along_edges(field, torch.zeros_like(guide), 8, EDGE)
    assert float(bent[0, 0, 32].diff().max()) > 3 * float(plain[0, 0, 32].diff().max())


def test_regions_follow_edges_only_where_they_should() -> None:
    halves = torch.full((3, 96, 96), 0.2)
    halves[..., 48:] = 0.8
    regions = replace(RISING, shares=(0.0, 0.0, 1.0), seed=3)
    through = [add_haze(halves, replace(regions, on_edges=on_edges)) for on_edges in (True, False)]
    assert not torch.allclose(*through, atol=0.02)


def test_noise_and_jpeg_come_after_the_haze() -> None:
    clean = add_haze(picture(), EVEN)
    assert 1 < float((add_haze(picture(), replace(EVEN, noise=2.0)) - clean).std()) * 255 < 3
    saved = add_haze(picture(), replace(EVEN, quality=20)) * 255
    assert torch.allclose(saved, saved.round(), atol=1e-3)


def test_a_camera_exposes_a_bright_veil_less() -> None:
    assert torch.allclose(add_haze(picture(), replace(EVEN, exposure=0.8)), 0.8 * add_haze(picture(), EVEN), atol=1e-5)
    drawn = [haze.exposure for haze in sample_many(200, torch.Generator().manual_seed(0), "camera")]
    assert 60 < sum(value < 1 for value in drawn) < 140
    assert min(drawn) >= 0.7


def test_rain_falls_behind_the_veil() -> None:
    rain = RainParams((StreakLayer(coverage=0.5, opacity=1.0),))
    black = torch.zeros(3, 64, 64)
    hazy, stormy = (add_haze(black, replace(EVEN, rain=drops)) for drops in (None, rain))
    seen = (stormy - hazy).amax()
    assert 0.1 < float(seen) <= np.exp(-1) + 1e-3


def test_airlight_is_grey_bluish_or_warm_and_never_pink() -> None:
    for haze in sample_many(300, torch.Generator().manual_seed(0), "mixed"):
        red, green, blue = haze.airlight
        assert min(red, blue) - 0.03 <= green <= max(red, blue) + 0.03
        assert max(haze.airlight) - min(haze.airlight) < 0.18


def test_thickness_must_make_sense() -> None:
    with pytest.raises(ValueError, match="haze is not"):
        HazeParams(thinnest=2.0, thickest=1.0)
