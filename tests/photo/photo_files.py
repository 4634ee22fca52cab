"""Makers of test files: pixels, colour profiles, EXIF, XMP and IPTC blocks, and files of each format around them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

LOSSLESS = ("PNG", "TIFF", "WEBP")
SUFFIX = {"PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "JPEG": ".jpg"}
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
XMP = (
    b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description '
    b'xmlns:tiff="t" xmlns:exif="e" xmlns:dc="d" tiff:Orientation="6" dc:title="Gr\xc3\xbc\xc3\x9fe">'
    b"<exif:PixelXDimension>99</exif:PixelXDimension></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
)
IPTC_RECORD = b"\x1c\x02\x78\x00\x07caption" + b"\x1c\x02\x50\x00\x06author"
PHOTOSHOP = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC_RECORD)) + IPTC_RECORD + b"\0" * (len(IPTC_RECORD) % 2)


def noise(mode: str, bits: int = 8, size: tuple[int, int] = (13, 17), seed: int = 0) -> np.ndarray:
    """Random samples of the full range, (H, W) or (H, W, channels)."""
    shape = size if mode == "L" else (*size, CHANNELS[mode])
    kind = np.uint16 if bits == 16 else np.uint8
    return np.random.default_rng(seed).integers(0, 1 << bits, shape, dtype=kind)


def make(array: np.ndarray, format: str, **options: Any) -> bytes:
    """A file of ``format`` that holds exactly ``array`` (JPEG: nearly)."""
    if array.dtype == np.uint16 and format == "PNG":
        return bytes(imagecodecs.png_encode(array))
    buffer = io.BytesIO()
    if array.dtype == np.uint16:
        channels = 1 if array.ndim == 2 else array.shape[2]
        tifffile.imwrite(
            buffer,
            array,
            photometric="rgb" if channels > 2 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
            **options,
        )
    else:
        exact = {"lossless": True, "exact": True} if format == "WEBP" else {}
        Image.fromarray(array).save(buffer, format, **{**exact, **options})
    return buffer.getvalue()


def put(folder: Path, array: np.ndarray, format: str, **options: Any) -> Path:
    """The same in a file."""
    path = folder / f"photo{SUFFIX[format]}"
    path.write_bytes(make(array, format, **options))
    return path


def pillow(path_or_data: Path | bytes) -> Image.Image:
    """What another program sees."""
    data = path_or_data if isinstance(path_or_data, bytes) else path_or_data.read_bytes()
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def samples(data: bytes, format: str) -> np.ndarray:
    """The samples another program sees, in the file's own depth."""
    if format == "PNG" and data[24] == 16:
        return np.asarray(imagecodecs.png_decode(data))
    if format == "TIFF":
        return np.asarray(tifffile.imread(io.BytesIO(data)))
    return np.asarray(pillow(data))


def exif(orientation: int = 1, width: int = 17, height: int = 13, thumbnail: bool = True, order: str = "<") -> bytes:
    """An EXIF block with camera, resolution, sizes, a maker note that must stay put, and a thumbnail at its end."""

    def ifd(entries: list[tuple[int, int, int, bytes]], at: int, following: int) -> bytes:
        body, tail, start = struct.pack(order + "H", len(entries)), b"", at + 6 + 12 * len(entries)
        for tag, kind, count, raw in entries:
            if len(raw) > 4:
                raw, tail = struct.pack(order + "I", start + len(tail)), tail + raw + b"\0" * (len(raw) % 2)
            body += struct.pack(order + "HHI", tag, kind, count) + raw.ljust(4, b"\0")
        return body + struct.pack(order + "I", following) + tail

    def short(value: int) -> bytes:
        return struct.pack(order + "H", value)

    def long(value: int) -> bytes:
        return struct.pack(order + "I", value)

    resolution = struct.pack(order + "II", 300, 1)

    def main(sub: int, gps: int, following: int) -> bytes:
        return ifd(
            [
                (0x010F, 2, 8, b"Cam & C\0"),
                (0x0110, 2, 6, b"Model\0"),
                (0x0112, 3, 1, short(orientation)),
                (0x011A, 5, 1, resolution),
                (0x011B, 5, 1, resolution),
                (0x0128, 3, 1, short(2)),
                (0x8298, 2, 10, b"(c) me 26\0"),
                (0x8769, 4, 1, long(sub)),
                (0x8825, 4, 1, long(gps)),
            ],
            8,
            following,
        )

    sub_at = 8 + len(main(0, 0, 0))
    details = ifd(
        [
            (0x829A, 5, 1, struct.pack(order + "II", 1, 250)),
            (0x927C, 7, 12, b"MakerNote\0\1\2"),
            (0xA002, 3, 1, short(width)),
            (0xA003, 4, 1, long(height)),
        ],
        sub_at,
        0,
    )
    gps_at = sub_at + len(details)
    gps = ifd([(1, 2, 2, b"N\0"), (2, 5, 3, struct.pack(order + "6I", 52, 1, 31, 1, 12, 1))], gps_at, 0)
    second_at = gps_at + len(gps)
    preview = make(noise("RGB"), "JPEG")
    second = ifd([(0x0201, 4, 1, long(second_at + 30)), (0x0202, 4, 1, long(len(preview)))], second_at, 0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + long(8)
    block = head + main(sub_at, gps_at, second_at if thumbnail else 0) + details + gps
    return block + second + preview if thumbnail else block


def profile(kind: str) -> bytes:
    """A small ICC profile built here: ``P3`` (Display P3 primaries), ``GRAY`` or ``CMYK`` (two-point table)."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*values)

    curve = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    text = kind.encode() + b" of the tests"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78)
    tags = {b"desc": description, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(0.9642, 1, 0.8249)}
    space = {"P3": b"RGB ", "GRAY": b"GRAY", "CMYK": b"CMYK"}[kind]
    if kind == "P3":
        tags |= {b"rXYZ": xyz(0.51512, 0.2412, -0.00105), b"gXYZ": xyz(0.29198, 0.69225, 0.04189)}
        tags |= {b"bXYZ": xyz(0.1571, 0.06657, 0.78407), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    elif kind == "GRAY":
        tags[b"kTRC"] = curve
    else:
        tags[b"A2B0"] = _cmyk_table()
    blobs, entries, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        body += b"\0" * (-len(body) % 4)
        entries += name + struct.pack(">II", at + len(blobs), len(body))
        blobs += body
    pcs = b"Lab " if kind == "CMYK" else b"XYZ "
    device = b"prtr" if kind == "CMYK" else b"mntr"
    head = struct.pack(">I", at + len(blobs)) + b"test" + b"\x02\x40\0\0" + device + space + pcs
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + blobs


def _cmyk_table() -> bytes:
    """Paper is white, each ink darkens, and any cyan turns the picture strongly green: unlike the plain formula."""
    ramp = bytes(range(256))
    grid = b""
    for corner in range(16):
        c, m, y, k = (corner >> 3 & 1, corner >> 2 & 1, corner >> 1 & 1, corner & 1)
        lightness = max(0, 255 - 60 * (c + m + y) - 255 * k)
        grid += bytes([lightness, 28 if c and not k else 128, 200 if c and not k else 128])
    matrix = b"".join(struct.pack(">i", 65536 if i % 4 == 0 else 0) for i in range(9))
    return b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + grid + ramp * 3


def bmp_with_profile(array: np.ndarray, icc: bytes) -> bytes:
    """A BMP of version 5 with an embedded profile and 300 DPI; ``array``: uint8 (H, W, 3)."""
    height, width = array.shape[:2]
    rows = b"".join(row[:, ::-1].tobytes().ljust(-(-3 * width // 4) * 4, b"\0") for row in array[::-1])
    head = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(rows), 11811, 11811, 0, 0)
    head += bytes(16) + struct.pack("<I", 0x4D424544) + bytes(36 + 12)
    head += struct.pack("<IIII", 4, 124 + len(rows), len(icc), 0)
    assert len(head) == 124
    file = b"BM" + struct.pack("<IHHI", 14 + 124 + len(rows) + len(icc), 0, 0, 14 + 124)
    return file + head + rows + icc


def with_text_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    from dfrestore.photo import png

    return data[:33] + png.chunk(kind, content) + data[33:]
