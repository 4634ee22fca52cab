"""What is no picture, damaged or too large is refused in one line that names the file, the cause and a way out."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import photo_files as files
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dfrestore.errors import PhotoReadError
from dfrestore.photo import Photo, decode, png, read

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")


def refused(path: Path, **options: int) -> str:
    with pytest.raises(PhotoReadError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert ";" in message  # cause; remedy
    assert "object at" not in message
    return message


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "the file is empty"),
        (b"hello, this is a text\n" * 9, "not a picture of a known format"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut-off PNG"),
        (b"\xff\xd8\xff", "damaged or cut-off JPEG"),
        (b"RIFF\0\0\0\0WEBP", "damaged or cut-off WEBP"),
        (b"II*\0", "damaged or cut-off TIFF"),
        (b"GIF89a" + bytes(50), "damaged or cut-off GIF"),
        (b"\0\0\0\x18ftypavif" + bytes(50), "damaged or cut-off AVIF"),
        (b"BM" + bytes(50), "not a picture of a known format"),
        (b"BM" + bytes(12) + b"\x28" + bytes(50), "damaged or cut-off BMP"),
        (b"8BPS" + bytes(50), "Photoshop is not read"),
    ],
)
def test_files_that_are_no_picture_are_named_with_the_cause(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    assert cause in refused(path)


def test_missing_files_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none.png")
    assert "a folder" in refused(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert "not a regular file" in refused(tmp_path / "pipe.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    path = files.put(tmp_path, files.noise("RGB"), "PNG")
    path.chmod(0)
    assert "no permission" in refused(path)


def test_file_names_cannot_break_the_line(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines\x1b[31m.png"
    path.write_bytes(b"")
    with pytest.raises(PhotoReadError) as caught:
        read(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("format", "bits"), [("PNG", 8), ("PNG", 16), ("JPEG", 8), ("WEBP", 8), ("TIFF", 8), ("TIFF", 16)]
)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_cut_off_files_are_refused_never_half_read(tmp_path: Path, format: str, part: float, bits: int) -> None:
    options = {"compression": "zlib"} if format == "TIFF" and bits == 16 else {}
    data = files.make(files.noise("RGB", bits, (60, 80)), format, **options)
    path = tmp_path / f"photo{files.SUFFIX[format]}"
    path.write_bytes(data[: int(len(data) * part)])
    assert f"damaged or cut-off {format}" in refused(path)


@pytest.mark.parametrize("bits", [8, 16])
def test_png_whose_pixel_data_stops_early_is_refused(bits: int) -> None:
    data = files.make(files.noise("RGB", bits, (40, 40)), "PNG")
    rows = zlib.decompress(b"".join(content for kind, content in png.chunks(data) if kind == b"IDAT"))
    short = data[:33] + png.chunk(b"IDAT", zlib.compress(rows[: len(rows) // 2])) + png.chunk(b"IEND", b"")
    with pytest.raises(PhotoReadError, match="damaged or cut-off PNG"):
        decode(short, "photo.png")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiff_with_missing_strips_is_refused(kind: type) -> None:
    buffer = io.BytesIO()
    array = files.noise("RGB", np.dtype(kind).itemsize * 8, (40, 40))
    tifffile.imwrite(buffer, array, photometric="rgb", rowsperstrip=8)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags["StripByteCounts"]
    width = {3: 2, 4: 4}[int(tag.dtype)]
    data[tag.valueoffset + width : tag.valueoffset + 2 * width] = bytes(width)
    with pytest.raises(PhotoReadError, match="ends early"):
        decode(bytes(data), "photo.tif")


def test_pictures_over_the_limit_are_refused_from_their_header_alone(tmp_path: Path) -> None:
    for format in FORMATS:
        path = files.put(tmp_path, files.noise("RGB", 8, (30, 40)), format)
        assert "40 x 30 is more than the limit of 0.001199 megapixels; raise it" in refused(path, max_pixels=1199)
        assert read(path, max_pixels=1200).size == (30, 40)


def test_a_header_of_a_huge_picture_costs_nothing() -> None:
    header = png.chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 16, 6, 0, 0, 0))
    bomb = png.SIGNATURE + header + png.chunk(b"IDAT", zlib.compress(bytes(1000))) + png.chunk(b"IEND", b"")
    with pytest.raises(PhotoReadError, match="100000 x 100000 is more than the limit of 250 megapixels"):
        decode(bomb, "bomb.png")


def test_more_pixels_than_pillow_allows_are_read_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for format in FORMATS:
        assert decode(files.make(files.noise("RGB", 8, (30, 40)), format), "photo").size == (30, 40)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_tiff_strip_that_unpacks_to_far_more_than_its_rows_does_no_harm() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, files.noise("RGB", 16, (4, 4)), photometric="rgb", compression="zlib")
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        offsets, counts = (file.pages[0].tags[n] for n in ("StripOffsets", "StripByteCounts"))
    bomb = zlib.compress(bytes(1 << 29), 1)
    for tag, value in ((offsets, len(data)), (counts, len(bomb))):
        data[tag.offset + 2 : tag.offset + 4] = struct.pack("<H", 4)
        data[tag.offset + 8 : tag.offset + 12] = struct.pack("<I", value)
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        photo: Photo | None = decode(bytes(data) + bomb, "bomb.tif")
    except PhotoReadError:
        photo = None
    assert photo is None or photo.size == (4, 4)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


SEEDS: dict[str, bytes] = {
    f"{format}-{mode}-{bits}": files.make(files.noise(mode, bits, (9, 11)), format, **extra)
    for format, mode, bits, extra in (
        ("PNG", "RGB", 8, {"exif": b"Exif\0\0" + files.exif(6), "icc_profile": files.profile("P3"), "dpi": (300, 300)}),
        ("PNG", "LA", 16, {}),
        ("JPEG", "RGB", 8, {"exif": b"Exif\0\0" + files.exif(6), "icc_profile": files.profile("P3"), "xmp": files.XMP}),
        ("JPEG", "L", 8, {"progressive": True}),
        ("WEBP", "RGBA", 8, {"exif": files.exif(3), "icc_profile": files.profile("P3"), "xmp": files.XMP}),
        ("WEBP", "RGB", 8, {"lossless": False}),
        ("TIFF", "RGB", 8, {"compression": "tiff_lzw", "icc_profile": files.profile("P3")}),
        ("TIFF", "RGBA", 8, {}),
        ("TIFF", "L", 8, {"compression": "tiff_adobe_deflate"}),
        ("TIFF", "RGB", 8, {"compression": "jpeg"}),
        ("TIFF", "RGB", 16, {"compression": "zlib"}),
        ("TIFF", "LA", 16, {}),
    )
}


@pytest.mark.parametrize("name", SEEDS)
def test_mutated_files_give_a_photo_or_one_error_and_print_nothing(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    seed = SEEDS[name]

    @settings(deadline=None, max_examples=60, database=None, suppress_health_check=list(HealthCheck))
    @given(
        edits=st.lists(st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255)), min_size=1, max_size=6),
        length=st.one_of(st.just(len(seed)), st.integers(0, len(seed))),
    )
    def mutate(edits: list[tuple[int, int]], length: int) -> None:
        data = bytearray(seed)
        for position, value in edits:
            data[position] = value
        message = "fuzz: "
        try:
            photo = decode(bytes(data[:length]), "fuzz", max_pixels=1_000_000)
            assert np.isfinite(photo.rgb).all()
        except PhotoReadError as error:
            message = str(error)
        assert message.startswith("fuzz: ")
        assert message.isprintable()

    mutate()
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@settings(deadline=None, max_examples=150, database=None)
@given(head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"II*\0", b"MM\0+"]),
       body=st.binary(max_size=200))  # fmt: skip
def test_random_bytes_give_one_error(head: bytes, body: bytes) -> None:
    with pytest.raises(PhotoReadError):
        decode(head + body, "random")
