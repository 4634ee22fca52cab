"""A photo in another size: pixels, alpha without rims, and all that belongs to it."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import photo_files as files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dfrestore.photo import Origin, Photo, decode, encode, enlarged
from dfrestore.photo.enlarged import filled, resized

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def waves(height: int, width: int) -> np.ndarray:
    """A smooth picture in [0.1, 0.9], float32 (height, width, 3); the same one in any size."""
    y, x = (np.arange(height)[:, None] + 0.5) / height, (np.arange(width) + 0.5) / width
    planes = [0.5 + 0.4 * np.sin(3 * x + phase) * np.cos(2 * y) for phase in (0, 1, 2)]
    return np.dstack(planes).astype(np.float32)


def disc(height: int, width: int) -> np.ndarray:
    """True inside a disc in the middle."""
    y, x = (np.arange(height)[:, None] + 0.5) / height - 0.5, (np.arange(width) + 0.5) / width - 0.5
    return y**2 + x**2 < 0.3**2


@pytest.mark.parametrize(("height", "width"), [(80, 120), (33, 50), (10, 300), (7, 5), (1, 1)])
def test_pixels_are_pillows_bicubic_whatever_the_strips(
    height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = np.random.default_rng(0).random((40, 60), np.float32)
    whole = np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
    assert np.allclose(resized(plane, height, width), whole, atol=1e-6)
    monkeypatch.setattr(import_module("dfrestore.photo.enlarged"), "_BLOCK", 300)
    assert np.allclose(resized(plane, height, width), whole, atol=1e-6)


def test_a_smooth_picture_is_the_same_one_in_any_size() -> None:
    photo = Photo(waves(60, 90))
    for height, width in ((240, 360), (90, 135), (30, 45)):
        assert np.abs(enlarged(photo, height, width).rgb - waves(height, width)).max() < 0.02


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.booleans(), st.integers(0, 99))
def test_any_size_to_any_other(size: tuple[int, int], wanted: tuple[int, int], clear: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alpha = rng.integers(0, 256, size, dtype=np.uint8) if clear else None
    photo = Photo(rng.random((*size, 3), np.float32), alpha)
    made = enlarged(photo, *wanted)
    assert made.size == wanted
    assert made.rgb.dtype == np.float32
    assert 0 <= made.rgb.min() <= made.rgb.max() <= 1
    assert (made.alpha is None) == (alpha is None)
    assert made.alpha is None or (made.alpha.shape, made.alpha.dtype) == (wanted, np.uint8)


@given(SIZES, SIZES, st.floats(0, 1, width=32))
def test_an_even_colour_stays_that_colour(size: tuple[int, int], wanted: tuple[int, int], value: float) -> None:
    made = enlarged(Photo(np.full((*size, 3), value, np.float32)), *wanted)
    assert np.allclose(made.rgb, np.float32(value), atol=1e-6)


def test_the_same_size_is_the_same_photo() -> None:
    photo = Photo(waves(5, 7))
    assert enlarged(photo, 5, 7) is photo


def test_a_size_that_no_picture_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture has a size of 0 x 4"):
        enlarged(Photo(waves(5, 7)), 4, 0)


def test_grey_stays_grey() -> None:
    rgb = np.repeat(np.random.default_rng(1).random((20, 30, 1), np.float32), 3, axis=2)
    made = enlarged(Photo(rgb, origin=Origin(grey=True)), 51, 77).rgb
    assert (made == made[..., :1]).all()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_alpha_is_enlarged_smoothly(kind: type) -> None:
    most = np.iinfo(kind).max
    ramp = np.tile(np.linspace(0, most, 30), (20, 1)).astype(kind)
    alpha = enlarged(Photo(waves(20, 30), ramp), 80, 120).alpha
    assert alpha is not None
    assert (alpha.dtype, alpha[0, 0], alpha[0, -1]) == (kind, 0, most)
    assert np.abs(np.diff(alpha[40].astype(float))).max() < most / 60


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(90, 132), (12, 17)])
def test_a_binary_alpha_stays_binary_and_in_place(kind: type, size: tuple[int, int]) -> None:
    most = np.iinfo(kind).max
    alpha = enlarged(Photo(waves(30, 44), np.where(disc(30, 44), most, 0).astype(kind)), *size).alpha
    assert alpha is not None
    assert set(np.unique(alpha)) == {0, most}
    assert ((alpha > 0) != disc(*size)).mean() < 0.02


@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_no_rim_of_the_hidden_colour_appears(hidden: float) -> None:
    shown = disc(60, 90)
    picture = np.where(shown[..., None], waves(60, 90), np.float32(hidden))
    alpha = np.where(shown, 255, 0).astype(np.uint8)
    made = enlarged(Photo(picture, alpha), 240, 360)
    visible = made.alpha > 0
    assert np.abs(made.rgb - waves(240, 360))[visible].max() < 0.05
    assert np.abs(resized(picture[..., 0], 240, 360) - waves(240, 360)[..., 0])[visible].max() > 0.1  # the rim


def test_half_hidden_colours_are_left_as_they_are() -> None:
    rgb, alpha = files.noise("RGB") / np.float32(255), np.full((13, 17), 1, np.uint8)
    assert filled(rgb, alpha) is rgb
    assert filled(rgb, np.zeros_like(alpha)) is rgb
    alpha[2:9, 3:8] = 0
    made = filled(rgb, alpha)
    assert np.array_equal(made[alpha > 0], rgb[alpha > 0])
    assert not np.array_equal(made[alpha == 0], rgb[alpha == 0])


@given(SIZES, st.integers(0, 99))
def test_filled_colours_are_means_of_known_ones(size: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rgb = rng.random((*size, 3), np.float32)
    alpha = rng.integers(0, 2, size, dtype=np.uint8)
    known = rgb[alpha > 0] if alpha.any() else rgb.reshape(-1, 3)
    made = filled(rgb, alpha)
    assert (made.reshape(-1, 3) >= known.min(axis=0) - 1e-6).all()
    assert (made.reshape(-1, 3) <= known.max(axis=0) + 1e-6).all()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_size_tags_follow_when_it_is_written(format: str) -> None:
    data = files.make(files.noise("RGB"), "PNG", exif=files.exif(1, width=17, height=13))
    photo = decode(data, "a.png")
    made = enlarged(photo, 26, 34)
    written, _ = encode(made, made.rgb, format)
    image = Image.open(io.BytesIO(written))
    assert image.size == (34, 26)
    details = image.getexif().get_ifd(0x8769)
    assert (details[0xA002], details[0xA003]) == (34, 26)


def test_what_belongs_to_the_photo_stays() -> None:
    photo = replace(Photo(waves(8, 9), origin=Origin(format="TIFF", bits=16, icc=b"icc")), warnings=("said",))
    made = enlarged(photo, 16, 18)
    assert (made.origin, made.warnings) == (photo.origin, photo.warnings)


def test_memory_is_that_of_the_result_and_little_more(tmp_path: Path) -> None:
    photo = Photo(np.zeros((500, 1000, 3), np.float32))
    tracemalloc.start()
    made = enlarged(photo, 2000, 4000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.3 * made.rgb.nbytes
