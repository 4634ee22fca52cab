"""Pictures to look at: small copies as a viewer without profiles shows them, and captioned sheets of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from dfrestore.photo.sheet import GAP, contact_sheet
from dfrestore.photo.view import size_within, view


def flat(width: int, height: int, value: float = 0.5) -> np.ndarray:
    return np.full((height, width, 3), value, np.float32)


def test_no_side_is_longer_than_asked_for_and_nothing_is_enlarged() -> None:
    assert view(flat(300, 200), None, None, 90).size == (90, 60)
    assert view(flat(30, 20), None, None, 90).size == (30, 20)
    assert size_within((10_000, 3), 100) == (100, 1)


def test_transparent_parts_are_white() -> None:
    alpha = np.zeros((8, 8), np.uint16)
    alpha[:4] = 65535
    shown = np.asarray(view(flat(8, 8, 0.2), alpha, None, 8))
    assert (shown[:4] == 51).all()
    assert (shown[4:] == 255).all()


def test_colours_are_brought_to_srgb_and_a_broken_profile_is_passed_over() -> None:
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    assert view(flat(4, 4), None, b"no profile", 4).getpixel((0, 0)) == (128, 128, 128)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert view(flat(4, 4), None, srgb, 4).getpixel((0, 0)) == (128, 128, 128)
    assert view(flat(4, 4), None, linear, 4).mode == "RGB"


def test_a_sheet_has_a_place_for_every_picture_and_its_caption() -> None:
    tiles = [("one", np.zeros((20, 40, 3), np.uint8)), ("two", np.full((20, 40, 3), 128, np.uint8))]
    sheet = contact_sheet([tiles], text=12)
    assert sheet.size == (2 * 40 + 3 * GAP, 20 + 18 + 2 * GAP)
    assert sheet.getpixel((GAP, GAP + 18)) == (0, 0, 0)
    assert sheet.getpixel((2 * GAP + 40, GAP + 18)) == (128, 128, 128)
    assert np.asarray(sheet.crop((GAP, GAP, GAP + 40, GAP + 18))).min() < 128  # letters


def test_a_narrow_picture_has_a_column_as_wide_as_its_caption_needs() -> None:
    assert contact_sheet([[("a long caption", np.zeros((4, 4, 3), np.uint8))]], least=300).width == 300 + 2 * GAP


def test_a_caption_with_any_characters_is_drawn() -> None:
    sheet = contact_sheet([[("雨\n\udcff ä", np.zeros((4, 200, 3), np.uint8))]])
    assert isinstance(sheet, Image.Image)


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        contact_sheet([[]])
