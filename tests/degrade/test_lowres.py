"""Small pictures: MATLAB's bicubic, its mild damage, and Real-ESRGAN's chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from damaged_photos import SHARED, fingerprint, scene
from PIL import Image

from dfrestore.degrade.dice import throw_dice
from dfrestore.degrade.filters import SHAPES, Filter, sample_filter
from dfrestore.degrade.lowres import (
    PRESETS,
    SCALES,
    LowresParams,
    Noise,
    apply,
    degrade_batch,
    make_small,
    sample_many,
    sample_params,
)
from dfrestore.degrade.resize import bicubic_down

VAL = SHARED / "data" / "val"
needs_small = pytest.mark.skipif(not (VAL / "Set5_lr").is_dir(), reason="pictures reduced by MATLAB are not here")
GOLDEN = {
    "x2": [0.481, 0.2454, 0.5529, 0.1882],
    "x3": [0.483, 0.2416, 0.5569, 0.2549],
    "x4": [0.4811, 0.238, 0.5294, 0.2745],
    "mixed": [0.4811, 0.238, 0.5294, 0.2745],
    "mixed-x2": [0.481, 0.2454, 0.5529, 0.1882],
    "real": [0.4819, 0.2192, 0.4039, 0.3647],
    "real-x2": [0.481, 0.2216, 0.4824, 0.349],
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)


# -- MATLAB's bicubic


def differences(large: Path, small: Path, scale: int) -> np.ndarray:
    """Levels of 255 between our reduction and MATLAB's, (H, W)."""
    wanted = pixels(small).astype(int)
    height, width = wanted.shape[0] * scale, wanted.shape[1] * scale
    clean = tensor(pixels(large)[:height, :width] / np.float64(255))
    found = (bicubic_down(clean[None], scale)[0] * 255).round().permute(1, 2, 0).numpy().astype(int)
    return np.abs(found - wanted).max(axis=2)


@needs_small
@pytest.mark.parametrize("scale", [2, 4])
def test_set5_comes_out_as_from_matlab(scale: int) -> None:
    for small in sorted((VAL / "Set5_lr" / f"lr_x{scale}").glob("*")):
        off = differences(next((VAL / "Set5" / "target").glob(f"{small.stem}*")), small, scale)
        assert off.max() <= 1  # halves that MATLAB's rounding takes to the other side
        assert (off > 0).mean() < 0.012


@needs_small
def test_urban100_comes_out_as_from_matlab_but_for_its_border() -> None:
    for small in sorted((VAL / "Urban100_part" / "lr_x4").glob("*")):  # made before the targets were cut
        off = differences(VAL / "Urban100_part" / "target" / small.name, small, 4)[2:-2, 2:-2]
        assert off.max() <= 1
        assert (off > 0).mean() < 0.02


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_an_even_picture_stays_even_up_to_its_border(scale: int) -> None:
    even = torch.full((1, 3, 12, 24), 0.4)
    assert torch.allclose(bicubic_down(even, scale, eight_bit=False), torch.tensor(0.4), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_weights_are_those_of_the_widened_kernel(scale: int) -> None:
    picture = torch.rand(1, 1, 12 * scale, 12 * scale, generator=seeded(), dtype=torch.float64)
    small = bicubic_down(picture, scale, eight_bit=False)
    places = torch.arange(12 * scale, dtype=torch.float64)
    distance = ((places - (6 * scale + (scale - 1) / 2)) / scale).abs()
    near, far = 1.5 * distance**3 - 2.5 * distance**2 + 1, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    row = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0)) / scale
    wanted = float(row @ picture[0, 0] @ row)
    assert float(small[0, 0, 6, 6]) == pytest.approx(wanted / float(row.sum()) ** 2, abs=1e-9)


def test_sides_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="25 x 24 pixels cannot be reduced by 4"):
        apply(np.zeros((24, 25, 3), np.float32), "x4")


# -- presets


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seed_gives_the_picture_it_always_gave(preset: str) -> None:
    assert fingerprint("lowres", preset) == pytest.approx(GOLDEN[preset], abs=2e-3)


@pytest.mark.parametrize("preset", PRESETS)
def test_pictures_become_smaller_by_the_scale_alone_as_in_a_batch(preset: str) -> None:
    clean = tensor(scene())[None].repeat(3, 1, 1, 1)[..., :96, :120]
    ways = sample_many(3, seeded(2), preset)
    together = degrade_batch(clean, preset, seeded(2))
    assert together.shape == (3, 3, 96 // SCALES[preset], 120 // SCALES[preset])
    for i, way in enumerate(ways):
        assert torch.equal(make_small(clean[i], way), together[i])


@pytest.mark.parametrize("preset", PRESETS)
def test_results_are_8_bit_levels_of_the_dtype_given(preset: str) -> None:
    clean = tensor(scene())[None, :, :24, :24]
    small = degrade_batch(clean, preset, seeded(1))
    assert 0 <= float(small.min()) <= float(small.max()) <= 1
    if "mixed" not in preset:  # noise of mixed is rounded where pairs are
        assert torch.allclose(small * 255, (small * 255).round(), atol=1e-3)
    assert degrade_batch(clean.bfloat16(), preset, seeded(1)).dtype == torch.bfloat16


def test_the_clean_picture_is_left_alone() -> None:
    clean = tensor(scene())[None, :, :48, :48]
    copy = clean.clone()
    for preset in ("x4", "mixed", "real"):
        degrade_batch(clean, preset, seeded(1))
    assert torch.equal(clean, copy)


def test_mixed_is_bicubic_and_half_of_it_a_little_damaged() -> None:
    ways = sample_many(400, seeded(), "mixed")
    clean = [way for way in ways if not way.noise.gaussian and way.quality is None]
    assert 0.5 < len(clean) / len(ways) < 0.68
    assert not any(way.orders for way in ways)


def test_the_chain_draws_what_real_esrgan_does() -> None:
    ways = sample_many(600, seeded(), "real")
    firsts, seconds = zip(*(way.orders for way in ways), strict=True)
    assert np.mean([order.resized < 1 for order in firsts]) == pytest.approx(0.7, abs=0.06)
    assert np.mean([order.blur is None for order in seconds]) == pytest.approx(0.2, abs=0.05)
    assert np.mean([order.noise.gaussian > 0 for order in firsts]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([order.noise.grey for order in firsts]) == pytest.approx(0.4, abs=0.06)
    assert np.mean([way.last is None for way in ways]) == pytest.approx(0.2, abs=0.05)
    assert all(0.3 / 4 <= order.resized <= 1.2 / 4 for order in seconds)
    assert {order.blur.side for order in firsts if order.blur} == set(range(7, 22, 2))


def test_filters_are_drawn_by_their_shares() -> None:
    drawn = [sample_filter(dice, (0.2, 3.0)) for dice in throw_dice(1000, seeded())]
    assert np.mean([item.shape == "sinc" for item in drawn]) == pytest.approx(0.1, abs=0.03)
    for share, (shape, is_round) in SHAPES:
        found = np.mean([item.shape == shape and (item.sigma[0] == item.sigma[1]) == is_round for item in drawn])
        assert found == pytest.approx(0.9 * share, abs=0.04)


@pytest.mark.parametrize("shape", ["bell", "generalised", "plateau", "sinc"])
def test_filters_keep_light_and_are_symmetric(shape: str) -> None:
    kernel = Filter(shape, 13, (2.0, 1.0), 0.7, 1.5, 1.2).kernel()  # type: ignore[arg-type]
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-6)
    assert (shape == "sinc") == bool(kernel.min() < 0)


def test_grey_noise_is_the_same_in_all_colours() -> None:
    even = torch.full((3, 16, 16), 0.5)
    for noise in (Noise(gaussian=20.0, grey=True), Noise(poisson=2.0, grey=True)):
        grainy = make_small(even, LowresParams(1, noise=noise, seed=3))
        assert torch.allclose(grainy[0], grainy[1], atol=1e-6)
        assert float(grainy.std()) > 0.01
        other = make_small(even, LowresParams(1, noise=replace(noise, grey=False), seed=3))
        assert not torch.allclose(other[0], other[1], atol=1e-3)


def test_an_unknown_preset_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="x2, x3, x4, mixed, mixed-x2, real, real-x2"):
        sample_params(seeded(), "x8")


# -- the command


def test_the_command_writes_both_sides_and_cuts_the_large_one(dfrestore, make_photo, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png", size=(43, 30))
    answer = dfrestore("degrade", "lowres", photo, "-o", tmp_path / "pairs", "--preset", "x4")
    assert answer.code == 0
    small, large = (pixels(tmp_path / "pairs" / side / "a.png") for side in ("input", "target"))
    assert small.shape == (7, 10, 3)
    assert np.array_equal(large, pixels(photo)[:28, :40])


def test_a_photo_smaller_than_the_scale_is_that_files_failure(dfrestore, make_photo, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png", size=(43, 3))
    answer = dfrestore("degrade", "lowres", photo, "-o", tmp_path / "pairs", "--preset", "x4")
    assert answer.code == 1
    assert "a.png: 43 x 3 is too small to be reduced by 4" in answer.err


def test_the_preview_shows_the_small_one_in_larger_pixels(dfrestore, make_photo, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png", size=(64, 64))
    answer = dfrestore("degrade", "lowres", photo, "-o", tmp_path / "pairs", "--preset", "x2", "--preview", "1")
    assert answer.code == 0
    assert (tmp_path / "pairs" / "preview.png").is_file()
