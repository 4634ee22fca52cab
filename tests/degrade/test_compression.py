"""JPEG's artefacts: exactly those of Pillow, on a grid that may lie anywhere, once or twice."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dfrestore.degrade.compression import (
    LARGEST_SIDE,
    PRESETS,
    Saving,
    add_jpeg,
    apply,
    degrade_batch,
    sample_many,
    sample_params,
)
from dfrestore.errors import FileFailure
from dfrestore.metrics import psnr_rgb, psnr_y, to_8bit


def synthetic(height: int = 96, width: int = 117) -> np.ndarray:
    """Waves, an edge and a gradient: float32 (height, width, 3), 8 bit values."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = 0.5 + 0.25 * np.sin(x / 5) + 0.2 * np.cos(y / 9)
    waves[(x - 60) ** 2 + (y - 40) ** 2 < 400] = 0.9
    picture = np.dstack([waves, waves * 0.6 + x / width * 0.3, 1 - waves]).clip(0, 1)
    return (np.round(picture * 255) / 255).astype(np.float32)


def by_pillow(picture: np.ndarray, quality: int, subsampling: str) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(to_8bit(picture)).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file), np.float32) / np.float32(255)


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)


def array(picture: torch.Tensor) -> np.ndarray:
    return picture.permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("preset", "quality"), [("q10", 10), ("q20", 20), ("q40", 40)])
def test_presets_for_measuring_are_pillows_jpeg_with_half_chroma_whatever_the_seed(preset: str, quality: int) -> None:
    clean = synthetic()
    wanted = by_pillow(clean, quality, "4:2:0")
    for seed in (0, 9):
        assert np.array_equal(apply(clean, preset, seed), wanted)
    batch = degrade_batch(tensor(clean)[None].repeat(2, 1, 1, 1), preset, torch.Generator().manual_seed(1))
    assert all(np.array_equal(array(picture), wanted) for picture in batch)


@pytest.mark.parametrize(
    ("preset", "on_luma", "on_rgb"), [("q10", 34.73, 25.60), ("q20", 38.07, 28.29), ("q40", 40.75, 29.91)]
)
def test_how_much_the_presets_damage_is_known(preset: str, on_luma: float, on_rgb: float) -> None:
    clean, damaged = to_8bit(synthetic()), to_8bit(apply(synthetic(), preset))
    assert psnr_y(damaged, clean) == pytest.approx(on_luma, abs=0.05)
    assert psnr_rgb(damaged, clean) == pytest.approx(on_rgb, abs=0.05)


def test_full_chroma_is_pillows_too() -> None:
    clean = synthetic()
    saved = add_jpeg(tensor(clean), (Saving(30, half_chroma=False),))
    assert np.array_equal(array(saved), by_pillow(clean, 30, "4:4:4"))


def test_a_shift_is_a_crop_of_a_larger_file() -> None:
    # a picture that is periodic by 32 and even around its corner goes on by reflection as it is
    y, x = np.mgrid[:64, :96]
    even = (0.5 + 0.2 * np.cos(2 * np.pi * x / 32) + 0.2 * np.cos(2 * np.pi * y / 16)).astype(np.float32)
    larger = np.repeat(even[..., None], 3, axis=2)
    left, top = 5, 3
    wanted = by_pillow(np.pad(larger, ((top, 0), (left, 0), (0, 0)), mode="reflect"), 20, "4:2:0")[top:, left:]
    assert np.array_equal(array(add_jpeg(tensor(larger), (Saving(20, shift=(left, top)),))), wanted)


def test_the_blocks_of_a_shifted_file_begin_elsewhere() -> None:
    saved = to_8bit(array(add_jpeg(tensor(synthetic()), (Saving(5, half_chroma=False, shift=(3, 0)),))))
    steps = np.abs(np.diff(saved.astype(int), axis=1)).mean(axis=(0, 2))
    edges = [steps[column - 1 :: 8].mean() for column in range(1, 9)]
    assert int(np.argmax(edges)) + 1 == 5  # 3 + 5 columns make the first block


def test_twice_with_a_shift_is_worse_than_the_last_time_alone() -> None:
    clean = tensor(synthetic())
    once, twice = (add_jpeg(clean, way) for way in ((Saving(40),), (Saving(20, shift=(5, 5)), Saving(40))))
    assert (twice - clean).square().mean() > (once - clean).square().mean()


def test_the_same_quality_twice_on_one_grid_changes_little() -> None:
    clean = tensor(synthetic())
    way = Saving(50, half_chroma=False)
    once, twice = add_jpeg(clean, (way,)), add_jpeg(clean, (way, way))
    assert (once - twice).abs().mean() < 0.1 * (once - clean).abs().mean()


def test_mixed_covers_qualities_chroma_and_places_of_the_grid() -> None:
    drawn = sample_many(2000, torch.Generator().manual_seed(0))
    savings = [saving for own in drawn for saving in own]
    assert {saving.quality for saving in savings} == set(range(10, 91))
    assert {saving.shift[0] for saving in savings} == set(range(16))
    assert np.mean([saving.half_chroma for saving in savings]) == pytest.approx(0.7, abs=0.03)
    assert np.mean([len(own) == 2 for own in drawn]) == pytest.approx(0.35, abs=0.03)
    assert np.mean([own[-1].shift == (0, 0) for own in drawn]) > 0.85


@pytest.mark.parametrize("preset", PRESETS)
def test_the_seed_decides_everything(preset: str) -> None:
    batch = tensor(synthetic(40, 40))[None].repeat(6, 1, 1, 1)
    one, same = (degrade_batch(batch, preset, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, same)
    assert np.array_equal(apply(synthetic(), preset, 5), apply(synthetic(), preset, 5))


def test_another_seed_is_another_jpeg() -> None:
    assert sample_params(torch.Generator().manual_seed(1)) != sample_params(torch.Generator().manual_seed(2))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))
def test_any_size_keeps_its_size_and_range_and_is_8_bit(height: int, width: int, seed: int) -> None:
    saved = apply(np.random.default_rng(seed).random((height, width, 3), np.float32), "mixed", seed)
    assert (saved.shape, saved.dtype) == ((height, width, 3), np.float32)
    assert np.array_equal(saved, (to_8bit(saved) / np.float32(255)))


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="no jpeg preset 'q30'"):
        sample_params(None, "q30")
    with pytest.raises(ValueError, match="out of range"):
        Saving(0)
    with pytest.raises(ValueError, match="out of range"):
        Saving(50, shift=(16, 0))
    with pytest.raises(ValueError, match="float pictures"):
        degrade_batch(torch.zeros(1, 1, 8, 8))
    with pytest.raises(FileFailure, match="more than JPEG can hold"):
        apply(np.zeros((1, LARGEST_SIDE + 1, 3), np.float32))


def test_a_picture_too_large_for_a_jpeg_is_that_files_failure(dfrestore, tmp_path: Path) -> None:
    Image.new("L", (LARGEST_SIDE + 1, 1)).save(tmp_path / "long.png")
    answer = dfrestore("degrade", "jpeg", tmp_path / "long.png", "-o", tmp_path / "pairs")
    assert answer.code == 1
    assert f"long.png: {LARGEST_SIDE + 1} x 1 is more than JPEG can hold ({LARGEST_SIDE} a side)" in answer.err


def test_pairs_are_made_by_the_command(dfrestore, make_photo, tmp_path: Path) -> None:
    answer = dfrestore("degrade", "jpeg", make_photo(tmp_path / "a.png"), "-o", tmp_path / "pairs", "--preset", "q10")
    assert answer.code == 0
    sides = [
        np.asarray(Image.open(tmp_path / "pairs" / side / "a.png"), np.float32) / 255 for side in ("input", "target")
    ]
    assert np.array_equal(sides[0], by_pillow(sides[1], 10, "4:2:0"))
