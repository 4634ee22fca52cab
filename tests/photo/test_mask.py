"""Masks: how a file is understood, fitting to a photo, growing and softening."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import photo_files as files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from dfrestore.errors import FileFailure, PhotoReadError
from dfrestore.photo import Origin, Photo, decode
from dfrestore.photo.mask import alpha_mask, coverage, dilated, feathered, fitted, in_size, mask_of, read_mask


def saved(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def understood(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> tuple[np.ndarray, str]:
    """(mask, notes in one text) of a picture file."""
    mask = mask_of(decode(saved(image, format, **options), "mask"))
    assert mask.strength.dtype == np.float32
    return mask.strength, "; ".join(mask.notes)


HOLE = np.zeros((12, 18), bool)
HOLE[3:8, 4:15] = True
WHITE = np.where(HOLE, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        WHITE,
        np.dstack([WHITE] * 3),
        np.where(HOLE, 128, 127).astype(np.uint8),
        np.where(HOLE, 200, 90).astype(np.uint8),
        np.dstack([WHITE, 0 * WHITE, 0 * WHITE]),  # painted in red
        WHITE > 0,  # one bit
        np.where(HOLE, 40_000, 9_000).astype(np.uint16),
    ],
    ids=["grey", "RGB", "128 and 127", "greyish", "red", "one bit", "16 bit"],
)
def test_what_is_bright_is_the_hole(picture: np.ndarray) -> None:
    mask, notes = understood(picture)
    assert np.array_equal(mask, HOLE)
    assert notes == ""


def test_noise_of_a_jpeg_does_not_matter() -> None:
    mask, _ = understood(np.where(HOLE, 250, 4).repeat(8, 0).repeat(8, 1).astype(np.uint8), "JPEG", quality=60)
    assert (mask != HOLE.repeat(8, 0).repeat(8, 1)).mean() < 0.01
    assert set(np.unique(mask)) == {0, 1}
    assert not understood(np.full((16, 16), 3, np.uint8), "JPEG")[0].any()


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (HOLE.astype(np.uint8), "levels 0 and 1:"),
        (HOLE.astype(np.uint8) * 3, "levels 0 and 1 to 3:"),
        (HOLE.astype(np.uint16), "levels 0 and 1:"),
        (np.where(HOLE, 255, 0).astype(np.uint16), "8 bit levels in a 16 bit file"),
    ],
)
def test_levels_that_are_labels_are_normalised(picture: np.ndarray, said: str) -> None:
    mask, notes = understood(picture)
    assert np.array_equal(mask, HOLE)
    assert said in notes


def palette(indices: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(colours)
    return image


@pytest.mark.parametrize(
    ("colours", "said"),
    [
        ([0, 0, 0, 64, 0, 0, 0, 64, 0], "all but black counts as white"),
        ([90, 90, 80, 100, 100, 100, 100, 100, 100], "the brighter counts as white"),
        ([100, 100, 100, 255, 255, 255, 200, 200, 0], ""),
    ],
)
def test_palettes_are_understood(colours: list[int], said: str) -> None:
    indices = HOLE * np.where(np.arange(18) < 9, 1, 2)
    mask, notes = understood(palette(indices, colours))
    assert np.array_equal(mask, HOLE)
    assert said in notes


def test_transparent_parts_of_a_mask_are_known() -> None:
    white = np.dstack([np.full((12, 18, 3), 255, np.uint8), WHITE])
    assert np.array_equal(understood(white)[0], HOLE)
    black = np.dstack([np.zeros((12, 18, 3), np.uint8), WHITE])
    mask, notes = understood(black)
    assert np.array_equal(mask, HOLE)
    assert "black on transparent" in notes


def test_grey_levels_are_strengths_where_that_is_wanted() -> None:
    ramp = np.tile(np.arange(0, 255, 15, dtype=np.uint8), (4, 1))
    photo = decode(saved(ramp), "mask")
    assert np.allclose(mask_of(photo, soft=True).strength, ramp / 255)
    assert np.array_equal(mask_of(photo).strength, ramp > 127)


def test_faint_levels_are_known_in_soft_masks_too() -> None:
    noisy = np.random.default_rng(0).integers(0, 4, (64, 64), dtype=np.uint8)
    noisy[20:40, 20:40] = 255
    assert np.array_equal(mask_of(decode(saved(noisy), "mask"), soft=True).strength, noisy == 255)
    data = io.BytesIO()
    Image.fromarray(np.where(noisy == 255, np.uint8(255), np.uint8(0))).save(data, "JPEG", quality=60)
    found = mask_of(decode(data.getvalue(), "mask"), soft=True).strength
    assert set(np.unique(found)) == {0, 1}


def test_every_grey_level_is_a_strength_where_all_files_are_asked_for_it() -> None:
    ramp = np.tile(np.arange(0, 255, 15, dtype=np.uint8).repeat(16), (32, 1))
    data = io.BytesIO()
    Image.fromarray(ramp).save(data, "JPEG", quality=95)
    lossy = decode(data.getvalue(), "mask")
    palette = decode(saved(Image.fromarray(ramp).convert("P")), "mask")
    assert palette.origin.mode == "P"
    for photo in (lossy, palette):
        assert np.allclose(mask_of(photo, soft="always").strength, ramp / 255, atol=4 / 255)
        assert set(np.unique(mask_of(photo, soft=True).strength)) == {0, 1}


def test_a_mask_of_a_resized_picture_is_0_where_it_was() -> None:
    mask = HOLE * np.float32(0.5)
    grown = in_size(mask, 4 * 12, 4 * 18)
    was = HOLE.repeat(4, axis=0).repeat(4, axis=1) > 0
    assert not grown[~was].any()
    assert (grown[was] > 0).all()
    assert np.isclose(np.median(grown[was]), 0.5)
    assert in_size(mask, 12, 18) is mask
    assert in_size(mask, 5, 31).shape == (5, 31)


@pytest.mark.parametrize("value", [0, 255])
def test_empty_and_full_masks_are_what_they_are(value: int) -> None:
    mask, _ = understood(np.full((4, 5), value, np.uint8))
    assert coverage(mask) == value / 255


def test_a_file_is_read_upright_and_a_bad_one_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    path.write_bytes(files.make(WHITE, "PNG", exif=files.exif(6)))
    assert np.array_equal(read_mask(path).strength, np.rot90(HOLE, -1))
    path.write_bytes(b"text")
    with pytest.raises(PhotoReadError, match=r"m\.png: "):
        read_mask(path)


def test_alpha_as_a_mask() -> None:
    alpha = np.array([[0, 51, 255]], np.uint8)
    photo = Photo(np.zeros((1, 3, 3), np.float32), alpha)
    assert np.allclose(alpha_mask(photo, "a.png"), [[1, 0.8, 0]])
    with pytest.raises(FileFailure, match=r"a\.jpg: has no alpha"):
        alpha_mask(Photo(photo.rgb), "a.jpg")


def photo_of(height: int, width: int, orientation: int = 1) -> Photo:
    return Photo(np.zeros((height, width, 3), np.float32), origin=Origin(orientation=orientation))


MASK = HOLE.astype(np.float32)


def test_a_mask_of_the_photos_size_is_taken_as_it_is() -> None:
    mask, note = fitted(MASK, photo_of(12, 18), "m.png")
    assert mask is MASK
    assert note is None


@pytest.mark.parametrize("size", [(24, 36), (6, 9), (1200, 1799)])
def test_a_mask_of_the_same_shape_is_resized_and_that_is_said(size: tuple[int, int]) -> None:
    mask, note = fitted(MASK, photo_of(*size), "m.png")
    assert mask.shape == size
    assert set(np.unique(mask)) == {0, 1}
    assert coverage(mask) == pytest.approx(coverage(MASK), abs=0.06)
    assert note == f"mask resized (18x12 to {size[1]}x{size[0]})"


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("factor", [1, 3])
def test_a_mask_of_the_unturned_frame_is_turned_like_the_photo_and_that_is_said(orientation: int, factor: int) -> None:
    data = files.make(np.dstack([WHITE.repeat(factor, 0).repeat(factor, 1)] * 3), "PNG", exif=files.exif(orientation))
    photo = decode(data, "photo")
    assert photo.origin.orientation == orientation
    mask, note = fitted(MASK, photo, "m.png")
    assert (mask != (photo.rgb[..., 0] > 0.5)).mean() <= (0.01 if factor > 1 else 0)  # corners become round
    assert note is not None
    assert note.startswith("mask turned like the photo")
    assert ("resized" in note) == (factor > 1)


@pytest.mark.parametrize("size", [(18, 12), (12, 19), (30, 30), (4000, 3000)])
def test_any_other_size_is_refused_with_both_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(
        FileFailure, match=rf"m\.png: the mask's 18x12 pixels do not fit the photo's {size[1]}x{size[0]}"
    ):
        fitted(MASK, photo_of(*size), "m.png")


@settings(deadline=None)  # masks of nine megapixels
@given(st.integers(16, 3000), st.integers(16, 3000), st.floats(0.05, 20))
def test_whatever_was_scaled_and_rounded_still_fits(height: int, width: int, factor: float) -> None:
    scaled = max(1, round(height * factor)), max(1, round(width * factor))
    if min(scaled) < 20 or max(scaled) > 4000 or max(height, width) > 20 * min(height, width):
        return
    small = np.broadcast_to(np.float32(1), scaled)
    assert fitted(small, photo_of(height, width), "m")[0].shape == (height, width)


MASKS = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 9), st.integers(0, 999))


def random_mask(height: int, width: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((height, width)) < 0.05).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(MASKS)
def test_growing_reaches_all_pixels_within_the_radius_and_no_other(made: tuple[int, int, int, int]) -> None:
    height, width, radius, seed = made
    mask = random_mask(height, width, seed)
    away = ndimage.distance_transform_edt(1 - mask) if mask.any() else np.full(mask.shape, np.inf)
    assert np.array_equal(dilated(mask, radius), away <= radius)


def test_growing_keeps_the_strength_of_soft_masks() -> None:
    mask = np.zeros((9, 9), np.float32)
    mask[4, 4] = 0.5
    assert dilated(mask, 2)[4].tolist() == [0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0, 0]


@settings(max_examples=80, deadline=None)
@given(MASKS)
def test_a_soft_edge_lies_outside_and_ends(made: tuple[int, int, int, int]) -> None:
    height, width, reach, seed = made
    mask = random_mask(height, width, seed)
    soft = feathered(mask, reach)
    assert soft.dtype == np.float32
    assert 0 <= soft.min() <= soft.max() <= 1
    assert (soft[mask == 1] == 1).all()
    away = ndimage.distance_transform_cdt(1 - mask, "chessboard") if mask.any() else np.full(mask.shape, 10**6)
    assert not soft[away > reach].any()


@pytest.mark.parametrize("reach", [2, 3, 8, 15])
def test_a_soft_edge_falls_evenly(reach: int) -> None:
    mask = np.zeros((60, 60), np.float32)
    mask[:, :20] = 1
    row = feathered(mask, reach)[30]
    assert (np.diff(row) <= 0).all()
    assert (row[:20] == 1).all()
    assert 0.3 < row[20 + reach // 2 - 1] < 1
    assert np.abs(np.diff(row)).max() < 2.5 / (reach + 1)


def test_a_hole_at_the_border_stays_whole_there() -> None:
    mask = np.zeros((20, 20), np.float32)
    mask[:5] = 1
    assert (feathered(dilated(mask, 2), 4)[:7] == 1).all()


@pytest.mark.parametrize("change", [dilated, feathered])
def test_nothing_to_do_is_nothing_done(change: Callable[..., np.ndarray]) -> None:
    assert change(MASK, 0) is MASK
    empty = np.zeros((5, 6), np.float32)
    assert not change(empty, 3).any()


def test_what_is_far_from_the_hole_costs_nothing() -> None:
    mask = np.zeros((3000, 4000), np.float32)
    mask[100:110, 200:210] = 1
    grown = dilated(mask, 5)
    assert grown.shape == mask.shape
    assert coverage(grown) < 1e-4
