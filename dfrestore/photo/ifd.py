"""The directory structure shared by TIFF files and EXIF blocks: reading, patching in place, writing.

Classic TIFF and (for reading only) BigTIFF. Nothing here trusts an offset or a count from the data.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dfrestore.photo.photo import Damaged

UNIT = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_SWAP = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
MAX_ENTRIES = 4096
_SHARED = 1 << 16
"""Bytes that the values of a directory may take beyond all there are: some writers let two fields share a value."""


@dataclass(frozen=True)
class Entry:
    """One field: ``count`` values of type ``kind`` as raw bytes in the block's order, found at offset ``at``."""

    tag: int
    kind: int
    count: int
    raw: bytes
    at: int


@dataclass(frozen=True)
class Ifd:
    """Entries by tag; ``next`` directory's offset, which stands at ``next_at``; ``skipped`` unreadable entries."""

    entries: Mapping[int, Entry]
    next: int
    next_at: int
    skipped: int


@dataclass(frozen=True)
class Block:
    """A TIFF structure: its bytes, struct order character, BigTIFF or not, and first directory's offset."""

    data: bytes
    order: str
    big: bool
    first: int


Tree: TypeAlias = "dict[int, tuple[int, int, bytes] | Tree]"
"""Tag -> (kind, count, raw bytes) or a sub-directory."""


def open_block(data: bytes) -> Block:
    """Read the eight (sixteen) header bytes. Raises Damaged."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "")
    if not order or len(data) < 8:
        raise Damaged("no TIFF header")
    magic = struct.unpack_from(order + "H", data, 2)[0]
    if magic == 42:
        return Block(data, order, False, struct.unpack_from(order + "I", data, 4)[0])
    if magic == 43 and len(data) >= 16:
        return Block(data, order, True, struct.unpack_from(order + "Q", data, 8)[0])
    raise Damaged("no TIFF header")


def read_ifd(block: Block, offset: int) -> Ifd:
    """The directory at ``offset``; entries that point outside are skipped.

    Raises Damaged if it does not fit, or if its values overlap so much that they are larger than the data.
    """
    data, order = block.data, block.order
    head, size, inline = ("Q", 20, 8) if block.big else ("H", 12, 4)
    start = offset + struct.calcsize(order + head)
    if offset < 8 or start > len(data):
        raise Damaged("directory outside the file")
    count = struct.unpack_from(order + head, data, offset)[0]
    end = start + count * size
    if count > MAX_ENTRIES or end > len(data):
        raise Damaged("directory outside the file")
    entries: dict[int, Entry] = {}
    room = len(data) + _SHARED
    first = 16 if block.big else 8  # a value within the header would be patched over it
    for at in range(start, end, size):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        number = struct.unpack_from(order + ("Q" if block.big else "I"), data, at + 4)[0]
        length = UNIT.get(kind, 0) * number
        where = at + size - inline
        if length > inline:
            where = struct.unpack_from(order + ("Q" if block.big else "I"), data, where)[0]
        if kind in UNIT and first <= where <= len(data) - length and tag not in entries:
            room -= length
            if room < 0:
                raise Damaged("values of a directory overlap")
            entries[tag] = Entry(tag, kind, number, bytes(data[where : where + length]), where)
    following = (
        struct.unpack_from(order + ("Q" if block.big else "I"), data, end)[0] if end + inline <= len(data) else 0
    )
    return Ifd(entries, following, end, count - len(entries))


def integers(block: Block, entry: Entry | None, most: int = 1 << 32) -> tuple[int, ...]:
    """The values (the first ``most`` of them) of an integer entry; () for None or another type."""
    if entry is None or entry.kind not in _CODE:
        return ()
    return struct.unpack_from(f"{block.order}{min(entry.count, most)}{_CODE[entry.kind]}", entry.raw)


def integer(block: Block, ifd: Ifd, tag: int, default: int) -> int:
    """The first value of an integer entry, or ``default``."""
    values = integers(block, ifd.entries.get(tag), 1)
    return values[0] if values else default


def rational(block: Block, entry: Entry | None) -> float | None:
    """The value of an unsigned rational (or integer) entry; None where it is missing or divides by zero."""
    if entry is None or entry.count < 1:
        return None
    if entry.kind != 5:
        whole = integers(block, entry, 1)
        return float(whole[0]) if whole else None
    above, below = struct.unpack_from(block.order + "II", entry.raw)
    return above / below if below else None


def sub_ifds(block: Block, ifd: Ifd) -> Iterator[tuple[int, Ifd]]:
    """The readable EXIF, GPS and interoperability directories below ``ifd``."""
    for tag in (EXIF_IFD, GPS_IFD, INTEROP_IFD):
        offset = integer(block, ifd, tag, 0)
        if offset:
            try:
                yield tag, read_ifd(block, offset)
            except Damaged:
                continue


def count_ifds(block: Block, limit: int = 10_000) -> int:
    """How many directories are chained; a loop or damage ends the count."""
    seen: set[int] = set()
    offset = block.first
    while offset and offset not in seen and len(seen) < limit:
        try:
            following = _next(block, offset)
        except Damaged:
            break
        seen.add(offset)
        offset = following
    return len(seen)


def _next(block: Block, offset: int) -> int:
    """Where the directory after the one at ``offset`` stands, 0 for nowhere; its entries are not looked at."""
    head, size, pointer = ("Q", 20, "Q") if block.big else ("H", 12, "I")
    try:
        count = struct.unpack_from(block.order + head, block.data, offset)[0]
        end = offset + struct.calcsize(block.order + head) + count * size
        if offset < 8 or count > MAX_ENTRIES or end > len(block.data):
            raise Damaged("directory outside the file")
        at_end = end + struct.calcsize(block.order + pointer) > len(block.data)
        return 0 if at_end else int(struct.unpack_from(block.order + pointer, block.data, end)[0])
    except struct.error as error:
        raise Damaged("directory outside the file") from error


def patch(block: Block, buffer: bytearray, entry: Entry | None, value: int) -> None:
    """Overwrite the (first) integer of an entry in ``buffer``, a copy of the block, where its type can hold it.

    Whatever :func:`integer` would read can be patched: writers do not keep to the types of the standard.
    """
    if entry is None or entry.count < 1 or entry.kind not in _CODE:
        return
    with contextlib.suppress(struct.error):
        struct.pack_into(block.order + _CODE[entry.kind], buffer, entry.at, value)


def tree_of(block: Block, ifd: Ifd, order: str, tags: Iterable[int] | None = None, depth: int = 0) -> Tree:
    """Entries of ``ifd`` (only ``tags``, if given) in byte order ``order``, with their sub-directories."""
    wanted = None if tags is None else frozenset(tags)
    below = dict(sub_ifds(block, ifd)) if depth < 2 else {}
    tree: Tree = {}
    for tag, entry in ifd.entries.items():
        if tag in (EXIF_IFD, GPS_IFD, INTEROP_IFD):
            if tag in below:
                tree[tag] = tree_of(block, below[tag], order, None, depth + 1)
        elif wanted is None or tag in wanted:
            raw = entry.raw if order == block.order else _swapped(entry)
            tree[tag] = (entry.kind, entry.count, raw)
    return tree


def dump(tree: Tree, order: str, at: int) -> bytes:
    """The classic directory of ``tree`` with all it refers to, to stand at (even) offset ``at``."""
    start = 2 + 12 * len(tree) + 4
    head, tail = [struct.pack(order + "H", len(tree))], bytearray()
    for tag in sorted(tree):
        item = tree[tag]
        where = at + start + len(tail)
        if isinstance(item, dict):
            body = dump(item, order, where)
            field = struct.pack(order + "HHII", tag, 4, 1, where)
        else:
            kind, count, body = item
            if len(body) <= 4:
                head.append(struct.pack(order + "HHI", tag, kind, count) + body.ljust(4, b"\0"))
                continue
            field = struct.pack(order + "HHII", tag, kind, count, where)
        head.append(field)
        tail += body + b"\0" * (len(body) % 2)
    return b"".join(head) + bytes(4) + bytes(tail)


def _swapped(entry: Entry) -> bytes:
    unit = _SWAP.get(entry.kind, 1)
    raw = entry.raw
    return b"".join(raw[i : i + unit][::-1] for i in range(0, len(raw), unit)) if unit > 1 else raw
