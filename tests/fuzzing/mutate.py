"""Mutations: pure functions from bytes and a random generator to bytes.

Some know nothing of formats; others take a file apart (chunks, segments, directories, JSON, text tokens), change a
piece and put it together again, so that the change gets past the checks at the door.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

Random = random.Random
Mutation = Callable[[bytes, Random], bytes]

EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1, 2**40)
HUGE = (2**63 - 1, 2**63, 2**64 - 1)
DEEP: Any = []
for _ in range(60):
    DEEP = [DEEP]
WILD: tuple[Any, ...] = (
    0, -1, 1, 2, 7, 64, 1024, 2**31, 2**63, 10**9, 10**30, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "x",
    "..", "../../x", "a\nb", "\ud800", "\0", "x" * 5000, None, True, False, [], {}, [1], [-1, 0], {"a": 1}, DEEP,
)  # fmt: skip
TOKENS = (
    "0", "-1", "1e400", "nan", "-inf", "true", '""', "''", '"../../x"', '"a\\nb"', '"\\u0000"', "[]", "{}", "[[[[]]]]",
    "9" * 400, "9" * 5000, "1979-05-27", "[" * 3000, '"' + "x" * 5000 + '"', "Infinity", "null", '"\\ud800"',
    '"bundled:../x.safetensors"', '"hf://a/../b/c.safetensors@x"', '"/etc/passwd"', "0x7fffffffffffffffff",
)  # fmt: skip


def mutated(kind: str, seeds: Sequence[bytes], rng: Random) -> bytes:
    """One to four changes to one of the seeds."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        aware = _AWARE.get(kind, ())
        if aware and rng.random() < 0.6:
            data = rng.choice(aware)(data, rng)
        elif rng.random() < 0.1:
            data = _splice(data, rng.choice(seeds), rng)
        else:
            data = rng.choice(_BLIND)(data, rng)
    return data


def _flip(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _overwrite(data: bytes, rng: Random) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    if len(data) < size:
        return data
    value = rng.choice((*EXTREMES, *HUGE, rng.getrandbits(64))) % 256**size
    at = rng.randrange(len(data) - size + 1)
    return data[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def _truncate(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _delete(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 2, 4, 16, 200)) :]


def _duplicate(data: bytes, rng: Random) -> bytes:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:b] + data[a:b] * rng.choice((1, 1, 1, 20)) + data[b:]


def _insert(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((rng.randbytes(rng.randrange(1, 40)), b"\xff" * 300, bytes(300))) + data[at:]


def _splice(data: bytes, other: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


_BLIND: tuple[Mutation, ...] = (_flip, _flip, _overwrite, _overwrite, _truncate, _delete, _duplicate, _insert)


def _pieces(parts: list[tuple[bytes, bytes]], rng: Random) -> list[tuple[bytes, bytes]]:
    """Named pieces: one dropped, doubled, moved, renamed or changed inside."""
    if not parts:
        return parts
    at = rng.randrange(len(parts))
    name, content = parts[at]
    choice = rng.randrange(6)
    if choice == 0:
        return parts[:at] + parts[at + 1 :]
    if choice == 1:
        return [*parts[:at], *[(name, content)] * rng.choice((2, 3, 200)), *parts[at + 1 :]]
    if choice == 2:
        other = rng.randrange(len(parts))
        parts[at], parts[other] = parts[other], parts[at]
        return parts
    if choice == 3:
        return [*parts[:at], (rng.choice(parts)[0], content), *parts[at + 1 :]]
    return [*parts[:at], (name, rng.choice(_BLIND)(content, rng)), *parts[at + 1 :]]


def _png_parts(data: bytes) -> list[tuple[bytes, bytes]]:
    parts, at = [], 8
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        parts.append((kind, data[at + 8 : at + 8 + size]))
        at += 12 + size
    return parts


def _png_joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    chunks = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _png_chunks(data: bytes, rng: Random) -> bytes:
    return _png_joined(_pieces(_png_parts(data), rng))


def _png_repaired(data: bytes, rng: Random) -> bytes:
    """Any change, then sound checksums, which would stop most others at the door."""
    return _png_joined(_png_parts(rng.choice(_BLIND)(data, rng)))


def _png_header(data: bytes, rng: Random) -> bytes:
    """Other sizes, depths and colour types, with a sound checksum."""
    parts = _png_parts(data)
    if not parts or len(parts[0][1]) < 13:
        return data
    side = [rng.choice((*EXTREMES[:14], rng.randrange(1, 99))) % 2**32 for _ in range(2)]
    kept = struct.unpack(">II", parts[0][1][:8])
    width, height = (kept[i] if rng.random() < 0.5 else side[i] for i in range(2))
    depth, colour, interlaced = rng.choice((1, 2, 4, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 5)), rng.choice((0, 1, 2))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return _png_joined([(b"IHDR", header), *parts[1:]])


def _png_text(data: bytes, rng: Random) -> bytes:
    """A compressed text or profile: a bomb, damaged, or with odd content."""
    body = rng.choice((bytes(1 << 20), bytes(20 << 20), b"\nexif\n      12\n4578696600004949", rng.randbytes(50)))
    packed = zlib.compress(body, 1)
    packed = packed if rng.random() < 0.7 else rng.choice(_BLIND)(packed, rng)
    kind, head = rng.choice(
        (
            (b"zTXt", b"Comment\0\0"),
            (b"zTXt", b"Raw profile type exif\0\0"),
            (b"zTXt", b"Raw profile type iptc\0\0"),
            (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0"),
            (b"iCCP", b"p\0\0"),
            (b"eXIf", b""),
        )
    )
    parts = _png_parts(data)
    return _png_joined([*parts[:1], *[(kind, head + packed)] * rng.choice((1, 1, 1, 30)), *parts[1:]])


def _png_pixels(data: bytes, rng: Random) -> bytes:
    """Change what the pixel data unpacks to."""
    parts = _png_parts(data)
    try:
        rows = zlib.decompress(b"".join(content for kind, content in parts if kind == b"IDAT"))
    except zlib.error:
        return data
    packed = zlib.compress(rng.choice(_BLIND)(rows, rng), 1)
    rest = [part for part in parts if part[0] != b"IDAT"]
    return _png_joined([*rest[:-1], (b"IDAT", packed), *rest[-1:]])


def _jpeg_segments(data: bytes, rng: Random) -> bytes:
    parts, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
        size = struct.unpack_from(">H", data, at + 2)[0]
        parts.append((data[at : at + 2], data[at + 4 : at + 2 + size]))
        at += 2 + size
    rest = data[at:]
    if rng.random() < 0.2:
        begun = (b"Exif\0\0" + rng.randbytes(30), b"ICC_PROFILE\0\1\3abc", b"MPF\0II*\0\x08\0\0\0" + bytes(9))
        extra = rng.choice(begun)
        parts.insert(rng.randrange(len(parts) + 1), (bytes([0xFF, rng.choice((0xE1, 0xE2, 0xED, 0xDB))]), extra))
    joined = b"".join(name + struct.pack(">H", (len(c) + 2) % 65536) + c for name, c in _pieces(parts, rng))
    return data[:2] + joined + (rest if rng.random() < 0.8 else rest[: len(rest) // 2] + rest)


def _webp_chunks(data: bytes, rng: Random) -> bytes:
    parts, at = [], 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        parts.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    body = b"WEBP" + b"".join(
        k.ljust(4)[:4] + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for k, c in _pieces(parts, rng)
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


_TAGS = (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 330, 338, 700, 34665, 34675)


def _directory(data: bytes, rng: Random) -> bytes:
    """A field of a TIFF directory, of the file or of an EXIF block in it: another tag, type, count, value or next."""
    starts = [found.start() for found in re.finditer(rb"II\*\0|MM\0\*", data)]
    if not starts:
        return rng.choice(_BLIND)(data, rng)
    base = rng.choice(starts)
    order = "<" if data[base : base + 1] == b"I" else ">"
    out = bytearray(data)
    try:
        ifd = base + struct.unpack_from(order + "I", data, base + 4)[0]
        for _ in range(rng.choice((0, 0, 1))):  # on to the next one
            count = struct.unpack_from(order + "H", data, ifd)[0]
            ifd = base + struct.unpack_from(order + "I", data, ifd + 2 + 12 * count)[0]
        count = struct.unpack_from(order + "H", data, ifd)[0]
        entry = ifd + 2 + 12 * rng.randrange(max(1, count))
        loop = rng.choice((ifd - base, 8, *EXTREMES[:15])) % 2**32
        values: tuple[tuple[str, int, int], ...] = (
            ("H", entry, rng.choice(_TAGS)),
            ("H", entry + 2, rng.randrange(20)),
            ("I", entry + 4, rng.choice(EXTREMES) % 2**32),
            ("I", entry + 8, rng.choice((*EXTREMES, loop)) % 2**32),
            ("H", entry + 8, rng.choice(EXTREMES) % 2**16),
            ("I", ifd + 2 + 12 * count, loop),
            ("H", ifd, rng.choice(EXTREMES) % 2**16),
        )
        code, at, value = rng.choice(values)
        struct.pack_into(order + code, out, at, value)
    except struct.error:
        return rng.choice(_BLIND)(data, rng)
    return bytes(out)


def _replaced(value: Any, rng: Random) -> Any:
    """A JSON value with something inside it replaced, removed or doubled under another name."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        choice = rng.random()
        if choice < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if choice < 0.2:
            return {**value, rng.choice(("x" * 9, "", *sorted(value))): value[key]}
        return {**value, key: _replaced(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.6:
        at = rng.randrange(len(value))
        return [*value[:at], _replaced(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and value.startswith("{"):  # the configuration, JSON inside JSON
        try:
            return json.dumps(_replaced(json.loads(value), rng))
        except (ValueError, RecursionError):
            pass
    return rng.choice(WILD)


def _header(data: bytes, rng: Random) -> bytes:
    """A safetensors file whose header says something else."""
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8:start])
    except (ValueError, RecursionError):
        return data
    if rng.random() < 0.7 and isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header = {**header, "__metadata__": _replaced(header["__metadata__"], rng)}
    else:
        header = _replaced(header, rng)
    text = json.dumps(header, ensure_ascii=True).encode()
    length = rng.choice(HUGE) if rng.random() < 0.05 else len(text)
    return length.to_bytes(8, "little") + text + data[start:]


def _pickle(data: bytes, rng: Random) -> bytes:
    """A sound archive whose pickle was changed (the archive's own checksums would hide it otherwise)."""
    if not data.startswith(b"PK"):
        return rng.choice(_BLIND)(data, rng)
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                changed = name.endswith("data.pkl") or rng.random() < 0.1
                new.writestr(zipfile.ZipInfo(name), rng.choice(_BLIND)(content, rng) if changed else content)
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, NotImplementedError, EOFError):
        return data
    return out.getvalue()


def _token(data: bytes, rng: Random) -> bytes:
    """One number, text or word in place of another."""
    places = list(re.finditer(rb'"[^"\n]*"|[-+.\w]+', data))
    if not places:
        return data
    place = rng.choice(places)
    token = rng.choice(TOKENS).encode() if rng.random() < 0.7 else rng.choice(places)[0]
    return data[: place.start()] + token + data[place.end() :]


def _sign(data: bytes, rng: Random) -> bytes:
    """A sign that means something in a size or a mask, or a look-alike, put in or in place of a character."""
    text = data.decode("utf-8", "replace")
    at = rng.randrange(len(text) + 1)
    return (text[:at] + rng.choice(_SIGNS) + text[at + rng.randrange(2) :]).encode("utf-8", "replace")


def _number(data: bytes, rng: Random) -> bytes:
    """One number in place of another: small, extreme, or below 0."""
    places = list(re.finditer(rb"[0-9]+", data))
    if not places:
        return data
    place = rng.choice(places)
    number = rng.choice((*range(12), 255, 256, 3840, *EXTREMES, *HUGE)) * rng.choice((1, 1, 1, -1))
    return data[: place.start()] + str(number).encode() + data[place.end() :]


def _picture(data: bytes, rng: Random) -> bytes:
    """Another sound picture: any mode, content and format, in a size that is the old one's, related to it, or not."""
    header = _png_parts(data)[:1]
    old = struct.unpack(">II", header[0][1][:8]) if header and len(header[0][1]) >= 8 else (19, 23)
    factor = rng.choice((1, 1, 1, 2, 3, 0.5, 7))
    width, height = (max(1, min(400, round(side * factor))) for side in old)
    if rng.random() < 0.3:
        width, height = (rng.randrange(1, 60) for _ in range(2))
    levels = rng.choice(((0, 255), (0, 1), (1, 2), (255,), (0,), (0, 5, 9), (0, 127, 128), range(256)))
    samples = bytes(rng.choice(levels) for _ in range(width * height))
    image = Image.frombytes("L", (width, height), samples)
    mode = rng.choice(("1", "L", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16"))
    if mode == "P":
        image = Image.frombytes("P", (width, height), samples)
        image.putpalette(rng.randbytes(rng.choice((3, 6, 48, 768))))
    elif mode in ("LA", "RGBA") and rng.random() < 0.5:
        image = Image.merge("LA", (Image.new("L", image.size), image)).convert(mode)  # drawn in black on transparent
    elif mode != "I;16" or rng.random() < 0.5:
        image = image.convert(mode)
    out = io.BytesIO()
    try:
        image.save(out, rng.choice(("PNG", "PNG", "PNG", "TIFF", "JPEG", "WEBP", "GIF", "BMP")))
    except (OSError, ValueError, KeyError):  # a mode that this format does not have
        return data
    return out.getvalue()


_SIGNS = (*"xX^!<>%~:,#=-+. \t\n\0\"'()@/0", "\u00d7", "\u0663", "\uff11", "\u2212", "\U0001f600", "e5", "inf", "nan")

_AWARE: dict[str, tuple[Mutation, ...]] = {
    "png": (_png_chunks, _png_chunks, _png_repaired, _png_repaired, _png_header, _png_text, _png_pixels, _directory),
    "jpeg": (_jpeg_segments, _jpeg_segments, _directory),
    "webp": (_webp_chunks, _directory),
    "tiff": (_directory,),
    "checkpoint": (_header,),
    "pth": (_pickle,),
    "registry": (_token,),
    "config": (_token,),
    "lines": (_token,),
    "address": (_token,),
    "size": (_token, _sign, _sign, _number, _number),
    "spec": (_token, _sign, _number, _number, _number),
    "mask": (_picture, _picture, _picture, _png_chunks, _png_repaired, _png_header, _png_pixels),
}
