"""Masks of what is missing: LaMa's, number for number, strokes of a known share, and scratches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from damaged_photos import SHARED, fingerprint, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from PIL import Image
from safetensors.numpy import load_file

from dfrestore.degrade.holes import (
    LAMA,
    PRESETS,
    THICK,
    THIN,
    Segment,
    apply,
    degrade_batch,
    draw_mask,
    drawn,
    mask_batch,
)

PARITY = SHARED / "parity_diffir" / "masks.safetensors"
needs_masks = pytest.mark.skipif(not PARITY.is_file(), reason="LaMa's masks are not here")
GENERATORS = {"train": LAMA, "eval_thick_256": THICK, "eval_thin_256": THIN}
CASES = [(name, seed) for name in GENERATORS for seed in range(4)]
GOLDEN = {
    "lama": [0.2556, 0.4327, 0.0, 0.0],
    "thick": [0.3418, 0.3542, 0.0, 0.1616],
    "thin": [0.3272, 0.3483, 0.55, 0.0],
    "strokes": [0.3365, 0.3333, 0.55, 0.0],
    "scratches": [0.3581, 0.3028, 0.55, 0.1616],
    "mixed": [0.3366, 0.3238, 0.55, 0.1616],
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lamas(name: str, seed: int) -> np.ndarray:
    packed = load_file(PARITY)[f"{name}_seed{seed}"]
    return np.unpackbits(packed, axis=-1).astype(bool)


# -- LaMa's own


@needs_masks
@pytest.mark.parametrize(("name", "seed"), CASES)
def test_lamas_masks_are_met_but_for_their_rims(name: str, seed: int) -> None:
    wanted = lamas(name, seed)
    found = GENERATORS[name].draw(256, 256, RandomState(seed))
    assert (found != wanted).mean() < 0.02
    known = json.loads(PARITY.with_suffix(".json").read_text())["area_fraction"][f"{name}_seed{seed}"]
    assert found.mean() == pytest.approx(known, abs=0.01)


@needs_masks
@pytest.mark.parametrize(("name", "seed"), CASES)
def test_opencvs_lines_between_our_points_are_lamas_masks(name: str, seed: int) -> None:
    cv2 = pytest.importorskip("cv2")
    masks, rng = GENERATORS[name], RandomState(seed)
    shares = [1 - masks.box_share, masks.box_share] if masks.box_share else [1.0]
    if rng.choice(len(shares), p=shares) == 1:
        assert np.array_equal(masks.draw(256, 256, RandomState(seed)), lamas(name, seed))
        return
    found = np.zeros((256, 256), np.float32)
    for line in masks.segments(256, 256, rng):
        cv2.line(found, (line.x0, line.y0), (line.x1, line.y1), 1.0, line.brush)
    assert np.array_equal(found > 0, lamas(name, seed))


def test_a_line_is_a_capsule() -> None:
    mask = drawn([Segment(10, 20, 30, 20, 5)], 40, 50)
    assert mask[17:24, 20].all()
    assert not mask[16, 20]
    assert mask[20, 7]
    assert not mask[20, 6]
    assert not mask[17, 7]
    assert mask.sum() == pytest.approx(20 * 7 + np.pi * 9, rel=0.05)


def test_lines_may_leave_the_picture() -> None:
    assert drawn([Segment(-50, 5, 90, 5, 3)], 12, 20).sum() == 5 * 20
    assert not drawn([Segment(100, 100, 120, 100, 9)], 12, 20).any()


# -- presets


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seed_gives_the_holes_it_always_gave(preset: str) -> None:
    assert fingerprint("holes", preset) == pytest.approx(GOLDEN[preset], abs=2e-4)


def test_strokes_cover_an_eighth_whatever_the_size() -> None:
    for size in ((128, 128), (321, 481), (700, 500)):
        shares = [draw_mask(*size, "strokes", seed).mean() for seed in range(12)]
        assert 0.11 < np.mean(shares) < 0.165  # small pictures are covered a little too much by the last stroke
        assert min(shares) >= 0.10


def test_scratches_are_many_thin_and_little() -> None:
    for seed in range(12):
        mask = draw_mask(256, 256, "scratches", seed)
        assert 0.004 < mask.mean() < 0.06
        inside = mask[2:-2, 2:-2] & mask[:-4, 2:-2] & mask[4:, 2:-2] & mask[2:-2, :-4] & mask[2:-2, 4:]
        assert inside.sum() < 0.35 * mask.sum()  # hardly anything is five pixels wide


@pytest.mark.parametrize("preset", ["thick", "thin", "mixed"])
def test_half_of_a_picture_is_mostly_left(preset: str) -> None:
    shares = [draw_mask(256, 256, preset, seed).mean() for seed in range(30)]
    assert np.mean(np.array(shares) > 0.5) < 0.1


@pytest.mark.parametrize("preset", PRESETS)
def test_a_batch_is_its_pictures_and_the_seed_decides(preset: str) -> None:
    masks = mask_batch(3, (64, 96), preset, seeded(4))
    assert masks.shape == (3, 1, 64, 96)
    assert torch.equal(masks, mask_batch(3, (64, 96), preset, seeded(4)))
    assert not torch.equal(masks, mask_batch(3, (64, 96), preset, seeded(5)))
    assert torch.equal(masks[:1], mask_batch(1, (64, 96), preset, seeded(4)))


def test_holes_are_empty_and_the_mask_comes_with_them() -> None:
    clean = torch.rand(2, 3, 64, 64, generator=seeded())
    holed = degrade_batch(clean.bfloat16(), "strokes", seeded(1))
    assert (holed.shape, holed.dtype) == ((2, 4, 64, 64), torch.bfloat16)
    mask = holed[:, 3:]
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(holed[:, :3], clean.bfloat16() * (1 - mask))
    assert apply(scene(), "strokes", 1).shape == (96, 128, 4)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6), st.sampled_from(sorted(PRESETS)))
def test_every_size_has_holes(height: int, width: int, seed: int, preset: str) -> None:
    mask = draw_mask(height, width, preset, seed)
    assert (mask.shape, mask.dtype) == ((height, width), np.bool_)
    assert mask.any()


def test_an_unknown_preset_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="lama, thick, thin, strokes, scratches, mixed"):
        draw_mask(8, 8, "clouds")


# -- the command


@pytest.mark.parametrize("format", ["png", "jpg"])
def test_the_command_writes_photo_mask_and_holed_photo(dfrestore, make_photo, tmp_path: Path, format: str) -> None:
    photo = make_photo(tmp_path / "in" / "sub" / "a.png", size=(60, 50))
    out = tmp_path / "pairs"
    command = ("degrade", "holes", photo.parents[1], "-o", out, "--preset", "strokes", "--seed", "3")
    assert dfrestore(*command, "--format", format).code == 0
    with Image.open(out / "mask" / "sub" / "a.png") as image:
        mask = np.asarray(image)
    assert set(np.unique(mask)) == {0, 255}
    if format == "png":
        holed, clean = (np.asarray(Image.open(out / side / "sub" / "a.png")) for side in ("input", "target"))
        assert np.array_equal(clean, np.asarray(Image.open(photo)))
        assert (holed[mask == 255] == 127).all()
        assert np.array_equal(holed[mask == 0], clean[mask == 0])
    again = dfrestore(*command, "--format", format)
    assert again.code == 1
    assert "exists already" in again.err


def test_a_mask_that_is_there_is_not_replaced(dfrestore, make_photo, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png")
    there = make_photo(tmp_path / "pairs" / "mask" / "a.png")
    answer = dfrestore("degrade", "holes", photo, "-o", tmp_path / "pairs")
    assert answer.code == 1
    assert f"{there}: exists already; --overwrite replaces it" in answer.err
    assert not (tmp_path / "pairs" / "input").exists()


def test_a_photo_of_which_nothing_would_be_left_is_refused(dfrestore, make_photo, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png", size=(12, 9))
    answer = dfrestore("degrade", "holes", photo, "-o", tmp_path / "pairs", "--preset", "thick")
    assert answer.code == 1
    assert "a.png: 12 x 9 is too small for holes of preset thick" in answer.err
    assert not (tmp_path / "pairs" / "mask").exists()
