"""JPEG segments: header, quality, subsampling, metadata, the bare stream, and putting metadata into an encoded file."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dfrestore.photo import exif as exif_block
from dfrestore.photo.photo import Damaged, Header, Metadata, Origin, Unsupported

_EXIF, _XMP, _XMP_MORE = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_ICC, _IRB, _MPF = b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"MPF\0"
_ROOM = 65533
_FILL = re.compile(rb"\xff*")
_MAX_STRAY = 1000
_MAX_SCANS = 100
"""Of a progressive picture: encoders write about ten, and each costs a pass over all its pixels."""
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SUBSAMPLING = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}
# Annex K of ITU T.81 in zigzag order, the tables that libjpeg scales by its quality.
_LUMA = (
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61,
    60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113,
    121, 112, 100, 120, 92, 101, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
)  # fmt: skip


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the segments before the first scan, markers included. Raises Damaged."""
    at, stray = 2, 0
    while True:
        fill = _FILL.match(data, at)
        at = max(at, fill.end() - 1) if fill else at
        if at + 4 > len(data) or data[at] != 0xFF:
            raise Damaged("the file ends early or is damaged")
        marker = data[at + 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at, stray = at + 2, stray + 1
            if stray > _MAX_STRAY:
                raise Damaged("markers without content follow each other")
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xD9 or end < at + 4 or end > len(data):
            raise Damaged("the file ends early or is damaged")
        yield marker, at, end
        if marker == 0xDA:
            return
        at = end


def read_header(data: bytes) -> Header:
    """Size, mode, estimated quality, subsampling, number of frames. Raises Damaged, Unsupported."""
    tables: dict[int, Sequence[int]] = {}
    frame, frames, notes = None, 1, []
    for marker, start, end in segments(data):
        content = data[start + 4 : end]
        if marker == 0xDB:
            tables.update(_tables(content))
        elif marker in _FRAMES and frame is None:
            frame = marker, content
        elif marker == 0xE2 and content.startswith(_MPF):
            frames = max(frames, _mpf_frames(content[4:]))
        elif marker == 0xE1 and b"hdrgm:" in content:
            notes.append("HDR gain map dropped: the result shows its standard range")
    if frame is None or len(frame[1]) < 6:
        raise Damaged("no JPEG frame")
    marker, content = frame
    depth, height, width, components = struct.unpack(">BHHB", content[:6])
    if len(content) < 6 + 3 * components or not width or not height:
        raise Damaged("impossible JPEG header")
    if depth != 8 or marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA) or components not in (1, 3, 4):
        raise Unsupported("this kind of JPEG (lossless, 12 bit or of two components) is not read; save it as PNG first")
    layout = [(byte >> 4, byte & 15) for byte in content[7 : 6 + 3 * components : 3]]
    return Header(
        width, height, 8, {1: "L", 3: "RGB", 4: "CMYK"}[components], frames,
        quality=estimate_quality(tables), subsampling=_subsampling(layout) if components == 3 else None,
        progressive=marker in (0xC2, 0xCA), lossless=False, notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def estimate_quality(tables: dict[int, Sequence[int]]) -> int | None:
    """The libjpeg quality (1 to 100) whose tables are nearest to these; None without tables."""
    pairs = [(base, tables[i]) for i, base in ((0, _LUMA), (1, _CHROMA)) if i in tables]
    if not pairs:
        return None

    def distance(quality: int) -> int:
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        return sum(
            abs(min(255, max(1, (b * scale + 50) // 100)) - t)
            for base, table in pairs
            for b, t in zip(base, table, strict=True)
        )

    return min(range(100, 0, -1), key=distance)


def bare(data: bytes) -> bytes:
    """The file up to its end marker without metadata. Raises Damaged where there is no end: a cut-off file."""
    kept, scan = [data[:2]], len(data)
    for marker, start, end in segments(data):
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE or data[start + 4 : start + 9] == b"JFIF\0":
            kept.append(data[start:end])
        scan = end
    # within entropy-coded data FF is followed by 00 or a restart marker; other segments come between the scans
    stop = data.find(b"\xff\xd9", scan)
    if stop < 0:
        raise Damaged("the file ends early")
    return b"".join([*kept, data[scan : _end_marker(data, scan)]])


def _end_marker(data: bytes, at: int) -> int:
    """The offset behind the end marker that follows the scan at ``at``. Raises Damaged."""
    scans = 1
    pattern = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
    while found := pattern.search(data, at):
        at = found.end()
        if found[0] == b"\xff\xd9":
            return at
        scans += found[0] == b"\xff\xda"
        if scans > _MAX_SCANS:
            raise Damaged(f"more than {_MAX_SCANS} scans")
        if at + 2 > len(data):
            break
        at += struct.unpack_from(">H", data, at)[0]
    raise Damaged("the file ends early")


def read_metadata(data: bytes) -> Metadata:
    """Everything beside the pixels; what cannot be read becomes a note."""
    meta, icc, notes, native = Metadata(), {}, [], []
    exif, irb = bytearray(), bytearray()
    for marker, start, end in segments(data):
        content = data[start + 4 : end]
        if marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            meta = replace(meta, dpi=_jfif_dpi(content))
        elif marker == 0xE1 and content.startswith(_EXIF):
            # a further segment continues the first, unless it is a whole block of its own
            exif += b"" if exif and content[6:8] in (b"II", b"MM") else content[6:]
        elif marker == 0xE1 and content.startswith(_XMP) and meta.xmp is None:
            meta = replace(meta, xmp=content[len(_XMP) :])
        elif marker == 0xE1 and content.startswith(_XMP_MORE):
            native.append(("APP1", content))
        elif marker == 0xE2 and content.startswith(_ICC) and len(content) > 14:
            icc[content[12]] = content
        elif marker == 0xED and content.startswith(_IRB):
            irb += content[len(_IRB) :]
        elif marker == 0xFE:
            native.append(("COM", content))
    if icc and sorted(icc) == list(range(1, icc[min(icc)][13] + 1)):
        meta = replace(meta, icc=b"".join(icc[i][14:] for i in sorted(icc)))
    elif icc:
        notes.append("incomplete ICC profile dropped")
    if exif and meta.dpi is None:
        meta = replace(meta, dpi=exif_block.dpi_of(bytes(exif)))
    return replace(
        meta, exif=bytes(exif) or None, iptc=bytes(irb) or None, notes=tuple(notes), native=tuple(native)
    )  # fmt: skip


def splice(encoded: bytes, origin: Origin) -> tuple[bytes, list[str]]:
    """An encoded JPEG with the metadata of ``origin`` behind its JFIF segment, and warnings."""
    end = 4 + struct.unpack_from(">H", encoded, 4)[0] if encoded[2:4] == b"\xff\xe0" else 2
    head = _with_dpi(encoded[:end], origin.dpi)
    parts, notes = [], []
    if origin.exif is not None:
        if len(origin.exif) + 6 <= _ROOM:
            parts.append(_segment(0xE1, _EXIF + origin.exif))
        else:
            notes.append("EXIF dropped: more than a JPEG can hold (64 KiB)")
    if origin.xmp is not None:
        if len(origin.xmp) + len(_XMP) <= _ROOM:
            parts.append(_segment(0xE1, _XMP + origin.xmp))
        else:
            notes.append("XMP dropped: more than a JPEG can hold (64 KiB)")
    own = origin.native if origin.format == "JPEG" else ()
    parts += [_segment(0xE1, content) for name, content in own if name == "APP1"]
    if origin.icc is not None:
        pieces = _pieces(origin.icc, _ROOM - 14)
        if len(pieces) <= 255:
            parts += [_segment(0xE2, _ICC + bytes([i, len(pieces)]) + p) for i, p in enumerate(pieces, 1)]
        else:
            notes.append("ICC profile dropped: more than a JPEG can hold")
    if origin.iptc is not None:
        parts += [_segment(0xED, _IRB + piece) for piece in _pieces(origin.iptc, _ROOM - len(_IRB))]
    parts += [_segment(0xFE, content) for name, content in own if name == "COM"]
    return b"".join([head, *parts, encoded[end:]]), notes


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _tables(content: bytes) -> Iterator[tuple[int, Sequence[int]]]:
    at = 0
    while at < len(content):
        wide, number = content[at] >> 4, content[at] & 15
        size = 128 if wide else 64
        if at + 1 + size > len(content):
            return
        yield number, struct.unpack_from(">64H" if wide else ">64B", content, at + 1)
        at += 1 + size


def _subsampling(layout: Sequence[tuple[int, int]]) -> str | None:
    (h, v), (h1, v1), (h2, v2) = layout
    if (h1, v1) != (h2, v2) or not h1 or not v1 or h % h1 or v % v1:
        return None
    return _SUBSAMPLING.get((h // h1, v // v1))


def _mpf_frames(content: bytes) -> int:
    """The number of images in a multi-picture index; thumbnails and depth maps count too."""
    from dfrestore.photo import ifd

    try:
        block = ifd.open_block(content)
        return ifd.integer(block, ifd.read_ifd(block, block.first), 0xB001, 1)
    except Damaged:
        return 1


def _jfif_dpi(content: bytes) -> tuple[float, float] | None:
    unit, x, y = struct.unpack_from(">BHH", content, 7)
    factor = {1: 1.0, 2: 2.54}.get(unit)
    return (x * factor, y * factor) if factor and x and y else None


def _with_dpi(head: bytes, dpi: tuple[float, float] | None) -> bytes:
    """The JFIF segment with the resolution, in dots a centimetre where only these are whole numbers."""
    if dpi is None or head[6:11] != b"JFIF\0":
        return head
    whole_cm = all(abs(v / 2.54 - round(v / 2.54)) < 1e-6 for v in dpi) and any(abs(v - round(v)) > 1e-6 for v in dpi)
    x, y = (min(65535, max(1, round(v / 2.54 if whole_cm else v))) for v in dpi)
    return head[:13] + struct.pack(">BHH", 2 if whole_cm else 1, x, y) + head[18:]
