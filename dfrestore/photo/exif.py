"""EXIF blocks, XMP packets and Photoshop resources: orientation, sizes, thumbnails.

EXIF is patched in place, so that everything else (maker notes with their offsets too) stays byte for byte.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from dfrestore.photo import ifd as tiff
from dfrestore.photo.photo import Damaged

ORIENTATION = 0x0112
_THUMBNAIL_AT, _THUMBNAIL_LENGTH = 0x0201, 0x0202
# Photoshop resources that repeat what is kept elsewhere, or show the picture as it was: thumbnails, ICC, EXIF, XMP.
_STALE_RESOURCES = frozenset({0x0409, 0x040C, 0x040F, 0x0422, 0x0423, 0x0424})
IPTC_RESOURCE = 0x0404
MAX_RESOURCES = 10_000


def orientation(exif: bytes) -> int:
    """1 to 8; 1 where the tag is missing or nonsense. Raises Damaged for an unreadable block."""
    block = _opened(exif)
    value = tiff.integer(block, tiff.read_ifd(block, block.first), ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def upright(exif: bytes) -> bytes:
    """The block with orientation 1 and without its thumbnail. Raises Damaged."""
    block = _opened(exif)
    main = tiff.read_ifd(block, block.first)
    buffer = bytearray(exif)
    tiff.patch(block, buffer, main.entries.get(ORIENTATION), 1)
    if main.next:
        struct.pack_into(block.order + "I", buffer, main.next_at, 0)
        _erase_thumbnail(block, main, buffer)
    if orientation(bytes(buffer)) != 1:  # values that overlap the directory
        raise Damaged("the orientation cannot be set")
    return bytes(buffer)


def resized(exif: bytes, width: int, height: int) -> bytes:
    """The block with its size tags, where it has them, set to ``width`` and ``height``."""
    try:
        block = tiff.open_block(exif)
        main = tiff.read_ifd(block, block.first)
    except Damaged:
        return exif
    buffer = bytearray(exif)
    tiff.patch(block, buffer, main.entries.get(0x0100), width)
    tiff.patch(block, buffer, main.entries.get(0x0101), height)
    for tag, below in tiff.sub_ifds(block, main):
        if tag == tiff.EXIF_IFD:
            tiff.patch(block, buffer, below.entries.get(0xA002), width)
            tiff.patch(block, buffer, below.entries.get(0xA003), height)
    return bytes(buffer)


def dpi_of(exif: bytes) -> tuple[float, float] | None:
    """X and Y resolution in pixels an inch, where the block states them with a unit."""
    try:
        block = tiff.open_block(exif)
        return resolution(block, tiff.read_ifd(block, block.first))
    except Damaged:
        return None


def resolution(block: tiff.Block, main: tiff.Ifd) -> tuple[float, float] | None:
    """Resolution tags of a directory in pixels an inch; None without a unit or value."""
    factor = {2: 1.0, 3: 2.54}.get(tiff.integer(block, main, 0x0128, 2))
    x, y = (tiff.rational(block, main.entries.get(tag)) for tag in (0x011A, 0x011B))
    return (x * factor, y * factor) if factor and x and y else None


def _opened(exif: bytes) -> tiff.Block:
    block = tiff.open_block(exif)
    if block.big:  # readers of EXIF know the classic structure alone, and some then refuse the whole file
        raise Damaged("EXIF in the structure of a BigTIFF")
    return block


def _erase_thumbnail(block: tiff.Block, main: tiff.Ifd, buffer: bytearray) -> None:
    """Cut the thumbnail off if it ends the block, else zero it; left where it overlaps anything else."""
    try:
        second = tiff.read_ifd(block, main.next)
    except Damaged:
        return
    start = tiff.integer(block, second, _THUMBNAIL_AT, 0)
    end = start + tiff.integer(block, second, _THUMBNAIL_LENGTH, 0)
    taken = list(_extents(block, main))
    if start < 8 or end > len(buffer) or end <= start or any(a < end and start < b for a, b in taken):
        return
    if end >= len(buffer) - 1 and all(b <= start for _, b in taken):
        del buffer[start:]
    else:
        buffer[start:end] = bytes(end - start)


def _extents(block: tiff.Block, main: tiff.Ifd, depth: int = 0) -> Iterator[tuple[int, int]]:
    yield main.next_at - 12 * len(main.entries), main.next_at + 4
    for entry in main.entries.values():
        yield entry.at, entry.at + len(entry.raw)
    if depth < 2:
        for _, below in tiff.sub_ifds(block, main):
            yield from _extents(block, below, depth + 1)


def xmp_upright(xmp: bytes) -> bytes:
    """The packet with every ``tiff:Orientation`` set to 1 (attribute or element)."""
    return re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)\d+", rb"\g<1>1", xmp)


def xmp_resized(xmp: bytes, width: int, height: int) -> bytes:
    """The packet with its pixel size, where it states it, set to ``width`` and ``height``."""
    for names, value in (
        (rb"tiff:ImageWidth|exif:PixelXDimension", width),
        (rb"tiff:ImageLength|exif:PixelYDimension", height),
    ):
        xmp = re.sub(rb"((?:" + names + rb")\s*(?:=\s*[\"']|>)\s*)\d+", rb"\g<1>%d" % value, xmp)
    return xmp


def resources(irb: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(code, content, whole resource) of each Photoshop resource, up to the first that is damaged (or the last)."""
    at = 0
    for _ in range(MAX_RESOURCES):
        if irb[at : at + 4] != b"8BIM" or at + 12 > len(irb):
            return
        code = struct.unpack_from(">H", irb, at + 4)[0]
        name_end = at + 7 + irb[at + 6]
        name_end += (name_end - at) % 2
        if name_end + 4 > len(irb):
            return
        size = struct.unpack_from(">I", irb, name_end)[0]
        end = name_end + 4 + size
        if end > len(irb):
            return
        yield code, irb[name_end + 4 : end], irb[at:end] + b"\0" * (size % 2)
        at = end + size % 2


def clean_resources(irb: bytes) -> bytes | None:
    """The resources without stale copies of the picture or of other metadata; None if nothing is left."""
    return b"".join(whole for code, _, whole in resources(irb) if code not in _STALE_RESOURCES) or None


def iptc_record(irb: bytes) -> bytes | None:
    """The bare IPTC record inside Photoshop resources."""
    return next((content for code, content, _ in resources(irb) if code == IPTC_RESOURCE), None)


def iptc_resource(record: bytes) -> bytes:
    """A bare IPTC record as a Photoshop resource."""
    return b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(record)) + record + b"\0" * (len(record) % 2)
