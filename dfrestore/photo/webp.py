"""WebP chunks: header, metadata, and putting metadata into an encoded file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from dfrestore.photo.photo import Damaged, Header, Metadata, Origin

MAX_CHUNKS = 1 << 20
_ICC, _ALPHA, _EXIF, _XMP, _ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02


def chunks(data: bytes, at: int = 12) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) up to the first chunk that does not fit into the file."""
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        kind, size = struct.unpack_from("<4sI", data, at)
        if at + 8 + size > len(data):
            return
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def read_header(data: bytes) -> Header:
    """Size, alpha, lossless or not, number of frames. Raises Damaged."""
    size, alpha, lossless, frames = None, False, None, 0
    for kind, content in chunks(data):
        if kind == b"VP8X" and len(content) >= 10:
            size = int.from_bytes(content[4:7], "little") + 1, int.from_bytes(content[7:10], "little") + 1
            alpha = bool(content[0] & _ALPHA)
        elif kind == b"ANMF":
            frames += 1
            if lossless is None:
                lossless = any(k == b"VP8L" for k, _ in chunks(content, 16))
        elif kind in (b"VP8 ", b"VP8L") and lossless is None:
            lossless = kind == b"VP8L"
            own, has_alpha = _stream_size(kind, content)
            size = size or own
            alpha = alpha or has_alpha
    if size is None or lossless is None or not all(size):
        raise Damaged("the file ends early or is damaged")
    return Header(*size, 8, "RGBA" if alpha else "RGB", max(1, frames), lossless=lossless)


def _stream_size(kind: bytes, content: bytes) -> tuple[tuple[int, int], bool]:
    if kind == b"VP8L" and len(content) >= 5 and content[0] == 0x2F:
        bits = int.from_bytes(content[1:5], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)
    if kind == b"VP8 " and len(content) >= 10 and content[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 6)
        return (width & 0x3FFF, height & 0x3FFF), False
    raise Damaged("damaged WebP stream")


def read_metadata(data: bytes) -> Metadata:
    """ICC, EXIF and XMP; WebP holds nothing else."""
    meta = Metadata()
    for kind, content in chunks(data):
        if not content:
            continue
        if kind == b"ICCP" and meta.icc is None:
            meta = replace(meta, icc=content)
        elif kind == b"EXIF" and meta.exif is None:
            meta = replace(meta, exif=content.removeprefix(b"Exif\0\0"))
        elif kind == b"XMP " and meta.xmp is None:
            meta = replace(meta, xmp=content)
    return meta


def splice(encoded: bytes, origin: Origin, width: int, height: int) -> bytes:
    """An encoded still picture in the extended layout: VP8X, ICCP, pixels, EXIF, XMP."""
    pixels = [(k, c) for k, c in chunks(encoded) if k in (b"ALPH", b"VP8 ", b"VP8L")]
    kind, stream = pixels[-1]
    alpha = len(pixels) > 1 or (kind == b"VP8L" and _stream_size(kind, stream)[1])
    flags = (
        (_ICC if origin.icc is not None else 0)
        | (_ALPHA if alpha else 0)
        | (_EXIF if origin.exif is not None else 0)
        | (_XMP if origin.xmp is not None else 0)
    )
    if not flags & (_ICC | _EXIF | _XMP):
        return encoded
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    parts = [_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size)]
    if origin.icc is not None:
        parts.append(_chunk(b"ICCP", origin.icc))
    parts += [_chunk(k, c) for k, c in pixels]
    if origin.exif is not None:
        parts.append(_chunk(b"EXIF", origin.exif))
    if origin.xmp is not None:
        parts.append(_chunk(b"XMP ", origin.xmp))
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
