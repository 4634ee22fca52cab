"""The pictures of a page: how small they are made, which part is shown as it is, what becomes of colours."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from dfrestore.errors import PhotoReadError
from dfrestore.evaluation.shots import (
    LADDER,
    LEAST_BYTES,
    MOST_BYTES,
    MOST_PHOTOS,
    PAGE_BYTES,
    Shots,
    Source,
    bytes_each,
    shots,
    shots_of_files,
)


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(width: int, height: int, *colour: int) -> np.ndarray:
    return np.full((height, width, 3), colour or (90, 90, 90), np.uint8)


def made(*pictures: np.ndarray, budget: int = MOST_BYTES) -> Shots:
    roles = ("before", "after", "target")
    found = shots([Source(role, pixels) for role, pixels in zip(roles, pictures, strict=False)], budget)
    assert found is not None
    return found


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image


def in_page(found: Shots) -> int:
    """Bytes of all pictures in base64."""
    return sum(-(-len(data) // 3) * 4 for shot in found.pictures for data in (shot.whole, shot.part))


def test_a_large_photo_is_reduced_and_a_part_of_it_is_not() -> None:
    found = made(flat(3000, 2000), flat(3000, 2000, 91, 90, 90))
    assert (found.size, found.shown, found.box[2:]) == ((3000, 2000), (900, 600), (900, 600))
    for shot in found.pictures:
        assert (opened(shot.whole).size, opened(shot.part).size) == ((900, 600), (900, 600))


def test_a_small_photo_is_shown_pixel_for_pixel_and_needs_no_part() -> None:
    found = made(noise(480, 320), noise(480, 320, 1))
    assert (found.shown, found.box) == ((480, 320), (0, 0, 480, 320))
    assert [shot.part for shot in found.pictures] == [b"", b""]


@pytest.mark.parametrize(("left", "top"), [(0, 0), (2300, 1100), (2950, 1980), (700, 1900)])
def test_the_part_is_where_most_changed(left: int, top: int) -> None:
    before, after = flat(3000, 2000), flat(3000, 2000)
    after[top : top + 20, left : left + 50] = 255
    x, y, width, height = made(before, after).box
    assert x <= left
    assert y <= top
    assert left + 50 <= x + width <= 3000
    assert top + 20 <= y + height <= 2000


def test_the_part_holds_the_photos_own_pixels() -> None:
    before, after = flat(3000, 2000), flat(3000, 2000)
    after[1000:1300, 1200:1600] = (240, 30, 30)
    found = made(before, after)
    x, y, width, height = found.box
    shown = np.asarray(opened(found.pictures[1].part).convert("RGB"), float)
    assert np.abs(shown - after[y : y + height, x : x + width]).mean() < 3


def test_where_nothing_changed_the_part_is_the_middle() -> None:
    assert made(flat(3000, 2000), flat(3000, 2000)).box == (1050, 700, 900, 600)


def test_the_part_of_a_panorama_is_higher_than_its_reduced_picture() -> None:
    found = made(flat(6000, 500), flat(6000, 500))
    assert found.shown == (900, 75)
    assert found.box[2:] == (900, 450)


@pytest.mark.parametrize("count", [1, 200, MOST_PHOTOS])
def test_pictures_of_pure_noise_fit_into_their_share_of_the_page(count: int) -> None:
    pictures = [noise(1600, 1200, seed) for seed in range(3)]
    found = made(*pictures, budget=bytes_each(count))
    assert in_page(found) <= bytes_each(count)
    assert max(found.shown) <= LADDER[0][0]
    assert count * bytes_each(count) <= PAGE_BYTES


def test_each_photo_has_less_the_more_there_are_but_never_nothing() -> None:
    shares = [bytes_each(count) for count in (0, 1, 10, 100, 1000, 100_000)]
    assert shares == sorted(shares, reverse=True)
    assert (shares[0], shares[-1]) == (MOST_BYTES, LEAST_BYTES)


def test_what_cannot_be_small_enough_is_not_shown() -> None:
    assert shots([Source("before", noise(800, 800)), Source("after", noise(800, 800, 1))], 500) is None


def test_the_mean_change_is_told_in_8_bit_levels() -> None:
    assert made(flat(64, 64, 100, 100, 100), flat(64, 64, 110, 110, 110)).change == pytest.approx(10)


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (17, 33)])
def test_any_size_can_be_shown(size: tuple[int, int]) -> None:
    found = made(noise(*size), noise(*size, 1))
    assert found.size == size
    assert max(found.shown) <= 900


def test_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        made(flat(20, 20), flat(20, 21))


def test_colours_of_a_wide_profile_are_shown_as_srgb(tmp_path: Path) -> None:
    # the primaries of a profile whose red and blue are swapped, so that a red pixel means blue
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = lab.replace(b"rXYZ", b"tmpZ").replace(b"bXYZ", b"rXYZ").replace(b"tmpZ", b"bXYZ")
    red = flat(64, 64, 255, 0, 0)
    found = shots([Source("before", red, swapped), Source("after", red)])
    assert found is not None
    colours = [np.asarray(opened(shot.whole).convert("RGB"), float).mean((0, 1)).argmax() for shot in found.pictures]
    assert colours == [2, 0]


def test_an_unusable_profile_is_passed_over() -> None:
    found = shots([Source("before", flat(64, 64, 200, 0, 0), b"no profile"), Source("after", flat(64, 64))])
    assert found is not None
    assert np.asarray(opened(found.pictures[0].whole).convert("RGB"))[0, 0, 0] > 180


def test_files_are_read_upright_with_transparent_parts_on_white(tmp_path: Path) -> None:
    picture = np.zeros((40, 60, 4), np.uint8)
    picture[:, 30:, 3] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(flat(40, 60)).save(tmp_path / "b.jpg", exif=exif)
    found = shots_of_files({"before": tmp_path / "a.png", "after": tmp_path / "b.jpg"})
    assert found is not None
    shown = np.asarray(opened(found.pictures[0].whole).convert("L"))
    assert found.size == (60, 40)
    assert shown[:, 5].min() > 240
    assert shown[:, 55].max() < 15


def test_files_that_cannot_be_read_or_compared_are_named(tmp_path: Path) -> None:
    Image.fromarray(flat(20, 20)).save(tmp_path / "a.png")
    Image.fromarray(flat(20, 30)).save(tmp_path / "b.png")
    with pytest.raises(PhotoReadError, match=r"b\.png: pictures of different sizes: 20x20, 20x30"):
        shots_of_files({"before": tmp_path / "a.png", "after": tmp_path / "b.png"})
    with pytest.raises(PhotoReadError, match=r"c\.png: does not exist"):
        shots_of_files({"before": tmp_path / "a.png", "after": tmp_path / "c.png"})
