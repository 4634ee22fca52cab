"""Snow: flakes of three layers, how they fall, and the veil."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dfrestore.degrade.snow import Flakes, SnowParams, add_snow, sample_many

WHITE = (1.0, 1.0, 1.0)
NIGHT = torch.zeros(3, 200, 200)


def seen(*layers: Flakes, **fields: object) -> torch.Tensor:
    """Snow at night, (200, 200)."""
    return add_snow(NIGHT, SnowParams(layers, colour=WHITE, **fields))[0]  # type: ignore[arg-type]


def test_no_snow_changes_nothing() -> None:
    clean = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(add_snow(clean, SnowParams(())), clean, atol=1e-6)
    assert torch.allclose(add_snow(clean, SnowParams((Flakes(0.0, 2.0),))), clean, atol=1e-6)


@pytest.mark.parametrize("radius", [1.5, 4.0, 10.0])
def test_coverage_is_how_many_lie_over_a_pixel(radius: float) -> None:
    covered = torch.stack([seen(Flakes(0.1, radius, opacity=1.0, softness=0.3), seed=seed) for seed in range(6)])
    assert 0.045 < float(covered.mean()) < 0.1  # some are smaller and fainter than the layer says


def test_more_coverage_is_more_snow_and_never_more_than_all() -> None:
    thin, dense = seen(Flakes(0.02, 3.0)), seen(Flakes(0.6, 3.0))
    assert float(thin.mean()) < float(dense.mean()) / 8
    assert float(dense.max()) <= 1


def test_translucent_flakes_let_the_picture_through() -> None:
    assert float(seen(Flakes(0.02, 8.0, opacity=0.3, softness=0.2)).max()) == pytest.approx(0.3, abs=0.12)


def test_flakes_are_white_on_black_and_nothing_on_white() -> None:
    white = torch.ones(3, 60, 60)
    assert torch.allclose(add_snow(white, SnowParams((Flakes(0.3, 3.0),), colour=WHITE)), white, atol=1e-6)


def direction(picture: torch.Tensor) -> float:
    """Degrees from the vertical along which neighbours differ least."""
    down, right = torch.gradient(picture)
    tensor = torch.stack(
        [
            torch.stack([(right * right).sum(), (right * down).sum()]),
            torch.stack([(right * down).sum(), (down * down).sum()]),
        ]
    )
    x, y = torch.linalg.eigh(tensor)[1][:, 0].tolist()
    return float((np.degrees(np.arctan2(x, y)) + 90) % 180 - 90)


@pytest.mark.parametrize("angle", [0.0, 30.0, -45.0])
def test_flakes_are_drawn_out_along_their_fall(angle: float) -> None:
    streaks = seen(Flakes(0.2, 1.5, motion=14.0, ragged=0.0), angle=angle, spread=3.0)
    assert direction(streaks) == pytest.approx(angle, abs=6)


def test_the_veil_is_stronger_above() -> None:
    veil = add_snow(NIGHT, SnowParams((), colour=WHITE, veil=0.3, seed=4))[0]
    assert float(veil.mean()) == pytest.approx(0.3, abs=0.08)
    assert float(veil[:60].mean()) > float(veil[-60:].mean())


def test_large_photos_are_drawn_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = Flakes(0.1, 1.0), Flakes(0.05, 3.0, motion=5.0), Flakes(0.05, 10.0)
    whole = seen(*layers)
    monkeypatch.setattr("dfrestore.degrade.snow.MAX_ELEMENTS", 500)
    assert torch.allclose(seen(*layers), whole, atol=1e-5)


def test_near_flakes_are_larger_and_more_translucent() -> None:
    snows = sample_many(200, torch.Generator().manual_seed(0), "mixed")
    for snow in snows:
        radii = [layer.radius for layer in snow.layers]
        assert radii == sorted(radii)
    near = [layer for snow in snows for layer in snow.layers if layer.radius > 4]
    assert max(layer.opacity for layer in near) <= 0.5


def test_impossible_flakes_are_refused() -> None:
    with pytest.raises(ValueError, match="no flakes like this"):
        Flakes(0.1, 0.0)
