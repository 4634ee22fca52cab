"""Palettes, transparency, one bit, CMYK, and TIFF's unusual layouts."""

from __future__ import annotations

import io
import struct

import numpy as np
import photo_files as files
import pytest
import tifffile
from PIL import Image

from dfrestore.errors import PhotoReadError
from dfrestore.photo import decode, encode, png


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def palette_picture() -> Image.Image:
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 5, "L")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150])
    return Image.frombytes("P", image.size, image.tobytes()) if image.mode != "P" else image


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_a_palette_picture_becomes_rgb_and_says_so(format: str) -> None:
    source = palette_picture()
    photo = decode(saved(source, format), "photo")
    assert photo.warnings == ("palette picture: the result is RGB",)
    assert photo.origin.mode == "P"
    result = files.pillow(encode(photo, photo.rgb)[0])
    assert result.mode == "RGB"
    assert np.array_equal(np.asarray(result), np.asarray(source.convert("RGB")))


def test_a_palette_with_transparency_becomes_rgba_and_keeps_hidden_colours() -> None:
    photo = decode(saved(palette_picture(), "PNG", transparency=bytes([0, 128, 255])), "photo")
    assert photo.warnings == ("palette picture: the result is RGBA",)
    result = np.asarray(files.pillow(encode(photo, photo.rgb)[0]))
    assert result[0, 0].tolist() == [10, 20, 30, 0]
    assert result[0, 1].tolist() == [40, 50, 60, 128]
    assert result[0, 3].tolist() == [100, 110, 120, 255]


@pytest.mark.parametrize(("mode", "bits"), [("RGB", 8), ("RGB", 16), ("L", 8), ("L", 16)])
def test_a_transparent_colour_becomes_alpha_and_the_colour_stays(mode: str, bits: int) -> None:
    array = files.noise(mode, bits)
    key = np.atleast_1d(array[2, 3])
    data = files.make(array, "PNG")
    data = data[:33] + png.chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) + data[33:]
    photo = decode(data, "photo")
    assert photo.alpha is not None
    assert photo.alpha[2, 3] == 0
    assert photo.alpha.dtype == array.dtype
    assert photo.alpha.max() == np.iinfo(array.dtype).max
    again = files.samples(encode(photo, photo.rgb)[0], "PNG")
    assert np.array_equal(again[..., :-1].squeeze(), array)


@pytest.mark.parametrize("format", files.LOSSLESS)
def test_colours_under_alpha_zero_are_kept(format: str) -> None:
    array = files.noise("RGBA")
    array[..., 3] = 0
    photo = decode(files.make(array, format), "photo")
    assert np.array_equal(files.samples(encode(photo, photo.rgb)[0], format), array)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_one_bit_becomes_grey_and_says_so(format: str) -> None:
    array = files.noise("L") > 128
    photo = decode(saved(Image.fromarray(array), format), "photo")
    assert photo.warnings == ("black and white picture: the result is grey",)
    assert np.array_equal(files.samples(encode(photo, photo.rgb)[0], format), array * np.uint8(255))


@pytest.mark.parametrize("depth", [2, 4])
def test_shallow_grey_png_uses_its_full_range(depth: int) -> None:
    indices = np.arange(8, dtype=np.uint8).reshape(2, 4) % (1 << depth)
    packed = [int("".join(f"{v:0{depth}b}" for v in row), 2).to_bytes(4 * depth // 8, "big") for row in indices]
    import zlib

    parts = [
        png.chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 2, depth, 0, 0, 0, 0)),
        png.chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))),
        png.chunk(b"IEND", b""),
    ]
    photo = decode(png.SIGNATURE + b"".join(parts), "photo")
    np.testing.assert_allclose(photo.rgb[..., 0], indices / ((1 << depth) - 1), atol=1e-6)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile_and_says_so(format: str) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    photo = decode(saved(cyan, format, icc_profile=files.profile("CMYK")), "photo")
    assert photo.warnings == ("CMYK converted to sRGB through its profile",)
    red, green, blue = photo.rgb[8, 8]
    assert green > max(red, blue) + 0.1  # the profile's green, not the plain formula's cyan
    data, _ = encode(photo, photo.rgb)
    result = files.pillow(data)
    assert result.mode == "RGB"
    assert result.format == format
    assert "sRGB".encode("utf-16-be") in result.info["icc_profile"]


@pytest.mark.parametrize("icc", [None, b"no profile at all", files.profile("P3")])
def test_cmyk_without_a_usable_profile_is_converted_plainly_and_says_so(icc: bytes | None) -> None:
    options = {"icc_profile": icc} if icc else {}
    photo = decode(saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "TIFF", **options), "photo")
    assert len(photo.warnings) == 1
    assert "approximate" in photo.warnings[0]
    np.testing.assert_allclose(photo.rgb[8, 8], [0, 1, 1], atol=0.02)


def tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiff_with_separate_planes_tiles_and_either_byte_order_reads_the_same(kind: type) -> None:
    array = files.noise("RGB", np.dtype(kind).itemsize * 8, (40, 52))
    expected = decode(tiff(array, photometric="rgb"), "photo").rgb
    planes = np.moveaxis(array, -1, 0)
    for data in (
        tiff(planes, photometric="rgb", planarconfig="separate"),
        tiff(array, photometric="rgb", tile=(16, 32), compression="zlib"),
        tiff(array, photometric="rgb", byteorder=">"),
        tiff(array, photometric="rgb", compression="lzw", predictor=True, rowsperstrip=7),
        tiff(array, photometric="rgb", bigtiff=True),
    ):
        assert np.array_equal(decode(data, "photo").rgb, expected)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiff_where_zero_is_white_is_turned_round(kind: type) -> None:
    array = files.noise("L", np.dtype(kind).itemsize * 8)
    photo = decode(tiff(array, photometric="miniswhite"), "photo")
    full = np.iinfo(kind).max
    np.testing.assert_allclose(photo.rgb[..., 0] * full, full - array.astype(float), atol=0.01)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_an_unspecified_fourth_channel_is_carried_along_as_it_is(kind: type) -> None:
    array = files.noise("RGBA", np.dtype(kind).itemsize * 8)
    data = tiff(array, photometric="rgb", extrasamples=["unspecified"])
    photo = decode(data, "photo")
    result, warnings = encode(photo, photo.rgb)
    assert warnings == []
    with tifffile.TiffFile(io.BytesIO(result)) as file:
        assert [int(e) for e in file.pages[0].extrasamples] == [0]
        assert np.array_equal(file.asarray(), array)


def test_premultiplied_alpha_becomes_straight_and_says_so() -> None:
    array = np.full((4, 4, 4), 100, np.uint16) * np.uint16([100, 200, 300, 400])
    photo = decode(tiff(array, photometric="rgb", extrasamples=["assocalpha"]), "photo")
    assert photo.warnings == ("premultiplied alpha becomes straight alpha",)
    np.testing.assert_allclose(photo.rgb[0, 0], [0.25, 0.5, 0.75], atol=1e-4)


def test_further_channels_are_dropped_and_said() -> None:
    array = np.random.default_rng(0).integers(0, 256, (6, 7, 5), dtype=np.uint8)
    photo = decode(tiff(array, photometric="rgb", extrasamples=["unassalpha", "unspecified"]), "photo")
    assert photo.warnings == ("1 extra channel dropped",)
    assert np.array_equal(np.rint(photo.rgb * 255), array[..., :3])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint32),
        np.zeros((4, 4), np.int16),
    ],
)
def test_float_signed_and_32_bit_tiff_are_refused_with_a_way_out(array: np.ndarray) -> None:
    data = tiff(array, photometric="rgb" if array.ndim == 3 else "minisblack")
    with pytest.raises(PhotoReadError, match="convert it to 16 bit first"):
        decode(data, "photo.tif")


def test_16_bit_cmyk_and_lab_tiff_are_refused_with_a_way_out() -> None:
    array = np.zeros((4, 4, 4), np.uint16)
    with pytest.raises(PhotoReadError, match="CMYK TIFF of 16 bits is not read; convert it to RGB"):
        decode(tiff(array, photometric="separated"), "photo.tif")
    with pytest.raises(PhotoReadError, match="convert it to RGB first"):
        decode(saved(Image.new("LAB", (4, 4)), "TIFF"), "photo.tif")
