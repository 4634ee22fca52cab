"""Drops on the glass: where they are, what they show, and how the lens blurs them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from damaged_photos import scene

from dfrestore.degrade.discs import Disc
from dfrestore.degrade.drops import DropsParams, add_drops, sample_many

PLAIN = DropsParams(0.2, 8.0, light=1.0, below=0.0, rim=0.0, glint=0.0, opacity=1.0)


def picture() -> torch.Tensor:
    return torch.from_numpy(scene(192, 256)).permute(2, 0, 1)


def changed(clean: torch.Tensor, glass: DropsParams) -> torch.Tensor:
    """Where the picture is another, (H, W)."""
    return (add_drops(clean, glass) - clean).abs().amax(0) > 0.01


def test_no_drops_change_nothing() -> None:
    assert torch.allclose(add_drops(picture(), replace(PLAIN, coverage=0.0)), picture(), atol=2e-3)


def test_what_lies_between_drops_is_left_alone() -> None:
    glass = replace(PLAIN, coverage=0.1)
    assert 0.02 < float(changed(picture(), glass).float().mean()) < 0.2


@pytest.mark.parametrize("coverage", [0.05, 0.3])
def test_coverage_is_about_what_is_covered(coverage: float) -> None:
    grey = torch.full((3, 200, 200), 0.5)
    shares = [
        float(changed(grey, replace(PLAIN, coverage=coverage, light=0.5, seed=seed)).float().mean())
        for seed in range(6)
    ]
    assert 0.5 * coverage < sum(shares) / 6 < 1.4 * coverage


def test_an_even_picture_shows_no_plain_drops() -> None:
    even = torch.full((3, 64, 64), 0.5)
    assert (
        float((add_drops(even, replace(PLAIN, light=1.0)) - even).abs().max()) < 0.1
    )  # drops differ a little in light


def test_drops_show_the_scene_upside_down() -> None:
    # light above, dark below: in a drop it is the other way round
    steps = torch.linspace(1.0, 0.0, 120).view(1, -1, 1).repeat(3, 1, 120)
    up = 0
    for seed in range(8):
        seen = add_drops(steps, replace(PLAIN, radius=12.0, spread=0.0, strength=4.0, seed=seed))
        gradient = seen[0].diff(dim=0)
        up += int(
            (gradient[changed(steps, replace(PLAIN, radius=12.0, spread=0.0, strength=4.0, seed=seed))[:-1]] > 0)
            .float()
            .mean()
            > 0.5
        )
    assert up >= 6


def test_a_dark_rim_and_a_lighter_lower_side() -> None:
    grey = torch.full((3, 160, 160), 0.5)
    plain, rimmed = (add_drops(grey, replace(PLAIN, radius=14.0, rim=rim)) for rim in (0.0, 0.9))
    assert float(rimmed.min()) < 0.6 * float(plain.min())
    below = add_drops(grey, replace(PLAIN, radius=14.0, below=0.6))
    assert float(below.max()) > float(plain.max()) + 0.05


def test_drops_catch_the_sky() -> None:
    dusk = torch.full((3, 160, 160), 0.1)
    dusk[:, :30] = 0.9
    dull, bright = (add_drops(dusk, replace(PLAIN, sky=sky)) for sky in (0.0, 0.5))
    assert float(bright[:, 80:].mean()) > float(dull[:, 80:].mean()) + 0.02


def test_drops_show_the_end_of_the_scene_and_nothing_beyond() -> None:
    # only the border is white: drops that look far beyond it are white at their rims, without mirrored patterns inside
    framed = torch.zeros(3, 120, 120)
    framed[:, :12] = framed[:, -12:] = 1.0
    seen = add_drops(framed, replace(PLAIN, radius=14.0, spread=0.0, strength=30.0))[0, 20:-20]
    crossings = ((seen[1:] > 0.5) != (seen[:-1] > 0.5)).sum(0)
    assert int(crossings.max()) <= 16  # two drops and their neighbours, four each


def test_glass_out_of_focus_has_soft_drops() -> None:
    grey = torch.full((3, 128, 128), 0.2)
    sharp, soft = (add_drops(grey, replace(PLAIN, light=4.0, lens=Disc(radius))) for radius in (0.0, 6.0))
    assert float(soft.diff(dim=1).abs().max()) < 0.4 * float(sharp.diff(dim=1).abs().max())
    wide = (soft - grey).abs().amax(0) > 0.01
    assert float(wide.float().mean()) > float(((sharp - grey).abs().amax(0) > 0.01).float().mean())


def test_mixed_has_sharp_and_blurred_drops_of_all_sizes() -> None:
    glasses = sample_many(300, torch.Generator().manual_seed(0), "mixed")
    assert min(glass.radius for glass in glasses) < 4
    assert max(glass.radius for glass in glasses) > 25
    in_focus = sum(glass.lens.radius < 1 for glass in glasses) / 300
    assert 0.15 < in_focus < 0.5


def test_impossible_drops_are_refused() -> None:
    with pytest.raises(ValueError, match="no drops like this"):
        DropsParams(0.1, 0.0)
