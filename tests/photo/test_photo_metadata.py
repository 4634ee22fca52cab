"""Orientation, colour profiles, EXIF, XMP, IPTC, resolution: kept, updated, or dropped with a word."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import photo_files as files
import pytest
import tifffile
from PIL import ExifTags, Image

from dfrestore.photo import Photo, decode, encode, png, read, write
from dfrestore.photo import exif as exif_block

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
P3 = files.profile("P3")


def picture(format: str, orientation: int = 1, size: tuple[int, int] = (32, 64), **options: object) -> bytes:
    """Four flat quarters, so that JPEG shows its orientation too."""
    array = np.zeros((*size, 3), np.uint8)
    half_h, half_w = size[0] // 2, size[1] // 2
    array[:half_h, :half_w], array[:half_h, half_w:] = (200, 30, 30), (30, 200, 30)
    array[half_h:, :half_w], array[half_h:, half_w:] = (30, 30, 200), (220, 220, 220)
    exif = b"Exif\0\0" + files.exif(orientation, size[1], size[0])
    if format == "TIFF":
        parsed = Image.Exif()
        parsed.load(exif)
        return files.make(array, format, exif=parsed, **options)
    return files.make(array, format, exif=exif, **options)


def expected(orientation: int, image: Image.Image) -> np.ndarray:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    return np.asarray(image.transpose(turns[orientation]) if orientation in turns else image)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_applied_and_its_tag_set_to_one(format: str, orientation: int) -> None:
    plain = Image.fromarray(np.rint(decode(picture(format), "photo").rgb * 255).astype(np.uint8))
    photo = decode(picture(format, orientation), "photo")
    assert np.array_equal(np.rint(photo.rgb * 255), expected(orientation, plain))
    result = files.pillow(encode(photo, photo.rgb)[0])
    assert result.getexif().get(ExifTags.Base.Orientation) == 1
    assert result.size[::-1] == photo.size
    difference = np.abs(np.asarray(result).astype(int) - expected(orientation, plain))
    assert difference.mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_alpha_turns_with_the_picture(orientation: int) -> None:
    array = files.noise("RGBA")
    data = files.make(array, "PNG", exif=b"Exif\0\0" + files.exif(orientation))
    photo = decode(data, "photo")
    assert photo.alpha is not None
    together = np.dstack([np.rint(photo.rgb * 255).astype(np.uint8), photo.alpha])
    assert np.array_equal(together, expected(orientation, Image.fromarray(array)))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_a_tiff_orientation_is_applied_once(kind: type, orientation: int) -> None:
    array = files.noise("RGB", np.dtype(kind).itemsize * 8)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    photo = decode(buffer.getvalue(), "photo")
    turned = np.dstack([expected(orientation, Image.fromarray(array[..., i])) for i in range(3)])
    assert np.array_equal(np.rint(photo.rgb * np.iinfo(kind).max), turned)
    again = decode(encode(photo, photo.rgb)[0], "result")
    assert np.array_equal(again.rgb, photo.rgb)


@pytest.mark.parametrize("value", [0, 9, 77])
def test_nonsense_orientations_count_as_upright(value: int) -> None:
    assert decode(picture("JPEG", value), "photo").size == (32, 64)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["P3", "broken"])
def test_the_colour_profile_is_kept_byte_for_byte(tmp_path: Path, format: str, name: str) -> None:
    icc = P3 if name == "P3" else b"\0\1\2 not a profile" * 10
    photo = read(files.put(tmp_path, files.noise("RGB"), format, icc_profile=icc))
    result = tmp_path / f"result{files.SUFFIX[format]}"
    write(result, photo, photo.rgb)
    assert photo.origin.icc == icc
    assert files.pillow(result).info["icc_profile"] == icc


def test_profiles_of_several_segments_are_kept_in_jpeg() -> None:
    icc = P3 + bytes(range(256)) * 800
    photo = decode(files.make(files.noise("RGB"), "JPEG", icc_profile=icc), "photo")
    assert files.pillow(encode(photo, photo.rgb)[0]).info["icc_profile"] == icc


@pytest.mark.parametrize(("bits", "format"), [(16, "PNG"), (16, "TIFF")])
def test_16_bit_files_keep_profile_exif_xmp_iptc_and_resolution(bits: int, format: str) -> None:
    source = decode(picture("JPEG", 1, dpi=(240, 240), icc_profile=P3, xmp=files.XMP), "photo")
    rich = decode(files.make(files.noise("RGBA", 16, (16, 24)), format), "photo")
    origin = source.origin
    from dataclasses import replace

    photo = Photo(rich.rgb, rich.alpha, replace(rich.origin, icc=P3, exif=origin.exif, xmp=origin.xmp,
                                                iptc=files.PHOTOSHOP, dpi=(240.0, 240.0)))  # fmt: skip
    xmp = (origin.xmp or b"").replace(b">99<", b">24<")
    data, warnings = encode(photo, photo.rgb)
    assert warnings == []
    again = decode(data, "result")
    assert again.warnings == ()
    assert again.origin.bits == bits
    assert (again.origin.icc, again.origin.xmp, again.origin.iptc) == (P3, xmp, files.PHOTOSHOP)
    assert again.origin.dpi == pytest.approx((240, 240), abs=0.01)
    assert np.array_equal(again.rgb, photo.rgb)
    camera = files.pillow(data).getexif()
    assert camera[ExifTags.Base.Make] == "Cam & C"
    assert camera.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == 1 / 250
    assert camera.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", FORMATS)
def test_exif_survives_with_camera_exposure_place_and_maker_note(format: str, order: str) -> None:
    block = files.exif(order=order)
    if format == "TIFF":
        source = picture("TIFF")
    else:
        source = files.make(files.noise("RGB"), format, exif=b"Exif\0\0" + block)
    photo = decode(source, "photo")
    camera = files.pillow(encode(photo, photo.rgb)[0]).getexif()
    details = camera.get_ifd(ExifTags.IFD.Exif)
    assert (camera[ExifTags.Base.Make], camera[ExifTags.Base.Copyright]) == ("Cam & C", "(c) me 26")
    assert details[ExifTags.Base.ExposureTime] == 1 / 250
    assert details[ExifTags.Base.MakerNote] == b"MakerNote\0\1\2"
    assert camera.get_ifd(ExifTags.IFD.GPSInfo)[2] == (52.0, 31.0, 12.0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_stays_byte_for_byte_but_for_orientation_and_thumbnail(order: str) -> None:
    block = files.exif(6, 17, 13, order=order)
    upright = exif_block.upright(block)
    plain = files.exif(1, 17, 13, thumbnail=False, order=order)
    assert upright[: len(plain)] == plain
    assert exif_block.orientation(upright) == 1
    assert b"\xff\xd8\xff" not in upright  # the old preview is gone, not only unlinked


def test_a_thumbnail_in_the_middle_is_blanked_without_moving_anything() -> None:
    block = files.exif() + b"more data behind"
    upright = exif_block.upright(block)
    assert len(upright) == len(block)
    assert upright.endswith(b"more data behind")
    assert b"\xff\xd8\xff" not in upright


def test_size_tags_follow_the_upright_picture() -> None:
    photo = decode(picture("JPEG", 6), "photo")
    details = files.pillow(encode(photo, photo.rgb)[0]).getexif().get_ifd(ExifTags.IFD.Exif)
    assert (details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight]) == (32, 64)


@pytest.mark.parametrize("format", FORMATS)
def test_xmp_survives_and_does_not_contradict_the_orientation(format: str) -> None:
    key = {"TIFF": "tiffinfo"}.get(format, "xmp")
    if format == "PNG":
        data = files.with_text_chunk(picture("PNG", 6), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + files.XMP)
    elif format == "TIFF":
        buffer = io.BytesIO()
        tags = [(700, 1, len(files.XMP), files.XMP, True), (274, 3, 1, 6, True), (271, 2, 4, "Cam", True)]
        tifffile.imwrite(buffer, files.noise("RGB", 8, (32, 64)), photometric="rgb", extratags=tags)
        data = buffer.getvalue()
    else:
        data = picture(format, 6, **{key: files.XMP})
    photo = decode(data, "photo")
    out, _ = encode(photo, photo.rgb)
    again = decode(out, "result")
    wanted = files.XMP.replace(b'Orientation="6"', b'Orientation="1"').replace(b">99<", b">32<")
    assert again.origin.xmp == wanted
    assert again.size == (64, 32)


def test_xmp_elements_are_understood_too() -> None:
    assert (
        exif_block.xmp_upright(b"<tiff:Orientation>8</tiff:Orientation>") == b"<tiff:Orientation>1</tiff:Orientation>"
    )
    assert exif_block.xmp_upright(b"tiff:Orientation = '3'") == b"tiff:Orientation = '1'"


def jpeg_with_iptc(resources: bytes) -> bytes:
    data = files.make(files.noise("RGB"), "JPEG")
    content = b"Photoshop 3.0\0" + resources
    return data[:20] + b"\xff\xed" + struct.pack(">H", len(content) + 2) + content + data[20:]


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF"])
def test_iptc_survives_in_every_format_that_has_a_place_for_it(target: str) -> None:
    photo = decode(jpeg_with_iptc(files.PHOTOSHOP), "photo")
    data, warnings = encode(photo, photo.rgb, target)
    assert warnings == []
    assert files.IPTC_RECORD in (exif_block.iptc_record(decode(data, "result").origin.iptc or b"") or b"")


def test_iptc_in_webp_is_said_to_be_lost() -> None:
    photo = decode(jpeg_with_iptc(files.PHOTOSHOP), "photo")
    assert "IPTC dropped: WebP cannot hold it" in encode(photo, photo.rgb, "WEBP")[1]


def test_bare_iptc_of_a_tiff_survives() -> None:
    buffer = io.BytesIO()
    tags = [(33723, 7, len(files.IPTC_RECORD), files.IPTC_RECORD, True)]
    tifffile.imwrite(buffer, files.noise("RGB"), photometric="rgb", extratags=tags)
    photo = decode(buffer.getvalue(), "photo")
    with tifffile.TiffFile(io.BytesIO(encode(photo, photo.rgb)[0])) as file:
        assert bytes(file.pages[0].tags[33723].value) == files.IPTC_RECORD


def test_photoshops_old_thumbnail_is_dropped() -> None:
    preview = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 6) + b"jpeg!!"
    photo = decode(jpeg_with_iptc(preview + files.PHOTOSHOP), "photo")
    assert photo.origin.iptc == files.PHOTOSHOP


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("dpi", [(300, 300), (72, 96), (254, 254)])
def test_resolution_is_kept(format: str, dpi: tuple[int, int]) -> None:
    photo = decode(files.make(files.noise("RGB"), format, dpi=dpi), "photo")
    result = files.pillow(encode(photo, photo.rgb)[0])
    assert tuple(float(v) for v in result.info["dpi"]) == pytest.approx(dpi, abs=0.02)


def test_resolution_a_centimetre_is_kept_exactly_in_jpeg() -> None:
    data = bytearray(files.make(files.noise("RGB"), "JPEG", dpi=(118, 118)))
    data[13] = 2
    photo = decode(bytes(data), "photo")
    assert encode(photo, photo.rgb)[0][13:18] == bytes(data[13:18])


def test_resolution_turns_with_the_picture() -> None:
    photo = decode(picture("PNG", 6, dpi=(100, 200)), "photo")
    assert photo.origin.dpi == pytest.approx((200, 100), abs=0.02)


@pytest.mark.parametrize("format", FORMATS)
def test_strip_metadata_drops_exif_xmp_iptc_but_neither_profile_nor_resolution(format: str) -> None:
    source = decode(picture("JPEG", 6, dpi=(240, 240), icc_profile=P3, xmp=files.XMP, comment=b"hello"), "photo")
    from dataclasses import replace

    photo = Photo(source.rgb, None, replace(source.origin, iptc=files.PHOTOSHOP))
    origin = decode(encode(photo, photo.rgb, format, strip_metadata=True)[0], "result").origin
    assert (origin.exif, origin.xmp, origin.iptc) == (None, None, None)
    assert not any(name == "COM" for name, _ in origin.native)
    assert origin.icc == P3
    assert format == "WEBP" or origin.dpi == pytest.approx((240, 240), abs=0.02)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "junk", [b"", b"x", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(30), b"q" * 99]
)
def test_unreadable_exif_is_dropped_with_one_warning_and_never_stops_a_photo(format: str, junk: bytes) -> None:
    array = files.noise("RGB")
    photo = decode(files.make(array, format, exif=b"Exif\0\0" + junk), "photo")
    assert photo.warnings == (("unreadable EXIF dropped",) if junk else ())
    assert photo.origin.exif is None
    result = files.pillow(encode(photo, photo.rgb)[0])
    assert result.size == (17, 13)


def test_png_texts_and_colour_chunks_are_kept() -> None:
    data = files.make(files.noise("RGB"), "PNG")
    kept = {
        b"gAMA": struct.pack(">I", 45455),
        b"tEXt": b"Author\0me",
        b"zTXt": b"Comment\0\0" + zlib.compress(b"hello"),
    }
    for kind, content in kept.items():
        data = files.with_text_chunk(data, kind, content)
    photo = decode(data, "photo")
    result, _ = encode(photo, photo.rgb)
    assert kept.items() <= dict(png.chunks(result)).items()
    stripped, _ = encode(photo, photo.rgb, strip_metadata=True)
    assert {k for k, _ in png.chunks(stripped)} == {b"IHDR", b"gAMA", b"IDAT", b"IEND"}


def test_exif_that_imagemagick_hides_in_png_text_is_found() -> None:
    block = b"Exif\0\0" + files.exif(6)
    text = b"\nexif\n" + b"%8d\n" % len(block) + block.hex().encode() + b"\n"
    data = files.make(files.noise("RGB"), "PNG")
    photo = decode(files.with_text_chunk(data, b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)), "photo")
    assert photo.size == (17, 13)
    assert files.pillow(encode(photo, photo.rgb)[0]).getexif()[ExifTags.Base.Make] == "Cam & C"


@pytest.mark.parametrize("keyword", [b"iCCP", b"zTXt", b"iTXt", b"xmp"])
def test_bombs_in_png_metadata_are_dropped_with_a_warning(keyword: bytes) -> None:
    bomb = zlib.compress(bytes(80 << 20), 9)
    kind, content = {
        b"iCCP": (b"iCCP", b"p\0\0" + bomb),
        b"zTXt": (b"zTXt", b"Comment\0\0" + bomb),
        b"iTXt": (b"iTXt", b"Comment\0\1\0\0\0" + bomb),
        b"xmp": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
    }[keyword]
    photo = decode(files.with_text_chunk(files.make(files.noise("RGB"), "PNG"), kind, content), "photo")
    assert photo.warnings == (f"unreadable or oversized {kind.decode()} chunk dropped",)
    assert len(encode(photo, photo.rgb)[0]) < 5000


def test_more_metadata_than_a_jpeg_can_hold_is_dropped_with_a_warning() -> None:
    data = files.with_text_chunk(
        files.make(files.noise("RGB"), "PNG"), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x/>" * 20000
    )
    photo = decode(data, "photo")
    assert encode(photo, photo.rgb, "JPEG")[1] == ["XMP dropped: more than a JPEG can hold (64 KiB)"]


def test_a_grey_profile_is_dropped_where_only_colour_is_held() -> None:
    photo = decode(files.make(files.noise("L"), "PNG", icc_profile=files.profile("GRAY")), "photo")
    assert photo.origin.icc == files.profile("GRAY")
    data, warnings = encode(photo, photo.rgb, "WEBP")
    assert warnings == ["grey colour profile dropped: WebP holds colour only"]
    assert "icc_profile" not in files.pillow(data).info
