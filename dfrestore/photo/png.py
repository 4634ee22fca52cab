"""PNG chunks: header, metadata, the bare pixel stream for a decoder, and putting metadata into an encoded file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dfrestore.photo import exif as exif_block
from dfrestore.photo.photo import Damaged, Header, Metadata, Origin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_INFLATED = 16 << 20
"""Bytes a compressed profile may grow to; larger ones are dropped with a warning."""
MAX_TEXT = 1 << 20
"""Bytes a compressed text may grow to, the limit of other readers too."""
MAX_INFLATED_TOTAL = 128 << 20
"""Bytes that all compressed pieces together may grow to."""
MAX_CHUNKS = 1 << 20
_DEFLATE_RATIO = 1032

_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_COLOUR_CHUNKS = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI")
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_PACKED_CHUNKS = (b"iCCP", b"zTXt", b"iTXt")
# first column and row, steps of the seven passes of an interlaced picture
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_XMP_KEY = b"XML:com.adobe.xmp"
_RAW = b"Raw profile type "


@dataclass(frozen=True)
class Transparency:
    """The tRNS chunk's bytes, with the header facts that give them meaning."""

    data: bytes
    colour_type: int
    depth: int


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) up to IEND or to the first chunk that does not fit into the file."""
    at, view = len(SIGNATURE), memoryview(data)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            return
        yield kind, bytes(view[at + 8 : at + 8 + size])
        if kind == b"IEND":
            return
        at += 12 + size


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk with length and checksum."""
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def read_header(data: bytes) -> Header:
    """Size, depth, mode and number of frames. Raises Damaged."""
    kind, content = next(chunks(data), (b"", b""))
    if kind != b"IHDR" or len(content) != 13:
        raise Damaged("no PNG header")
    width, height, depth, colour = struct.unpack(">IIBB", content[:10])
    if colour not in _MODES or not width or not height:
        raise Damaged("impossible PNG header")
    mode = "1" if colour == 0 and depth == 1 else _MODES[colour]
    frames = 1
    for kind, content in chunks(data):
        if kind == b"acTL" and len(content) == 8:
            frames = max(1, struct.unpack(">I", content[:4])[0])
        if kind == b"IDAT":
            break
    return Header(width, height, 16 if depth == 16 else 8, mode, frames)


def bare(data: bytes) -> tuple[bytes, Transparency | None]:
    """The file with its pixel chunks only (as they stand, checksums too), and the transparency taken out of it.

    Decoders see no metadata, hence no damaged or hostile metadata. Raises Damaged.
    """
    at, view, kept = len(SIGNATURE), memoryview(data), [memoryview(SIGNATURE)]
    transparency = None
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            break
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"tRNS":
            transparency = Transparency(data[at + 8 : at + 8 + size], data[25], data[24])
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(view[at : at + 12 + size])
        if kind == b"IEND":
            return b"".join(kept), transparency
        at += 12 + size
    raise Damaged("the file ends early")


def is_complete(stream: bytes) -> bool:
    """Whether the pixel data unpacks to as many bytes as the header asks for; Pillow leaves missing rows black."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", stream, 16)
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    missing = 0
    for x, y, dx, dy in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-max(0, width - x) // dx), -(-max(0, height - y) // dy)
        missing += rows * (1 + -(-columns * samples * depth // 8)) if columns else 0
    unpack = zlib.decompressobj()
    for kind, content in chunks(stream):
        rest = content if kind == b"IDAT" else b""
        while rest and missing > 0 and not unpack.eof:
            missing -= len(unpack.decompress(rest, 1 << 20))
            rest = unpack.unconsumed_tail
    return missing - len(unpack.flush()) <= 0 if missing > 0 else True


def read_metadata(data: bytes) -> Metadata:
    """Everything beside the pixels; what cannot be read becomes a note."""
    meta, notes, native = Metadata(), [], []
    room = MAX_INFLATED_TOTAL
    for kind, content in chunks(data):
        try:
            if kind in _PACKED_CHUNKS:
                room -= min(MAX_INFLATED, _DEFLATE_RATIO * len(content))
                if room < 0:
                    raise ValueError("too much when decompressed")
            if kind == b"iCCP" and meta.icc is None:
                meta = replace(meta, icc=inflate(content[content.index(b"\0") + 2 :], MAX_INFLATED))
            elif kind == b"eXIf" and content:
                meta = replace(meta, exif=content.removeprefix(b"Exif\0\0"))
            elif kind == b"pHYs" and len(content) == 9:
                x, y, unit = struct.unpack(">IIB", content)
                meta = replace(meta, dpi=(x * 0.0254, y * 0.0254)) if unit == 1 and x and y else meta
            elif kind in _COLOUR_CHUNKS:
                native.append((kind.decode(), content))
            elif kind in _TEXT_CHUNKS:
                meta, keep = _read_text(meta, kind, content)
                native += [(kind.decode(), content)] if keep else []
        except (ValueError, zlib.error, struct.error):
            notes.append(f"unreadable or oversized {kind.decode('ascii', 'replace')} chunk dropped")
    return replace(meta, notes=tuple(dict.fromkeys(notes)), native=tuple(native))


def _read_text(meta: Metadata, kind: bytes, content: bytes) -> tuple[Metadata, bool]:
    """Take metadata that hides in text; the second value says whether the chunk itself is to be kept."""
    key, text = _text(kind, content)
    if key == _XMP_KEY:
        return (replace(meta, xmp=text) if meta.xmp is None else meta), False
    if key.startswith(_RAW):
        profile = key.removeprefix(_RAW).lower()
        raw = bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
        if profile in (b"exif", b"app1") and raw.startswith(b"Exif\0\0"):
            return (replace(meta, exif=raw[6:]) if meta.exif is None else meta), False
        if profile == b"iptc":
            irb = raw if raw.startswith(b"8BIM") else exif_block.iptc_resource(raw)
            return replace(meta, iptc=irb), False
        if profile == b"xmp":
            return (replace(meta, xmp=raw) if meta.xmp is None else meta), False
        if profile in (b"icc", b"icm"):
            return (replace(meta, icc=raw) if meta.icc is None else meta), False
    return meta, True


def _text(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    key, _, rest = content.partition(b"\0")
    if kind == b"tEXt":
        return key, rest
    limit = MAX_INFLATED if key == _XMP_KEY or key.startswith(_RAW) else MAX_TEXT
    if kind == b"zTXt":
        return key, inflate(rest[1:], limit)
    packed = rest[:1] == b"\1"
    text = rest[2:].split(b"\0", 2)[2] if rest.count(b"\0", 2) >= 2 else b""
    return key, inflate(text, limit) if packed else text


def inflate(data: bytes, limit: int) -> bytes:
    """Decompress at most ``limit`` bytes. Raises ValueError beyond it, zlib.error for damage."""
    unpack = zlib.decompressobj()
    out = unpack.decompress(data, limit + 1)
    if len(out) > limit:
        raise ValueError("too large when decompressed")
    if not unpack.eof:
        raise ValueError("cut off")
    return out


def splice(encoded: bytes, origin: Origin) -> bytes:
    """An encoded PNG with the metadata of ``origin`` after its header."""
    end = len(SIGNATURE) + 25
    own = [c for c in _native(origin) if c[0].encode() in (*_COLOUR_CHUNKS, *_TEXT_CHUNKS)]
    parts = [chunk(name.encode(), content) for name, content in own if name.encode() in _COLOUR_CHUNKS]
    if origin.icc is not None:
        parts.append(chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(origin.icc, 9)))
    if origin.dpi is not None:
        x, y = (min(0x7FFFFFFF, round(value / 0.0254)) for value in origin.dpi)
        parts.append(chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if origin.exif is not None:
        parts.append(chunk(b"eXIf", origin.exif))
    if origin.xmp is not None:
        parts.append(chunk(b"iTXt", _XMP_KEY + b"\0\0\0\0\0" + origin.xmp))
    if origin.iptc is not None:
        parts.append(chunk(b"zTXt", _raw_profile(b"iptc", origin.iptc)))
    parts += [chunk(name.encode(), content) for name, content in own if name.encode() in _TEXT_CHUNKS]
    return b"".join([encoded[:end], *parts, encoded[end:]])


def _native(origin: Origin) -> Iterable[tuple[str, bytes]]:
    return origin.native if origin.format == "PNG" else ()


def _raw_profile(name: bytes, content: bytes) -> bytes:
    """ImageMagick's convention, which exiftool and others read: name, length, hexadecimal lines of 72 digits."""
    digits = content.hex().encode()
    lines = [digits[i : i + 72] for i in range(0, len(digits), 72)]
    text = b"\n" + name + b"\n" + b"%8d\n" % len(content) + b"\n".join(lines) + b"\n"
    return _RAW + name + b"\0\0" + zlib.compress(text, 9)
