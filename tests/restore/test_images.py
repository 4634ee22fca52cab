"""The Python API gives back what it was given: the kind, shape, type and mode, alpha and grey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dfrestore.errors import PhotoReadError
from dfrestore.restore.images import open_picture

GENERATOR = np.random.default_rng(0)


def random_array(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    if dtype.startswith("float"):
        return GENERATOR.random(shape).astype(dtype)
    return GENERATOR.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4), (1, 1, 3)])
def test_an_array_comes_back_in_its_own_shape_and_type(shape: tuple[int, ...], dtype: str) -> None:
    array = random_array(shape, dtype)
    rgb, finish = open_picture(array)
    assert rgb.shape == (*shape[:2], 3)
    assert rgb.dtype == np.float32
    result = finish(rgb)
    assert result.dtype == array.dtype
    np.testing.assert_allclose(result, array, atol=1e-7 if dtype.startswith("float") else 0)


@pytest.mark.parametrize("shape", [(5, 7, 2), (5, 7, 4)])
def test_alpha_passes_through_untouched(shape: tuple[int, ...]) -> None:
    array = random_array(shape, "uint8")
    rgb, finish = open_picture(array)
    result = finish(np.zeros_like(rgb))
    assert (result[:, :, -1] == array[:, :, -1]).all()
    assert not result[:, :, :-1].any()


def test_results_are_rounded_to_the_nearest_value() -> None:
    rgb, finish = open_picture(np.zeros((1, 1, 3), np.uint8))
    assert finish(rgb + np.float32(100.6 / 255))[0, 0, 0] == 101


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_pil_image_comes_back_in_its_mode_with_its_info(mode: str) -> None:
    image = Image.fromarray(random_array((5, 7, 4), "uint8")).convert(mode)
    image.info["icc_profile"] = b"profile"
    rgb, finish = open_picture(image)
    result = finish(rgb)
    assert (result.mode, result.size, result.info) == (mode, (7, 5), {"icc_profile": b"profile"})
    assert result.tobytes() == image.tobytes()


def test_sixteen_bit_grey_pil_images_keep_their_bits() -> None:
    image = Image.fromarray(random_array((5, 7), "uint16"))
    rgb, finish = open_picture(image)
    result = finish(rgb)
    assert result.mode == image.mode == "I;16"
    assert (np.asarray(result) == np.asarray(image)).all()


def test_palette_images_come_back_in_full_colour() -> None:
    colours = Image.fromarray(random_array((5, 7, 3), "uint8"))
    palette = colours.quantize(16)
    rgb, finish = open_picture(palette)
    assert finish(rgb).tobytes() == palette.convert("RGB").tobytes()


def test_cmyk_images_stay_cmyk() -> None:
    rgb, finish = open_picture(Image.new("CMYK", (4, 4), (10, 20, 30, 0)))
    assert finish(rgb).mode == "CMYK"


def test_a_path_gives_an_upright_pil_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random_array((5, 7, 3), "uint8")).save(tmp_path / "turned.png", exif=exif)
    rgb, finish = open_picture(tmp_path / "turned.png")
    assert rgb.shape == (7, 5, 3)
    assert finish(rgb).size == (5, 7)


def test_a_path_keeps_grey_alpha_and_profile(tmp_path: Path) -> None:
    image = Image.fromarray(random_array((5, 7, 2), "uint8"))
    image.save(tmp_path / "grey.png")
    rgb, finish = open_picture(str(tmp_path / "grey.png"))
    result = finish(rgb)
    assert result.mode == "LA"
    assert result.tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (np.zeros((5, 7, 5), np.uint8), ValueError),
        (np.zeros((0, 7, 3), np.uint8), ValueError),
        (np.zeros(7, np.uint8), ValueError),
        (np.zeros((5, 7), np.int32), TypeError),
        (np.zeros((5, 7), bool), TypeError),
        (np.full((5, 7), 255.0), ValueError),
        (np.full((5, 7), np.nan), ValueError),
        (Image.new("F", (4, 4)), TypeError),
        (b"bytes", TypeError),
    ],
)
def test_what_is_no_picture_is_refused(picture: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_picture(picture)


def test_a_file_that_is_no_picture_is_one_photo_read_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(PhotoReadError, match=r"a\.png"):
        open_picture(tmp_path / "a.png")
