"""A file is opened again before it is called done; metadata that would keep it from opening is dropped with a word."""

from __future__ import annotations

import io
import struct

import numpy as np
import photo_files as files
import pytest
from PIL import Image, features

from dfrestore.photo import Origin, Photo, decode, encode, png
from dfrestore.photo.containers import trouble

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow has no AVIF")
TARGETS = ["PNG", "JPEG", "WEBP", "TIFF", pytest.param("AVIF", marks=needs_avif)]


def entry_of(tag: int, kind: int, count: int, value: int, order: str = "<") -> bytes:
    """A block of one directory with one entry, and room behind it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "HHHII", 1, tag, kind, count, value) + bytes(400)


DAMAGED = {
    "BigTIFF": b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 0) + bytes(80),
    "an orientation within the header": entry_of(0x0112, 3, 173, 1),
    "an orientation within the directory": entry_of(0x0112, 3, 173, 10),
    "a size within the header": entry_of(0x0100, 3, 173, 0),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_photo_with_damaged_exif_becomes_a_file_that_opens(target: str, damage: str) -> None:
    data = files.make(files.noise("RGB", 8, (16, 24)), "WEBP", exif=b"Exif\0\0" + DAMAGED[damage])
    photo = decode(data, "photo.webp")
    again, _ = encode(photo, photo.rgb, target)
    assert files.pillow(again).size == (24, 16)
    assert decode(again, "result").size == (16, 24)


@needs_avif
def test_exif_that_an_avif_does_not_open_with_is_dropped_and_said_and_the_rest_stays() -> None:
    bad = b"no TIFF header, but long enough to be taken for a block of EXIF, byte for byte"
    origin = Origin(format="AVIF", exif=bad, xmp=files.XMP, icc=files.profile("P3"))
    rgb = np.full((16, 24, 3), 0.5, np.float32)
    data, warnings = encode(Photo(rgb, origin=origin), rgb)
    assert warnings == ["EXIF dropped: with it the AVIF would not open"]
    again = files.pillow(data)
    assert "exif" not in again.info
    assert again.info["icc_profile"] == files.profile("P3")
    assert b"Gr\xc3\xbc\xc3\x9fe" in again.info["xmp"]


@pytest.mark.parametrize("kind", [b"gAMA", b"cHRM", b"sRGB"])
def test_a_damaged_colour_chunk_is_dropped_and_said_and_the_others_stay(kind: bytes) -> None:
    data = files.make(files.noise("RGB"), "PNG", icc_profile=files.profile("P3"))
    data = files.with_text_chunk(files.with_text_chunk(data, kind, b""), b"tEXt", b"Author\0me")
    with pytest.raises(ValueError, match="Truncated"):
        Image.open(io.BytesIO(data))
    photo = decode(data, "photo.png")
    again, warnings = encode(photo, photo.rgb)
    assert warnings == [f"{kind.decode()} dropped: with it the PNG would not open"]
    assert files.pillow(again).info["Author"] == "me"
    assert files.pillow(again).info["icc_profile"] == files.profile("P3")


def test_a_large_profile_is_no_reason_to_drop_it() -> None:
    icc = files.profile("P3") + np.random.default_rng(0).bytes(2 << 20)
    photo = decode(files.make(files.noise("RGB"), "TIFF", icc_profile=icc), "photo.tif")
    data, warnings = encode(photo, photo.rgb, "PNG")
    assert warnings == []
    assert decode(data, "result").origin.icc == icc


def test_a_file_of_another_size_or_with_a_torn_header_is_in_trouble() -> None:
    data = files.make(files.noise("RGB"), "PNG")
    assert trouble(data, "PNG", 17, 13) is None
    assert trouble(data, "PNG", 13, 17) == "it says 17 x 13"
    assert trouble(data[:20], "PNG", 17, 13) == "no PNG header"
    torn = png.SIGNATURE + png.chunk(b"gAMA", b"\0") + data[8:]
    assert trouble(torn, "PNG", 17, 13) is not None
