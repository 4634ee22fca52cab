"""Files made to cost more than they hold: each is refused or read at a price that follows from its size.

What the fuzz job (``tests/fuzz.py``) found, and what is known to have hurt other readers.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import photo_files as files
import pytest

from dfrestore.errors import PhotoReadError
from dfrestore.photo import Photo, decode, encode, png, read

MB = 1 << 20


@contextmanager
def costs(seconds: float = 5.0, megabytes: float = 300) -> Iterator[None]:
    """The block takes no more CPU and no more memory beyond what was ever held before."""
    resource = pytest.importorskip("resource")
    held, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - begin < seconds
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 1024 * megabytes


def exif_segments(*contents: bytes) -> bytes:
    """A JPEG with these APP1 segments, each behind ``Exif``."""
    data = files.make(files.noise("RGB"), "JPEG")
    return data[:2] + b"".join(_segment(0xE1, b"Exif\0\0" + content) for content in contents) + data[2:]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_exif(block: bytes) -> Photo:
    return decode(exif_segments(block), "photo")


# -- sizes


@pytest.mark.parametrize("size", [(1, 65000), (65000, 1)])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_strips_of_one_pixel_are_read_and_written(format: str, size: tuple[int, int]) -> None:
    photo = decode(files.make(files.noise("RGB", 8, size), format), "strip")
    assert photo.size == size
    assert decode(encode(photo, photo.rgb)[0], "strip").size == size


def test_a_file_larger_than_any_picture_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = files.put(tmp_path, files.noise("RGB"), "PNG")
    os.truncate(path, 5 << 30)
    with costs(), pytest.raises(PhotoReadError, match=r"5\.4 GB, more than a picture of 250 megapixels takes; raise"):
        read(path)


def test_a_file_that_keeps_growing_is_read_as_far_as_it_went(tmp_path: Path) -> None:
    path = files.put(tmp_path, files.noise("RGB"), "PNG")
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.is_set():
                file.write(bytes(MB))
                file.flush()
                if file.tell() > 300 * MB:
                    file.truncate(MB)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with costs(megabytes=1500):
            assert read(path).size == (13, 17)
    finally:
        stop.set()
        writer.join()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_endless_devices_are_refused_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "photo.png").symlink_to("/dev/zero")
    with pytest.raises(PhotoReadError, match="not a regular file"):
        read(tmp_path / "photo.png")


@pytest.mark.skipif(os.name == "nt", reason="links need no rights on POSIX")
def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.png").symlink_to("photo.png")
    with pytest.raises(PhotoReadError, match=r"photo\.png: cannot be read"):
        read(tmp_path / "photo.png")


# -- PNG


def test_thousands_of_texts_that_unpack_to_a_megabyte_are_dropped_in_the_end() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(MB - 1), 9)
    data = files.make(files.noise("RGB"), "PNG")
    with costs():
        photo = decode(data[:33] + png.chunk(b"zTXt", bomb) * 20_000 + data[33:], "photo")
    assert photo.size == (13, 17)
    assert "unreadable or oversized zTXt chunk dropped" in photo.warnings
    assert len(photo.origin.native) < 200


def test_a_png_of_nothing_but_empty_chunks_is_refused() -> None:
    data = files.make(files.noise("RGB"), "PNG")
    with costs(20), pytest.raises(PhotoReadError, match="damaged or cut-off PNG"):
        decode(data[:33] + png.chunk(b"teSt", b"") * (png.MAX_CHUNKS + 1) + data[33:], "photo")


def test_a_16_bit_interlaced_png_is_read_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    row = zlib.compress(b"\0" + struct.pack(">HHH", 1, 2, 65535))  # of one pixel there is one pass
    parts = [
        png.chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 1)),
        png.chunk(b"IDAT", row),
        png.chunk(b"IEND", b""),
    ]
    assert decode(png.SIGNATURE + b"".join(parts), "photo").rgb[0, 0, 2] == 1
    assert capfd.readouterr() == ("", "")


# -- JPEG


def test_megabytes_of_fill_bytes_cost_nothing() -> None:
    data = files.make(files.noise("RGB"), "JPEG")
    with costs():
        assert decode(data[:2] + b"\xff" * (30 * MB) + data[2:], "photo").size == (13, 17)


def test_markers_without_content_are_not_followed_forever() -> None:
    data = files.make(files.noise("RGB"), "JPEG")
    with costs(), pytest.raises(PhotoReadError, match="markers without content"):
        decode(data[:2] + b"\xff\xd0" * (10 * MB) + data[2:], "photo")


def test_exif_in_hundreds_of_thousands_of_segments_is_put_together_once() -> None:
    block = files.exif()
    with costs(10):
        photo = decode(exif_segments(block, *[b"x"] * 300_000), "photo")
    assert photo.size == (13, 17)


def test_more_scans_than_any_encoder_writes_are_refused() -> None:
    data = files.make(files.noise("L"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    assert decode(data[:last] + scan * 50 + data[-2:], "photo").size == (13, 17)
    with pytest.raises(PhotoReadError, match="more than 100 scans"):
        decode(data[:last] + scan * 200 + data[-2:], "photo")


# -- directories of TIFF and EXIF


def directory(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """A little-endian directory of (tag, kind, count, value or offset)."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def test_values_that_overlap_do_not_multiply_the_file() -> None:
    huge = [(tag, 7, 8 * MB, 8) for tag in range(40_000, 44_000)]
    block = b"II*\0" + struct.pack("<I", 8 * MB) + bytes(8 * MB - 8) + directory(huge)
    with costs(), pytest.raises(PhotoReadError, match="values of a directory overlap"):
        decode(block, "photo.tif")


def test_overlapping_values_in_exif_are_dropped_with_a_warning() -> None:
    data = files.make(files.noise("RGB"), "PNG")
    huge = [(tag, 7, 8 * MB, 8) for tag in range(40_000, 44_000)]
    block = b"II*\0" + struct.pack("<I", 8 * MB) + bytes(8 * MB - 8) + directory(huge)
    with costs():
        photo = decode(files.with_text_chunk(data, b"eXIf", block), "photo")
    assert photo.warnings == ("unreadable EXIF dropped",)


def test_two_fields_may_share_a_value() -> None:
    entries = [(0x0112, 3, 1, 6), (0x011A, 5, 1, 8), (0x011B, 5, 1, 8), (0x0128, 3, 1, 2)]
    photo = with_exif(b"II*\0" + struct.pack("<III", 16, 240, 1) + directory(entries))
    assert photo.size == (17, 13)
    assert photo.origin.exif is not None
    assert not photo.warnings


def test_thousands_of_chained_directories_are_only_counted() -> None:
    entries = [(tag, 3, 1, 1) for tag in range(4000)]
    size = len(directory(entries))
    start = len(files.make(files.noise("RGB"), "TIFF"))
    start += start % 2
    chain = b"".join(directory(entries, start + (n + 1) * size if n < 500 else 0) for n in range(501))
    data = bytearray(files.make(files.noise("RGB"), "TIFF").ljust(start, b"\0"))
    main = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, main + 2 + 12 * struct.unpack_from("<H", data, main)[0], start)
    with costs():
        assert decode(bytes(data) + chain, "photo.tif").warnings[0] == "page 1 of 502 taken"


@pytest.mark.parametrize("tag", [0x8769, 0x8825, 0xA005])
def test_a_directory_that_leads_back_to_itself_ends(tag: int) -> None:
    photo = with_exif(b"II*\0\x08\0\0\0" + directory([(0x010F, 2, 4, 0x00434241), (tag, 4, 1, 8)], following=8))
    assert photo.size == (13, 17)
    assert decode(encode(photo, photo.rgb, "TIFF")[0], "photo").size == (13, 17)


@pytest.mark.parametrize(("kind", "value"), [(1, 6), (3, 6), (4, 6), (8, 6), (9, 6)])
def test_an_orientation_of_any_integer_type_is_applied_once(kind: int, value: int) -> None:
    photo = with_exif(b"II*\0\x08\0\0\0" + directory([(0x0112, kind, 1, value)]))
    assert photo.size == (17, 13)
    for format in ("PNG", "JPEG", "TIFF", "WEBP"):
        assert decode(encode(photo, photo.rgb, format)[0], "photo").size == (17, 13)


def test_an_orientation_of_several_values_is_applied_once() -> None:
    photo = with_exif(b"II*\0\x08\0\0\0" + directory([(0x0112, 3, 2, 6 | 6 << 16)]))
    assert photo.size == (17, 13)
    assert decode(encode(photo, photo.rgb)[0], "photo").size == (17, 13)


def test_an_orientation_in_xmp_alone_turns_no_format() -> None:
    photo = decode(files.make(files.noise("RGB"), "JPEG", xmp=files.XMP), "photo")
    for format in ("PNG", "JPEG", "TIFF", "WEBP"):
        assert decode(encode(photo, photo.rgb, format)[0], "photo").size == photo.size == (13, 17)


# -- large and odd metadata


def test_entities_in_xmp_are_never_expanded() -> None:
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha">' + b"".join(
        b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(20)
    )
    xmp = laughs + b"]><x>&t;</x>"
    with costs(megabytes=50):
        photo = decode(files.make(files.noise("RGB"), "JPEG", xmp=xmp), "photo")
        assert photo.origin.xmp == xmp
        assert decode(encode(photo, photo.rgb, "PNG")[0], "photo").origin.xmp == xmp


def test_a_profile_that_only_a_tiff_can_hold_is_kept_there_and_said_to_be_lost_in_a_jpeg() -> None:
    giant = files.profile("P3") + np.random.default_rng(0).bytes(17 * MB)
    photo = decode(files.make(files.noise("RGB"), "TIFF", icc_profile=giant), "photo")
    assert photo.origin.icc == giant
    assert decode(encode(photo, photo.rgb)[0], "photo").origin.icc == giant
    assert encode(photo, photo.rgb, "JPEG")[1] == ["ICC profile dropped: more than a JPEG can hold"]


def test_a_huge_maker_note_is_kept_where_there_is_room_and_said_to_be_lost_in_a_jpeg() -> None:
    note = bytes(3 * MB)
    block = b"II*\0\x08\0\0\0" + directory([(0x8769, 4, 1, 26)])
    block += directory([(0x927C, 7, len(note), 44)]) + note
    photo = decode(files.with_text_chunk(files.make(files.noise("RGB"), "PNG"), b"eXIf", block), "photo")
    assert decode(encode(photo, photo.rgb)[0], "photo").origin.exif == block
    assert encode(photo, photo.rgb, "JPEG")[1] == ["EXIF dropped: more than a JPEG can hold (64 KiB)"]
