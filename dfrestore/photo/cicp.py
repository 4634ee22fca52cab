"""Colour spaces that AVIF and HEIC name by numbers (CICP, ITU-T H.273), as the ICC profiles that other formats hold."""

from __future__ import annotations

import struct

# CICP number -> name, and the red, green and blue columns of its matrix to XYZ, adapted to D50 (Bradford)
_PRIMARIES = {
    12: ("Display P3", ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))),
    9: ("BT.2020", ((0.67348, 0.27904, -0.00193), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79686))),
}
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.0993, 0.0993 / 1.0993, 1 / 4.5, 0.0812)
_CURVES = {13: _SRGB_CURVE, 2: _SRGB_CURVE} | dict.fromkeys((1, 6, 14, 15), _BT709_CURVE)
_HDR = {16: "PQ", 18: "HLG"}
_D50 = (0.96420, 1.0, 0.82491)


def profile_of(primaries: int, transfer: int) -> tuple[bytes | None, tuple[str, ...]]:
    """(ICC profile, warnings); no profile for sRGB and BT.709, which programs assume, and for what has none."""
    if transfer in _HDR:
        return None, (f"HDR brightness ({_HDR[transfer]}) is not known to most programs: the result looks flat there",)
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        return None, ()
    name, columns = _PRIMARIES[primaries]
    return _matrix_profile(name, columns, _CURVES[transfer]), ()


def _matrix_profile(
    name: str, columns: tuple[tuple[float, float, float], ...], curve: tuple[float, float, float, float, float]
) -> bytes:
    """A display profile of ICC version 4.3: primaries, white point and one parametric curve."""
    tags = {b"desc": _text(name), b"cprt": _text("CC0"), b"wtpt": _xyz(_D50)}
    tags |= {key: _xyz(column) for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    body = struct.pack(">4s4xHxx", b"para", 3) + b"".join(map(_fixed, curve))
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), body)
    at = 128 + 4 + 12 * len(tags)
    table, data, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for key, content in tags.items():
        if content not in places:
            places[content] = at + len(data)
            data += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", key, places[content], len(content))
    size = 128 + len(table) + len(data)
    head = struct.pack(">I4xI4s4s4s6H4s", size, 0x04300000, b"mntr", b"RGB ", b"XYZ ", 2026, 1, 1, 0, 0, 0, b"acsp")
    return head.ljust(68, b"\0") + b"".join(map(_fixed, _D50)) + bytes(48) + table + data


def _text(words: str) -> bytes:
    encoded = words.encode("utf-16-be")
    return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(encoded), 28) + encoded


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))
