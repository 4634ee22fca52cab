"""Other formats than the source's, WebP's two kinds, TIFF's compressions, and files of several frames."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import photo_files as files
import pytest
import tifffile
from PIL import Image

from dfrestore.errors import PhotoWriteError
from dfrestore.photo import Photo, decode, encode, format_of_path, is_candidate, normal_format, read, webp, write


def rgb_photo(format: str = "PNG", mode: str = "RGB", bits: int = 8) -> Photo:
    return decode(files.make(files.noise(mode, bits), format), "photo")


@pytest.mark.parametrize("target", ["JPEG", "WEBP"])
def test_16_bit_to_an_8_bit_format_says_so(target: str) -> None:
    photo = rgb_photo(bits=16)
    data, warnings = encode(photo, photo.rgb, target)
    assert warnings == [f"16 bit reduced to 8 bit: {target} holds no more"]
    assert decode(data, "result").origin.bits == 8


@pytest.mark.parametrize("target", ["PNG", "TIFF"])
@pytest.mark.parametrize("source", ["PNG", "TIFF"])
def test_16_bit_stays_16_bit_between_png_and_tiff(source: str, target: str) -> None:
    photo = rgb_photo(source, "RGBA", 16)
    data, warnings = encode(photo, photo.rgb, target)
    assert warnings == []
    assert np.array_equal(files.samples(data, target), files.noise("RGBA", 16))


def test_alpha_to_jpeg_is_dropped_and_said_while_the_colour_stays() -> None:
    array = np.zeros((16, 16, 4), np.uint8)
    array[..., 0] = 200
    photo = decode(files.make(array, "PNG"), "photo")
    data, warnings = encode(photo, photo.rgb, "JPEG")
    assert warnings == ["alpha dropped: JPEG cannot hold it"]
    assert abs(int(files.samples(data, "JPEG")[8, 8, 0]) - 200) < 3


def test_16_bit_alpha_is_rounded_in_8_bit_formats() -> None:
    array = files.noise("RGBA", 16)
    photo = decode(files.make(array, "PNG"), "photo")
    data, _ = encode(photo, photo.rgb, "WEBP")
    assert np.array_equal(files.samples(data, "WEBP")[..., 3], np.rint(array[..., 3] / 257))


def test_comments_that_belong_to_a_format_are_said_to_be_lost() -> None:
    photo = decode(files.with_text_chunk(files.make(files.noise("RGB"), "PNG"), b"tEXt", b"Author\0me"), "photo")
    assert encode(photo, photo.rgb, "TIFF")[1] == ["text comments dropped: they belong to PNG"]
    assert encode(photo, photo.rgb, "TIFF", strip_metadata=True)[1] == []


def test_resolution_in_webp_is_said_to_be_lost_unless_exif_holds_it() -> None:
    plain = decode(files.make(files.noise("RGB"), "PNG", dpi=(300, 300)), "photo")
    rich = decode(files.make(files.noise("RGB"), "JPEG", dpi=(300, 300), exif=b"Exif\0\0" + files.exif()), "photo")
    assert encode(plain, plain.rgb, "WEBP")[1] == ["DPI dropped: WebP cannot hold it"]
    assert encode(rich, rich.rgb, "WEBP")[1] == []


def stream_kind(data: bytes) -> set[bytes]:
    return {kind for kind, _ in webp.chunks(data)} & {b"VP8 ", b"VP8L"}


@pytest.mark.parametrize("source", ["PNG", "TIFF", "WEBP"])
def test_webp_from_a_lossless_source_is_lossless(source: str) -> None:
    photo = rgb_photo(source)
    assert stream_kind(encode(photo, photo.rgb, "WEBP")[0]) == {b"VP8L"}


def test_webp_from_a_lossy_source_is_lossy_with_exact_alpha() -> None:
    array = files.noise("RGBA", 8, (64, 64))
    photo = decode(files.make(array, "WEBP", lossless=False, quality=80), "photo")
    data, _ = encode(photo, photo.rgb)
    assert stream_kind(data) == {b"VP8 "}
    assert np.array_equal(files.samples(data, "WEBP")[..., 3], array[..., 3])
    jpeg = rgb_photo("JPEG")
    assert stream_kind(encode(jpeg, jpeg.rgb, "WEBP")[0]) == {b"VP8 "}


def test_a_webp_quality_that_is_asked_for_makes_it_lossy() -> None:
    photo = rgb_photo("WEBP")
    assert stream_kind(encode(photo, photo.rgb, quality=90)[0]) == {b"VP8 "}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
def test_lossless_tiff_compression_is_kept(bits: int, compression: str) -> None:
    buffer = io.BytesIO()
    name = {"none": None, "deflate": "zlib"}.get(compression, compression)
    tifffile.imwrite(buffer, files.noise("RGB", bits), photometric="rgb", compression=name)
    photo = decode(buffer.getvalue(), "photo")
    again = decode(encode(photo, photo.rgb)[0], "result")
    assert photo.origin.compression == again.origin.compression == compression
    assert np.array_equal(photo.rgb, again.rgb)


def test_jpeg_in_tiff_is_written_with_deflate() -> None:
    photo = decode(files.make(files.noise("RGB", 8, (32, 32)), "TIFF", compression="jpeg"), "photo")
    assert not photo.origin.lossless
    assert decode(encode(photo, photo.rgb)[0], "result").origin.compression == "deflate"


def test_smooth_tiff_is_small_thanks_to_prediction() -> None:
    ramp = np.add.outer(np.arange(256), np.arange(256)).astype(np.uint16) * 100
    photo = decode(files.make(np.dstack([ramp] * 3), "TIFF", compression="zlib"), "photo")
    assert len(encode(photo, photo.rgb)[0]) < ramp.size


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken_and_said(format: str) -> None:
    frames = [Image.fromarray(files.noise("RGB", seed=i)) for i in range(3)]
    buffer = io.BytesIO()
    options = {"lossless": True} if format == "WEBP" else {}
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:], **options)
    photo = decode(buffer.getvalue(), "photo")
    assert photo.warnings == (f"{'page' if format == 'TIFF' else 'frame'} 1 of 3 taken",)
    assert np.array_equal(np.rint(photo.rgb * 255), files.noise("RGB"))
    again = decode(encode(photo, photo.rgb)[0], "result")
    assert again.warnings == ()
    assert np.array_equal(again.rgb, photo.rgb)


def test_the_extension_of_the_output_chooses_its_format(tmp_path: Path) -> None:
    photo = rgb_photo("PNG")
    for suffix, format in ((".JPG", "JPEG"), (".tif", "TIFF"), (".webp", "WEBP"), (".png", "PNG"), ("", "PNG")):
        write(tmp_path / f"result{suffix}", photo, photo.rgb)
        assert read(tmp_path / f"result{suffix}").origin.format == format


def test_an_explicit_format_wins_over_the_extension(tmp_path: Path) -> None:
    photo = rgb_photo()
    write(tmp_path / "result.png", photo, photo.rgb, format="tif")
    assert read(tmp_path / "result.png").origin.format == "TIFF"


def test_formats_that_are_not_written_are_refused_with_the_ones_that_are(tmp_path: Path) -> None:
    photo = rgb_photo()
    with pytest.raises(PhotoWriteError, match=r"\.gif is not written; use one of \.png, \.jpg, \.webp, \.tif"):
        write(tmp_path / "result.gif", photo, photo.rgb)
    with pytest.raises(PhotoWriteError, match="not written; use PNG, JPEG, WEBP, TIFF"):
        encode(photo, photo.rgb, "bmp")
    with pytest.raises(PhotoWriteError, match="between 1 and 100"):
        encode(photo, photo.rgb, "JPEG", quality=0)


def test_pictures_too_wide_for_a_format_are_refused_with_a_way_out() -> None:
    rgb = np.zeros((1, 16384, 3), np.float32)
    with pytest.raises(PhotoWriteError, match=r"16384 x 1 is more than WEBP can hold .* use PNG or TIFF"):
        encode(Photo(rgb), rgb, "WEBP")
    assert decode(encode(Photo(rgb), rgb, "PNG")[0], "result").size == (1, 16384)


def test_names_of_formats_and_candidates() -> None:
    assert [normal_format(n) for n in ("jpg", "JPEG", ".tif", "webp", "png", "gif")] == [
        "JPEG", "JPEG", "TIFF", "WEBP", "PNG", None,
    ]  # fmt: skip
    assert format_of_path("a.b/c.JPEG") == "JPEG"
    assert format_of_path("c.jpeg.txt") is None
    assert [is_candidate(n) for n in ("a.png", "._a.png", ".a.png", "a.xmp", "a.TIFF", "a.gif", "a.jxl")] == [
        True, False, False, False, True, True, False,
    ]  # fmt: skip
