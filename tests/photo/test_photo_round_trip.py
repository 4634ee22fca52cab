"""Identity: what is read and written again, untouched, is the same picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import photo_files as files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dfrestore.errors import PhotoWriteError
from dfrestore.photo import Photo, decode, encode, read, write

MATRIX = [
    (format, mode, bits)
    for format in files.LOSSLESS
    for mode in files.CHANNELS
    for bits in (8, 16)
    if format != "WEBP" or (bits == 8 and mode in ("RGB", "RGBA"))
]


@pytest.mark.parametrize(("format", "mode", "bits"), MATRIX)
def test_samples_mode_and_depth_survive_in_lossless_formats(tmp_path: Path, format: str, mode: str, bits: int) -> None:
    array = files.noise(mode, bits)
    photo = read(files.put(tmp_path, array, format))
    result = tmp_path / f"result{files.SUFFIX[format]}"
    assert write(result, photo, photo.rgb) == []
    assert photo.warnings == ()
    assert (photo.origin.format, photo.origin.mode, photo.origin.bits) == (format, mode, bits)
    again = files.samples(result.read_bytes(), format)
    assert again.dtype == array.dtype
    assert np.array_equal(again, array)


@pytest.mark.parametrize(("format", "mode", "bits"), MATRIX)
def test_the_array_is_float32_rgb_and_alpha_keeps_its_own_type(format: str, mode: str, bits: int) -> None:
    array = files.noise(mode, bits)
    photo = decode(files.make(array, format), "photo")
    full = 65535 if bits == 16 else 255
    colour = array[..., 0] if mode == "LA" else array[..., :3] if array.ndim == 3 else array
    expected = np.broadcast_to(colour[..., None] if colour.ndim == 2 else colour, (*array.shape[:2], 3))
    assert photo.rgb.dtype == np.float32
    assert photo.rgb.flags.c_contiguous
    assert photo.size == array.shape[:2]
    np.testing.assert_allclose(photo.rgb, expected / full, atol=1e-7)
    assert photo.origin.grey is (mode in ("L", "LA"))
    if mode.endswith("A"):
        assert photo.alpha is not None
        assert photo.alpha.dtype == array.dtype
        assert np.array_equal(photo.alpha, array[..., -1])
    else:
        assert photo.alpha is None


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    case=st.sampled_from(MATRIX),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 1 << 30),
)
def test_any_size_from_one_pixel_up_survives(case: tuple[str, str, int], height: int, width: int, seed: int) -> None:
    format, mode, bits = case
    array = files.noise(mode, bits, (height, width), seed)
    photo = decode(files.make(array, format), "photo")
    data, warnings = encode(photo, photo.rgb)
    assert warnings == []
    again = decode(data, "result")
    assert np.array_equal(again.rgb, photo.rgb)
    assert (again.alpha is None) == (photo.alpha is None)
    assert photo.alpha is None or np.array_equal(again.alpha, photo.alpha)


def test_every_value_of_16_bit_survives() -> None:
    array = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for pixels in (array, np.dstack([array, array.T, array])):
        photo = decode(files.make(pixels, "PNG"), "photo")
        assert np.array_equal(files.samples(encode(photo, photo.rgb)[0], "PNG"), pixels)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_the_same_photo_and_result_give_the_same_bytes(format: str) -> None:
    photo = decode(files.make(files.noise("RGB"), format), "photo")
    assert encode(photo, photo.rgb) == encode(photo, photo.rgb)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_results_with_unequal_channels_become_their_luma(bits: int) -> None:
    photo = decode(files.make(files.noise("L", bits), "PNG"), "photo")
    rgb = np.broadcast_to(np.float32([1, 0, 0]), photo.rgb.shape)
    grey = files.samples(encode(photo, rgb)[0], "PNG")
    assert grey.ndim == 2
    assert (grey == round(0.299 * (65535 if bits == 16 else 255))).all()


def test_results_are_clipped_not_wrapped() -> None:
    photo = decode(files.make(files.noise("RGB"), "PNG"), "photo")
    rgb = np.where(np.arange(3) == 1, np.float32(-0.5), np.float32(1.5)) + np.zeros_like(photo.rgb)
    assert (files.samples(encode(photo, rgb)[0], "PNG") == [255, 0, 255]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_results_that_are_not_finite_are_not_written(tmp_path: Path, bad: float) -> None:
    photo = read(files.put(tmp_path, files.noise("RGB"), "PNG"))
    rgb = photo.rgb.copy()
    rgb[3, 4, 1] = bad
    with pytest.raises(PhotoWriteError, match="not finite"):
        write(tmp_path / "result.png", photo, rgb)
    assert [p.name for p in tmp_path.iterdir()] == ["photo.png"]


def test_results_of_another_shape_than_the_alpha_are_not_written() -> None:
    photo = decode(files.make(files.noise("RGBA"), "PNG"), "photo")
    with pytest.raises(PhotoWriteError, match="alpha"):
        encode(photo, photo.rgb[1:])
    with pytest.raises(PhotoWriteError, match="shape"):
        encode(photo, photo.rgb[..., 0])


def test_an_array_without_a_file_can_be_written_too() -> None:
    rgb = files.noise("RGB").astype(np.float32) / 255
    data, _ = encode(Photo(rgb), rgb)
    assert np.array_equal(files.samples(data, "PNG"), files.noise("RGB"))


def test_paths_may_hold_any_characters(tmp_path: Path) -> None:
    folder = tmp_path / "Größe 東京 🌧"
    folder.mkdir()
    photo = read(files.put(folder, files.noise("RGB"), "JPEG"))
    write(folder / "ergebnis ünïcode.jpg", photo, photo.rgb)
    assert read(folder / "ergebnis ünïcode.jpg").size == photo.size


def test_the_format_is_decided_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "wrong.png"
    path.write_bytes(files.make(files.noise("RGB"), "TIFF"))
    assert read(path).origin.format == "TIFF"


def test_reading_leaves_pillows_global_settings_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    decode(files.make(files.noise("RGB"), "PNG"), "photo")
    assert before == Image.MAX_IMAGE_PIXELS
