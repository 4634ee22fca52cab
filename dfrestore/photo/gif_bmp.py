"""GIF and BMP files: read by Pillow, the first frame alone, and never written."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import Image

from dfrestore.photo.photo import Damaged, Header, Metadata
from dfrestore.photo.pillow import quiet_pillow

MAX_BLOCKS = 1 << 20  # data blocks of a GIF that are read; frames after them are not counted
_XMP, _ICC = b"XMP DataXMP", b"ICCRGBG1012"
_XMP_TRAILER = 257  # bytes after a packet, through which readers of sub-blocks find its end
_EMBEDDED = 0x4D424544  # the profile stands in the BMP itself, not in a file beside it


def read_header(data: bytes, format: str) -> Header:
    """Size, mode, number of frames; no pixel is decoded. Raises Damaged, or what Pillow raises."""
    with quiet_pillow():
        image = Image.open(io.BytesIO(data), formats=[format])
    if not all(image.size):
        raise Damaged("a picture without pixels")
    frames = sum(kind == b"," for kind, _, _ in _blocks(data)) if format == "GIF" else 1
    return Header(*image.size, 8, image.mode, max(1, frames))


def read_metadata(data: bytes, format: str) -> Metadata:
    """ICC, XMP, resolution and comments, where the format has them."""
    return _gif_metadata(data) if format == "GIF" else _bmp_metadata(data)


def _gif_metadata(data: bytes) -> Metadata:
    icc = xmp = None
    comments = []
    for kind, start, end in _blocks(data):
        name = data[start + 1 : start + 12]
        if kind == b"\xfe":
            comments.append(_joined(data, start))
        elif kind == b"\xff" and name == _ICC and icc is None:
            icc = _joined(data, start + 12) or None
        elif kind == b"\xff" and name == _XMP and xmp is None:
            xmp = data[start + 12 : end - 1 - _XMP_TRAILER] or None
    return Metadata(icc=icc, xmp=xmp, native=tuple(("COM", comment) for comment in comments))


def _bmp_metadata(data: bytes) -> Metadata:
    """Offsets are those of BITMAPV5HEADER, which begins at byte 14."""
    size = int.from_bytes(data[14:18], "little")
    icc = dpi = None
    if size >= 40:
        x, y = struct.unpack_from("<ii", data, 14 + 24)  # pixels a metre
        dpi = (x * 0.0254, y * 0.0254) if x > 0 and y > 0 else None
    if size >= 124 and int.from_bytes(data[14 + 56 : 14 + 60], "little") == _EMBEDDED:
        at, length = struct.unpack_from("<II", data, 14 + 112)
        icc = data[14 + at : 14 + at + length] or None
    return Metadata(icc=icc, dpi=dpi)


def _blocks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of a GIF's blocks, up to the first that does not fit into the file.

    kind: ``,`` for a picture, else the label of an extension. start: where its first sub-block begins; end: after its
    last one.
    """
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    left = MAX_BLOCKS
    while at < len(data):
        if data[at : at + 1] == b"!":
            kind, start = data[at + 1 : at + 2], at + 2
        elif data[at : at + 1] == b"," and at + 10 < len(data):
            kind, start = b",", at + 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        else:
            return
        end = start
        while end < len(data) and data[end] and left:
            end += 1 + data[end]
            left -= 1
        if end >= len(data) or not left:
            if kind == b",":
                yield kind, start, len(data)
            return
        at = end + 1
        yield kind, start, at


def _joined(data: bytes, at: int) -> bytes:
    """The contents of the sub-blocks from ``at`` on, up to the empty one."""
    parts = []
    while data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts)
