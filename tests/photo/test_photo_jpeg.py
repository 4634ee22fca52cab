"""JPEG: written at the source's quality (at least 95) and chroma subsampling, without further loss worth a name."""

from __future__ import annotations

import io

import numpy as np
import photo_files as files
import pytest
import skimage.data
from PIL import Image, JpegImagePlugin

from dfrestore.photo import decode, encode, jpeg

CAT = skimage.data.cat()
ASTRONAUT = skimage.data.astronaut()
COFFEE = skimage.data.coffee()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2)))


@pytest.mark.parametrize("quality", [1, 30, 50, 75, 90, 95, 97, 98, 100])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_quality_of_libjpeg_files_is_read_exactly(quality: int, mode: str) -> None:
    data = files.make(files.noise(mode), "JPEG", quality=quality)
    assert decode(data, "photo").origin.quality == quality


@pytest.mark.parametrize(("source", "result"), [(60, 95), (95, 95), (98, 98), (100, 100)])
def test_it_is_written_at_the_sources_quality_but_at_least_95(source: int, result: int) -> None:
    photo = decode(files.make(CAT, "JPEG", quality=source), "photo")
    assert decode(encode(photo, photo.rgb)[0], "result").origin.quality == result


def test_tables_of_other_makers_count_as_the_nearest_quality() -> None:
    tables = [[max(1, v * 3 // 10) for v in table] for table in (jpeg._LUMA, jpeg._CHROMA)]
    quality = decode(files.make(CAT, "JPEG", qtables=tables), "photo").origin.quality
    assert quality is not None
    assert 83 <= quality <= 87


@pytest.mark.parametrize(("number", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
@pytest.mark.parametrize("progressive", [False, True])
def test_subsampling_and_progression_are_the_sources(number: int, name: str, progressive: bool) -> None:
    photo = decode(files.make(CAT, "JPEG", subsampling=number, progressive=progressive), "photo")
    assert photo.origin.subsampling == name
    result = files.pillow(encode(photo, photo.rgb)[0])
    assert isinstance(result, JpegImagePlugin.JpegImageFile)
    assert JpegImagePlugin.get_sampling(result) == number
    assert bool(result.info.get("progressive")) is progressive


@pytest.mark.parametrize("array", [CAT, ASTRONAUT, COFFEE], ids=["cat", "astronaut", "coffee"])
@pytest.mark.parametrize("options", [{"quality": 75}, {"quality": 95, "subsampling": 0}, {"quality": 92}])
def test_a_jpeg_photo_read_and_written_again_loses_next_to_nothing(array: np.ndarray, options: dict[str, int]) -> None:
    photo = decode(files.make(array, "JPEG", **options), "photo")
    again = decode(encode(photo, photo.rgb)[0], "result")
    assert psnr(photo.rgb, again.rgb) >= 42


@pytest.mark.parametrize("array", [CAT, ASTRONAUT, COFFEE], ids=["cat", "astronaut", "coffee"])
def test_a_lossless_photo_as_jpeg_is_full_chroma_at_97(array: np.ndarray) -> None:
    photo = decode(files.make(array, "PNG"), "photo")
    again = decode(encode(photo, photo.rgb, "JPEG")[0], "result")
    assert (again.origin.quality, again.origin.subsampling) == (97, "4:4:4")
    assert psnr(photo.rgb, again.rgb) >= 42


def test_a_quality_that_is_asked_for_is_taken() -> None:
    photo = decode(files.make(CAT, "JPEG", quality=98), "photo")
    assert decode(encode(photo, photo.rgb, quality=80)[0], "result").origin.quality == 80


def test_grey_stays_grey() -> None:
    photo = decode(files.make(CAT[..., 0], "JPEG", quality=90), "photo")
    result = files.pillow(encode(photo, photo.rgb)[0])
    assert photo.origin.grey
    assert result.mode == "L"


def test_progressive_noise_at_full_quality_is_written_too() -> None:
    blank = np.zeros((300, 300, 3), np.uint8)
    photo = decode(files.make(blank, "JPEG", progressive=True, subsampling=0), "photo")
    rgb = files.noise("RGB", 8, (300, 300)).astype(np.float32) / 255
    result, _ = encode(photo, rgb, quality=100)
    again = decode(result, "result")
    assert again.origin.progressive
    assert psnr(rgb, again.rgb) > 30


def test_quarter_turned_half_chroma_is_written_with_full_chroma() -> None:
    data = files.make(CAT, "JPEG", subsampling=1, exif=b"Exif\0\0" + files.exif(6))
    assert decode(data, "photo").origin.subsampling == "4:4:4"


def cut(data: bytes, part: float, tail: bytes) -> bytes:
    return data[: int(len(data) * part)] + tail


@pytest.mark.parametrize("part", [0.4, 0.9])
@pytest.mark.parametrize("tail", [b"", bytes(999), b"\xff\xd9"], ids=["short", "zeros", "end marker"])
@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}])
def test_a_cut_off_jpeg_is_refused_even_where_its_end_was_mended(
    part: float, tail: bytes, options: dict[str, int]
) -> None:
    from dfrestore.errors import PhotoReadError

    with pytest.raises(PhotoReadError, match="ends early"):
        decode(cut(files.make(CAT, "JPEG", **options), part, tail), "photo.jpg")


def test_a_whole_grey_jpeg_is_not_taken_for_a_cut_off_one() -> None:
    data = files.make(np.full((40, 40, 3), 128, np.uint8), "JPEG")
    assert (np.rint(decode(data, "photo").rgb * 255) == 128).all()


def test_trailing_bytes_do_no_harm() -> None:
    data = files.make(CAT, "JPEG")
    assert np.array_equal(decode(data + b"appended by a camera", "photo").rgb, decode(data, "photo").rgb)


def test_comments_and_extended_xmp_are_kept() -> None:
    data = files.make(CAT, "JPEG", comment=b"a comment")
    content = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + b"<more/>"
    data = data[:20] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + data[20:]
    photo = decode(data, "photo")
    result, _ = encode(photo, photo.rgb)
    assert files.pillow(result).info["comment"] == b"a comment"
    assert content in result
    assert content not in encode(photo, photo.rgb, strip_metadata=True)[0]


def test_a_second_whole_exif_block_is_passed_over() -> None:
    block = b"Exif\0\0" + files.exif(6)
    data = files.make(CAT, "JPEG", exif=block)
    extra = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    photo = decode(data[:20] + extra + data[20:], "photo")
    assert photo.origin.exif is not None
    assert len(photo.origin.exif) < len(block)


def test_an_mpo_gives_its_main_picture_with_a_warning() -> None:
    buffer = io.BytesIO()
    Image.fromarray(CAT).save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(255 - CAT)])
    photo = decode(buffer.getvalue(), "photo.jpg")
    assert photo.warnings == ("frame 1 of 2 taken",)
    assert psnr(photo.rgb, CAT / 255) > 30
    assert files.pillow(encode(photo, photo.rgb)[0]).format == "JPEG"
