"""TIFF files: header, metadata, and putting metadata into an encoded file."""

from __future__ import annotations

import struct
from fractions import Fraction

from dfrestore.photo import exif as exif_block
from dfrestore.photo import ifd
from dfrestore.photo.exif import ORIENTATION
from dfrestore.photo.photo import Damaged, Header, Metadata, Origin, Unsupported

XMP, IPTC, IRB, ICC = 700, 33723, 34377, 34675
X_RESOLUTION, Y_RESOLUTION, UNIT = 282, 283, 296
EXTRA_SAMPLES = 338
MAX_SAMPLES = 16
"""Channels a pixel may have; all are unpacked, though four are taken at most."""
# What describes the picture rather than its layout: names and dates, camera, copyright, ratings, XP*, geography.
DESCRIPTIVE = frozenset(
    {269, 270, 271, 272, ORIENTATION, 285, 305, 306, 315, 316, 18246, 18249, 33432, 36867, *range(40091, 40096)}
    | {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 33434, 33437}
)
_LOSSLESS = {1: "none", 5: "lzw", 8: "deflate", 32773: "packbits", 32946: "deflate"}
_LOSSY = (6, 7, 33003, 33005, 34712, 34887, 34892, 50001, 50002)
_MODES = {0: "L", 1: "L", 2: "RGB", 3: "P", 5: "CMYK", 6: "RGB"}
_CHANNELS = {"1": 1, "L": 1, "P": 1, "RGB": 3, "CMYK": 4}


def read_header(data: bytes) -> Header:
    """Size, depth, mode, compression, number of pages. Raises Damaged, Unsupported."""
    block = ifd.open_block(data)
    main = ifd.read_ifd(block, block.first)
    width, height = (ifd.integer(block, main, tag, 0) for tag in (256, 257))
    if width < 1 or height < 1:
        raise Damaged("impossible TIFF header")
    bits = ifd.integers(block, main.entries.get(258), MAX_SAMPLES) or (1,)
    formats = ifd.integers(block, main.entries.get(339), MAX_SAMPLES) or (1,)
    photometric = ifd.integer(block, main, 262, -1)
    samples = ifd.integer(block, main, 277, 1)
    mode = "1" if photometric in (0, 1) and bits[0] == 1 else _MODES.get(photometric)
    if mode is None:
        raise Unsupported("this colour space of TIFF is not read; convert it to RGB first")
    if any(f not in (1, 4) for f in formats) or bits[0] > 16:
        raise Unsupported("floating point, signed or 32-bit TIFF is not read; convert it to 16 bit first")
    if len(set(bits)) > 1 or bits[0] not in (1, 2, 4, 8, 16) or (bits[0] == 16 and mode in ("P", "CMYK")):
        raise Unsupported(f"{mode} TIFF of {max(bits)} bits is not read; convert it to RGB of 8 or 16 bit first")
    extras = ifd.integers(block, main.entries.get(EXTRA_SAMPLES), MAX_SAMPLES)
    spare = samples - _CHANNELS[mode]
    if spare < 0 or samples > MAX_SAMPLES:
        raise Damaged("impossible TIFF header")
    notes = []
    if spare and mode in ("L", "RGB"):
        mode += "A"
        if spare > 1:
            notes.append(f"{spare - 1} extra channel{'s' if spare > 2 else ''} dropped")
        if extras[:1] == (1,):
            notes.append("premultiplied alpha becomes straight alpha")
    compression = ifd.integer(block, main, 259, 1)
    if compression not in (*_LOSSLESS, 34925, 50000) and not is_plain(data):  # the other codecs bound nothing
        raise Unsupported(f"TIFF compression {compression} is not read at this depth; save it with deflate first")
    _check_segments(block, main, width, height, samples)
    return Header(
        width, height, 16 if bits[0] == 16 else 8, mode, ifd.count_ifds(block),
        lossless=compression not in _LOSSY, compression=_LOSSLESS.get(compression),
        extrasample=(extras or (2,))[0], notes=tuple(notes),
    )  # fmt: skip


def is_raw(block: ifd.Block, main: ifd.Ifd) -> bool:
    """Whether a camera's sensor data, not a picture, is what the file is about (DNG, CR2, NEF, ARW ...)."""
    reduced = ifd.integer(block, main, 254, 0) & 1 and 330 in main.entries
    return 50706 in main.entries or bool(reduced) or block.data[8:10] == b"CR"


def is_plain(data: bytes) -> bool:
    """Whether Pillow reads this layout completely: 8 bit or less, no extra channel but a straight alpha."""
    block = ifd.open_block(data)
    main = ifd.read_ifd(block, block.first)
    if ifd.integer(block, main, 258, 1) > 8:
        return False
    extras = ifd.integers(block, main.entries.get(EXTRA_SAMPLES), MAX_SAMPLES)
    return extras in ((), (2,)) or ifd.integer(block, main, 262, 1) in (3, 5)


def photometric(data: bytes) -> int:
    """0: zero is white; 1: zero is black; 2: RGB ..."""
    block = ifd.open_block(data)
    return ifd.integer(block, ifd.read_ifd(block, block.first), 262, 1)


def is_planar(data: bytes) -> bool:
    """Whether the channels stand apart."""
    block = ifd.open_block(data)
    return ifd.integer(block, ifd.read_ifd(block, block.first), 284, 1) == 2


def turned(data: bytes) -> tuple[bytes, int]:
    """The file with its orientation tag set to 1 (decoders must not turn it too), and what the tag said."""
    block = ifd.open_block(data)
    entry = ifd.read_ifd(block, block.first).entries.get(ORIENTATION)
    value = (ifd.integers(block, entry, 1) or (1,))[0]
    if value == 1 or entry is None:
        return data, 1
    buffer = bytearray(data)
    ifd.patch(block, buffer, entry, 1)
    return bytes(buffer), value if 1 <= value <= 8 else 1


def read_metadata(data: bytes) -> Metadata:
    """Everything beside the pixels; the descriptive tags of the file become an EXIF block."""
    block = ifd.open_block(data)
    main = ifd.read_ifd(block, block.first)
    raw = {tag: main.entries[tag].raw for tag in (XMP, IPTC, IRB, ICC) if tag in main.entries}
    irb = raw.get(IRB, b"")
    if IPTC in raw and exif_block.iptc_record(irb) is None:
        irb = exif_block.iptc_resource(raw[IPTC]) + irb
    tree = ifd.tree_of(block, main, block.order, DESCRIPTIVE)
    exif = None
    if any(tag != ORIENTATION for tag in tree):
        head = (b"II*\0" if block.order == "<" else b"MM\0*") + struct.pack(block.order + "I", 8)
        exif = head + ifd.dump(tree, block.order, 8)
    return Metadata(
        icc=raw.get(ICC) or None, exif=exif, xmp=raw.get(XMP) or None, iptc=irb or None,
        dpi=exif_block.resolution(block, main),
    )  # fmt: skip


def splice(encoded: bytes, origin: Origin) -> tuple[bytes, list[str]]:
    """An encoded (classic, single-page) TIFF with the metadata of ``origin`` in a new directory at its end."""
    block = ifd.open_block(encoded)
    main = ifd.read_ifd(block, block.first)
    tree, notes = ifd.tree_of(block, main, block.order), []
    for tag in (X_RESOLUTION, Y_RESOLUTION, UNIT, 305):
        tree.pop(tag, None)
    if EXTRA_SAMPLES in tree:
        tree[EXTRA_SAMPLES] = (3, 1, struct.pack(block.order + "H", 0 if origin.extrasample == 0 else 2))
    if origin.dpi is not None:
        for tag, value in zip((X_RESOLUTION, Y_RESOLUTION), origin.dpi, strict=True):
            ratio = Fraction(min(value, 1e6)).limit_denominator(4000)
            tree[tag] = (5, 1, struct.pack(block.order + "II", ratio.numerator, ratio.denominator))
        tree[UNIT] = (3, 1, struct.pack(block.order + "H", 2))
    if origin.exif is not None:
        try:
            source = ifd.open_block(origin.exif)
            tree.update(ifd.tree_of(source, ifd.read_ifd(source, source.first), block.order, DESCRIPTIVE))
        except Damaged:
            notes.append("unreadable EXIF dropped")
    record = exif_block.iptc_record(origin.iptc) if origin.iptc is not None else None
    for tag, kind, content in ((XMP, 1, origin.xmp), (IPTC, 7, record), (IRB, 7, origin.iptc), (ICC, 7, origin.icc)):
        if content:
            tree[tag] = (kind, len(content), content)
    padding = b"\0" * (len(encoded) % 2)
    at = len(encoded) + len(padding)
    directory = ifd.dump(tree, block.order, at)
    return b"".join([encoded[:4], struct.pack(block.order + "I", at), encoded[8:], padding, directory]), notes


def _check_segments(block: ifd.Block, main: ifd.Ifd, width: int, height: int, samples: int) -> None:
    """Every strip or tile must be in the file: decoders fill missing ones silently."""
    tiled = 324 in main.entries
    if tiled:
        tile_width, tile_height = (ifd.integer(block, main, tag, 0) for tag in (322, 323))
        if tile_width < 1 or tile_height < 1 or tile_width * tile_height > max(1 << 24, 4 * width * height):
            raise Damaged("impossible TIFF header")
        expected = -(-width // tile_width) * -(-height // tile_height)
    else:
        expected = -(-height // max(1, min(height, ifd.integer(block, main, 278, height))))
    if ifd.integer(block, main, 284, 1) == 2:
        expected *= samples
    offsets = ifd.integers(block, main.entries.get(324 if tiled else 273), expected)
    sizes = ifd.integers(block, main.entries.get(325 if tiled else 279), expected)
    if len(offsets) < expected:
        raise Damaged("the file ends early or is damaged")
    if len(sizes) < expected and expected > 1:
        raise Damaged("the file ends early or is damaged")
    for offset, size in zip(offsets[:expected], sizes[:expected], strict=False):
        if offset < 8 or size < 1 or offset + size > len(block.data):
            raise Damaged("the file ends early")
