"""Camera RAW in: developed as the camera saw it, 16 bit, upright, with its EXIF."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import photo_files as files
import pytest
from raw_files import SIDE, dng

from dfrestore.errors import PhotoReadError
from dfrestore.photo import decode, encode
from dfrestore.photo.formats import format_of_content, is_candidate


@pytest.fixture
def _rawpy() -> None:
    pytest.importorskip("rawpy", reason="needs pip install rawpy")


def test_without_its_extra_a_raw_file_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for data in (
        dng(),
        b"FUJIFILMCCD-RAW " + bytes(99),
        b"IIRO" + bytes(99),
        b"\0\0\0\x18ftypcrx \0\0\0\1" + bytes(99),
    ):
        with pytest.raises(PhotoReadError) as caught:
            decode(data, "photo.dng")
        assert str(caught.value) == (
            "photo.dng: a camera's RAW file, which needs a package to be read; pip install rawpy"
        )
    assert not is_candidate("photo.dng")


@pytest.mark.usefixtures("_rawpy")
def test_a_raw_file_is_developed_with_the_cameras_white_balance() -> None:
    photo = decode(dng(), "photo.dng")
    assert photo.size == SIDE
    light = photo.rgb[70:90, 100:140].mean((0, 1))
    assert light == pytest.approx(np.full(3, light.mean()), abs=0.02)  # the grey card is grey
    dark = photo.rgb[10:40, 10:60].mean((0, 1))
    assert dark.mean() < 0.7 * light.mean()


@pytest.mark.usefixtures("_rawpy")
def test_its_brightness_is_that_of_the_exposure_on_the_curve_of_srgb() -> None:
    photo = decode(dng(), "photo.dng")

    def linear(value: float) -> float:
        return ((value + 0.055) / 1.055) ** 2.4

    light, dark = (float(photo.rgb[part].mean()) for part in (np.s_[70:90, 100:140], np.s_[10:40, 10:60]))
    assert linear(dark) / linear(light) == pytest.approx(0.25, abs=0.02)


@pytest.mark.usefixtures("_rawpy")
def test_the_result_is_a_tiff_of_16_bit_in_srgb_with_what_the_camera_wrote() -> None:
    photo = decode(dng(), "photo.dng")
    data, warnings = encode(photo, photo.rgb)
    assert (format_of_content(data[:64]), warnings) == ("TIFF", [])
    array = files.samples(data, "TIFF")
    assert (array.dtype, array.shape) == (np.uint16, (*SIDE, 3))
    assert (array % 257 != 0).any()  # not 8 bit made wide
    tags = files.pillow(data).getexif()
    assert (tags[271], tags[272], tags[306]) == ("Maker", "Model X", "2026:01:02 03:04:05")
    assert photo.origin.icc is not None
    assert photo.origin.icc[16:20] == b"RGB "


@pytest.mark.usefixtures("_rawpy")
def test_a_turned_raw_file_stands_upright_once() -> None:
    photo = decode(dng(orientation=6), "photo.dng")
    assert photo.size == SIDE[::-1]
    dark = photo.rgb[10:60, SIDE[0] // 2 + 10 : SIDE[0] - 10]  # the upper left corner went to the upper right
    assert dark.mean() < 0.7 * photo.rgb.mean()
    data, _ = encode(photo, photo.rgb)
    assert files.pillow(data).getexif().get(274, 1) == 1


@pytest.mark.usefixtures("_rawpy")
def test_a_raw_file_is_known_by_its_content_and_by_its_name() -> None:
    assert decode(dng(), "no-extension").origin.format == "RAW"
    with pytest.raises(PhotoReadError, match="rawpy does not know"):
        decode(files.make(files.noise("RGB"), "TIFF"), "photo.nef")


@pytest.mark.usefixtures("_rawpy")
def test_a_cut_off_raw_file_is_one_line() -> None:
    whole = dng()
    for end in (200, 1000, len(whole) // 2):
        with pytest.raises(PhotoReadError) as caught:
            decode(whole[:end], "photo.dng")
        assert "damaged or cut-off RAW (Input/output error); copy it again" in str(caught.value)


@pytest.mark.usefixtures("_rawpy")
def test_what_libraw_says_of_damage_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    whole = bytearray(dng())
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = whole.copy()
        for place in rng.integers(8, 700, 4):
            damaged[place] = rng.integers(256)
        with contextlib.suppress(PhotoReadError):
            decode(bytes(damaged), "photo.dng")
    assert capfd.readouterr() == ("", "")
