"""AVIF in and out, HEIC in: depth, alpha, turns, profiles and metadata."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import photo_files as files
import pytest
from PIL import Image, ImageCms, ImageOps, features

from dfrestore.errors import PhotoReadError
from dfrestore.photo import Photo, cicp, decode, encode, read
from dfrestore.photo.formats import format_of_content, is_candidate, is_unread

EXAMPLE = Path(__file__).parents[2] / "examples" / "rainy_coffee.jpg"
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow has no AVIF")


def smooth(bits: int = 8, alpha: bool = False, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """A ramp in each channel, (H, W, 3 or 4); codecs keep it well."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    planes = [rows, columns, (rows + columns) / 2] + ([columns] if alpha else [])
    return np.rint(np.dstack(planes) * ((1 << bits) - 1)).astype(np.uint16 if bits > 8 else np.uint8)


def avif(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "AVIF", **{"quality": 100, "subsampling": "4:4:4", **options})
    return buffer.getvalue()


def heic(array: np.ndarray, **options: Any) -> bytes:
    """uint8, or uint16 with the whole range, which is written with 10 bits."""
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs pip install pillow-heif")
    mode = ("RGBA" if array.shape[2] == 4 else "RGB") + (";16" if array.dtype == np.uint16 else "")
    buffer = io.BytesIO()
    made = pillow_heif.from_bytes(mode, array.shape[1::-1], np.ascontiguousarray(array).tobytes())
    made.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def eight(photo: Photo) -> np.ndarray:
    return np.rint(photo.rgb * 255).astype(int)


# -- AVIF


@needs_avif
def test_an_avif_stays_one_with_its_alpha_profile_exif_and_xmp() -> None:
    array, block = smooth(alpha=True), files.exif(width=48, height=32, thumbnail=False)
    photo = decode(avif(array, icc_profile=files.profile("P3"), xmp=files.XMP, exif=block), "photo.avif")
    data, warnings = encode(photo, photo.rgb)
    assert warnings == []
    assert format_of_content(data) == "AVIF"
    again = files.pillow(data)
    assert np.abs(np.asarray(again).astype(int) - array).max() <= 6
    assert again.info["icc_profile"] == files.profile("P3")
    assert again.info["exif"] == photo.origin.exif
    assert b"Gr\xc3\xbc\xc3\x9fe" in again.info["xmp"]


@needs_avif
def test_exif_goes_into_an_avif_byte_for_byte() -> None:
    block = files.exif(thumbnail=False)
    photo = decode(files.make(files.noise("RGB"), "JPEG", exif=b"Exif\0\0" + block), "photo.jpg")
    data, _ = encode(photo, photo.rgb, "AVIF")
    assert photo.origin.exif is not None
    assert data.count(photo.origin.exif) == 1


@needs_avif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_avif_stands_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = avif(smooth(), exif=exif.tobytes())
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    photo = decode(data, "photo.avif")
    np.testing.assert_array_equal(eight(photo), upright)
    out, _ = encode(photo, photo.rgb)
    assert Image.open(io.BytesIO(out)).getexif().get(0x0112, 1) == 1


@needs_avif
@pytest.mark.parametrize("bits", [10, 12])
def test_the_depth_of_an_avif_is_kept_in_16_bit_formats_and_reduced_with_a_word_in_avif(bits: int) -> None:
    array = smooth(bits)
    photo = decode(bytes(imagecodecs.avif_encode(array, level=100, bitspersample=bits)), "photo.avif")
    assert photo.origin.bits == 16
    np.testing.assert_allclose(photo.rgb, array / ((1 << bits) - 1), atol=1e-5)
    data, warnings = encode(photo, photo.rgb, "TIFF")
    assert warnings == []
    assert files.samples(data, "TIFF").dtype == np.uint16
    data, (warning,) = encode(photo, photo.rgb)
    assert format_of_content(data) == "AVIF"
    assert warning.startswith("16 bit reduced to 8 bit: AVIF")


@needs_avif
def test_a_grey_avif_stays_grey() -> None:
    photo = decode(avif(smooth()[..., 0], subsampling="4:0:0"), "photo.avif")
    data, _ = encode(photo, photo.rgb)
    assert photo.origin.grey
    assert files.pillow(data).mode == "L"


@needs_avif
def test_a_photo_loses_little_in_an_avif() -> None:
    photo = read(EXAMPLE)
    data, _ = encode(photo, photo.rgb, "AVIF")
    error = np.asarray(files.pillow(data)) / 255 - photo.rgb
    assert -10 * np.log10(np.mean(error**2)) > 42


@needs_avif
def test_a_damaged_avif_is_one_line() -> None:
    whole = avif(smooth())
    for end in range(16, len(whole) - 1, 37):
        with pytest.raises(PhotoReadError, match="damaged or cut-off"):
            decode(whole[:end], "photo.avif")


# -- colour numbers


@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (9, 1), (9, 13)])
def test_colour_numbers_become_a_profile_whose_primaries_make_its_white(primaries: int, transfer: int) -> None:
    data, warnings = cicp.profile_of(primaries, transfer)
    assert warnings == ()
    assert data is not None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data)).profile
    assert profile.media_white_point[1] == pytest.approx((0.3457, 0.3585, 1), abs=1e-3)
    total = np.sum([profile.red_colorant[0], profile.green_colorant[0], profile.blue_colorant[0]], axis=0)
    assert total == pytest.approx((0.9642, 1, 0.8249), abs=2e-3)


def test_display_p3_by_numbers_is_the_same_colour_as_by_profile() -> None:
    data, _ = cicp.profile_of(12, 13)
    assert data is not None
    srgb = ImageCms.createProfile("sRGB")
    picture = Image.fromarray(smooth())
    shown = [
        np.asarray(ImageCms.profileToProfile(picture, ImageCms.ImageCmsProfile(io.BytesIO(icc)), srgb)).astype(int)
        for icc in (data, files.profile("P3"))
    ]
    assert np.abs(shown[0] - shown[1]).max() <= 2


def test_srgb_needs_no_profile_and_hdr_is_said() -> None:
    assert cicp.profile_of(1, 13) == (None, ())
    assert cicp.profile_of(9, 16)[0] is None
    assert "PQ" in cicp.profile_of(9, 16)[1][0]


# -- HEIC


def test_a_heic_without_its_extra_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PhotoReadError) as caught:
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "photo.heic")
    assert str(caught.value) == ("photo.heic: HEIC, which needs a package to be read; pip install pillow-heif")
    assert is_unread("photo.heic")
    assert not is_candidate("photo.heic")


def test_a_heic_is_taken_from_folders_where_its_extra_is_installed() -> None:
    pytest.importorskip("pillow_heif", reason="needs pip install pillow-heif")
    assert is_candidate("IMG_1.HEIC")
    assert not is_unread("IMG_1.HEIC")


def test_a_heic_becomes_a_jpeg_with_all_that_belongs_to_it() -> None:
    xmp = files.XMP.replace(b'tiff:Orientation="6"', b"")  # the encoder would turn the picture
    data = heic(smooth(), exif=b"Exif\0\0" + files.exif(thumbnail=False), xmp=xmp, icc_profile=files.profile("P3"))
    photo = decode(data, "photo.heic")
    assert np.abs(eight(photo) - smooth()).max() <= 3
    written, warnings = encode(photo, photo.rgb)
    assert warnings == []
    assert format_of_content(written) == "JPEG"
    image = files.pillow(written)
    assert image.info["icc_profile"] == files.profile("P3")
    assert image.getexif()[0x0110] == "Model"
    assert b"Gr\xc3\xbc\xc3\x9fe" in image.info["xmp"]


def test_the_alpha_of_a_heic_is_kept() -> None:
    photo = decode(heic(smooth(alpha=True)), "photo.heic")
    assert photo.alpha is not None
    assert np.abs(photo.alpha.astype(int) - smooth(alpha=True)[..., 3]).max() <= 3


def test_a_heic_of_10_bit_has_16_with_white_white() -> None:
    array = (smooth(10).astype(np.uint32) * 65535 // 1023).astype(np.uint16)
    photo = decode(heic(array), "photo.heic")
    assert photo.origin.bits == 16
    assert np.abs(photo.rgb - array / 65535).max() < 6 / 1023
    assert photo.rgb.max() <= 1
    assert len(np.unique(np.rint(photo.rgb[..., 1] * 1023))) > 40


def test_a_turned_heic_stands_upright_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = decode(heic(smooth(), exif=exif.tobytes()), "photo.heic")
    turned = np.rot90(smooth(), -1)
    assert np.abs(eight(photo) - turned).max() <= 3
    written, _ = encode(photo, photo.rgb)
    assert files.pillow(written).getexif().get(0x0112, 1) == 1


def test_a_damaged_heic_is_one_line(tmp_path: Path) -> None:
    whole = heic(smooth())
    for end in range(32, len(whole) - 1, 97):
        with pytest.raises(PhotoReadError, match="damaged or cut-off HEIF"):
            decode(whole[:end], "photo.heic")
