"""Relative total variation smoothing: the exact result, and what it does to texture, edges and means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Answer
from damaged_photos import scene
from PIL import Image
from reference import rtv

from dfrestore.degrade import KINDS
from dfrestore.degrade.checkerboard import solve
from dfrestore.degrade.texture import PRESETS, smooth, with_texture

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]


def picture(height: int = 32, width: int = 40) -> torch.Tensor:
    """A drawn scene with texture on it, (3, H, W)."""
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1)) - 0.5
    return (torch.from_numpy(scene(height, width)).permute(2, 0, 1) + 0.3 * noise).clamp(0, 1)


def exact(clean: torch.Tensor) -> torch.Tensor:
    """(3, H, W) by the reference."""
    return torch.from_numpy(rtv.smooth(clean.permute(1, 2, 0).numpy())).permute(2, 0, 1)


def variation(pictures: torch.Tensor) -> float:
    return float(pictures.diff(dim=-1).abs().sum() + pictures.diff(dim=-2).abs().sum())


@pytest.mark.parametrize(("height", "width"), [(32, 40), (27, 31), (8, 31), (1, 25), (24, 1), (2, 2), (1, 1)])
def test_it_is_the_exact_solution_at_any_size(height: int, width: int) -> None:
    clean = picture(height, width)
    assert (smooth(clean[None])[0] - exact(clean)).abs().max() < 1e-3


def test_the_systems_are_solved_as_exactly_as_asked() -> None:
    across, down = (250 * torch.rand(1, 1, 21, 26, generator=torch.Generator().manual_seed(i)) ** 8 for i in (1, 2))
    across[..., -1] = down[..., -1, :] = 0
    right = picture(21, 26)[None]
    ties = torch.zeros(21 * 26, 21 * 26, dtype=torch.float64)
    number = torch.arange(21 * 26).view(21, 26)
    for a, b, weight in (
        (number[:, :-1], number[:, 1:], across[0, 0, :, :-1]),
        (number[:-1], number[1:], down[0, 0, :-1]),
    ):
        ties[a.flatten(), b.flatten()] = ties[b.flatten(), a.flatten()] = weight.double().flatten()
    wanted = torch.linalg.solve(torch.eye(21 * 26) + ties.sum(0).diag() - ties, right[0].double().flatten(1).T)
    errors = [
        float((solve(right, across, down, right, tolerance)[0].flatten(1).T - wanted).abs().max())
        for tolerance in (1e-2, 1e-4, 1e-6)
    ]
    assert 0.1 > errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[2] < 5e-5


def test_an_even_picture_stays_as_it_is() -> None:
    for value in (0.0, 0.3, 1.0):
        even = torch.full((1, 3, 20, 31), value)
        assert torch.allclose(smooth(even), even, atol=1e-6)


def test_the_mean_of_each_channel_is_kept() -> None:
    clean = picture()[None]
    assert torch.allclose(smooth(clean).mean((2, 3)), clean.mean((2, 3)), atol=1e-4)


def test_variation_falls() -> None:
    clean = picture()[None]
    assert variation(smooth(clean)) < 0.3 * variation(clean)


def test_an_edge_stays_where_the_noise_on_it_goes() -> None:
    edge = torch.full((1, 3, 64, 64), 0.25)
    edge[..., 32:] = 0.75
    noise = 0.06 * (torch.rand(edge.shape, generator=torch.Generator().manual_seed(2)) - 0.5)
    alone, noisy = smooth(edge), smooth(edge + noise)
    assert float((alone[..., 32] - alone[..., 31]).min()) > 0.9 * 0.5
    assert float((noisy[..., 32] - noisy[..., 31]).min()) > 0.85 * 0.5
    assert float(noisy[..., :28].std()) < 0.2 * float((edge + noise)[..., :28].std())


def test_every_parameter_smooths_more_or_less() -> None:
    clean = picture()[None]
    usual = variation(smooth(clean))
    assert variation(smooth(clean, strength=0.003)) > usual > variation(smooth(clean, strength=0.03))
    assert variation(smooth(clean, sharpness=0.002)) < usual < variation(smooth(clean, sharpness=0.1))
    assert variation(smooth(clean, sigma=1.0)) > usual
    assert variation(smooth(clean, rounds=1)) > usual
    assert torch.equal(smooth(clean, rounds=0), clean)
    assert torch.equal(smooth(clean, sigma=0.1), smooth(clean, sigma=0.5))  # at least half a pixel


def test_a_picture_is_smoothed_alone_as_in_a_batch() -> None:
    batch = torch.stack([picture(), torch.full((3, 32, 40), 0.5), picture().flip(2) ** 3])
    together = smooth(batch)
    assert torch.equal(together, torch.cat([smooth(clean[None]) for clean in batch]))


def test_it_is_the_same_every_time_and_leaves_the_photo_alone() -> None:
    clean = picture()[None]
    copy = clean.clone()
    assert torch.equal(smooth(clean), smooth(clean))
    assert torch.equal(clean, copy)


def test_dtype_and_range_are_kept() -> None:
    clean = picture()[None].round()
    assert smooth(clean.bfloat16()).dtype == torch.bfloat16
    assert 0 <= float(smooth(clean).min()) <= float(smooth(clean).max()) <= 1


def test_what_is_no_picture_is_refused() -> None:
    for wrong in (torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="smoothing needs float pictures"):
            smooth(wrong)


def test_a_picture_that_is_not_finite_comes_to_an_end() -> None:
    assert smooth(torch.full((1, 3, 8, 8), torch.nan)).isnan().all()


# -- the kind


def test_texture_is_what_smoothing_takes_and_a_part_of_it_may_stay() -> None:
    clean = picture()[None]
    kind = KINDS["texture"]
    smoothed = kind.degrade_batch(clean)
    assert torch.equal(smoothed, smooth(clean))
    assert torch.allclose(kind.degrade_batch(clean, "kept25"), smoothed + 0.25 * (clean - smoothed), atol=1e-6)
    assert torch.allclose(with_texture(smoothed, clean, 1.0), clean)
    left = [variation(kind.degrade_batch(clean, preset)) for preset in PRESETS]
    assert left == sorted(left)


def test_nothing_is_drawn() -> None:
    photo = picture().permute(1, 2, 0).numpy()
    apply = KINDS["texture"].apply
    assert np.array_equal(apply(photo, "mixed", 1), apply(photo, "mixed", 2))
    with pytest.raises(ValueError, match="no texture preset 'nothing'; there are mixed, kept25, kept50, kept75"):
        apply(photo, "nothing")


def test_the_command_makes_pairs_of_smooth_and_clean_photos(
    dfrestore: Run, make_photo: MakePhoto, tmp_path: Path
) -> None:
    source = make_photo(tmp_path / "photos" / "a.png", 1, size=(40, 30))
    assert dfrestore("degrade", "texture", tmp_path / "photos", "-o", tmp_path / "pairs").code == 0
    smoothed, clean = (np.asarray(Image.open(tmp_path / "pairs" / side / "a.png")) for side in ("input", "target"))
    assert np.array_equal(clean, np.asarray(Image.open(source)))
    assert variation(torch.from_numpy(smoothed.astype(np.float32))) < variation(
        torch.from_numpy(clean.astype(np.float32))
    )
