"""Discs of points out of focus: size, corners, light."""

from __future__ import annotations

import pytest
import torch

from dfrestore.degrade.dice import throw_dice
from dfrestore.degrade.discs import MAX_RADIUS, POINT, Disc, disc_kernels, sample_disc


@pytest.mark.parametrize("blades", [0, 3, 5, 6, 8])
@pytest.mark.parametrize("radius", [0.3, 2.0, 7.5])
def test_discs_keep_light_and_their_area(blades: int, radius: float) -> None:
    kernel = disc_kernels([Disc(radius, blades, angle=20.0)])[0]
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    assert float(kernel.min()) >= 0
    if radius > 2 and blades != 3:
        area = float(kernel.sum() / kernel.max())
        assert area == pytest.approx(torch.pi * radius**2, rel=0.08)


def test_radius_0_is_a_point() -> None:
    kernel = disc_kernels([POINT])[0]
    assert kernel.shape == (3, 3)
    assert float(kernel[1, 1]) == 1


def test_discs_of_one_batch_have_one_side() -> None:
    kernels = disc_kernels([Disc(2.0), Disc(9.0, 6)])
    assert kernels.shape == (2, 25, 25)
    assert not kernels[0, :8].any()


def test_blades_have_corners_unless_they_are_bent() -> None:
    def corners(roundness: float) -> float:
        kernel = disc_kernels([Disc(10.0, 5, roundness=roundness)])[0]
        return float((kernel - kernel.rot90()).abs().sum())

    assert corners(0.0) > 3 * corners(1.0)


def test_the_rim_may_be_brighter() -> None:
    kernel = disc_kernels([Disc(8.0, rim=0.5)])[0]
    assert float(kernel[10, 16]) > 1.1 * float(kernel[10, 10])


def test_diaphragms_are_drawn_round_and_with_corners() -> None:
    drawn = [sample_disc(dice) for dice in throw_dice(200, torch.Generator().manual_seed(0))]
    assert {disc.blades for disc in drawn} == {0, 5, 6, 7, 8}
    assert all(disc.resized(3.0).radius == 3.0 for disc in drawn)


@pytest.mark.parametrize("fields", [{"radius": -1.0}, {"radius": 2 * MAX_RADIUS}, {"radius": 1.0, "blades": 2}])
def test_impossible_discs_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no disc like this"):
        Disc(**fields)  # type: ignore[arg-type]
