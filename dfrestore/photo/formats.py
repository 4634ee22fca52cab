"""Which formats there are, by content and by name; the only place that knows file extensions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "PNG": (".png", ".apng"),
        "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        "WEBP": (".webp",),
        "TIFF": (".tif", ".tiff"),
    }
)
"""Format -> its extensions, the usual one first."""

_RAW_NAMES = """
    3fr arw avif cr2 cr3 crw dcr dng erf fff heic heif hif iiq k25 kdc mef mos mrw nef nrw
    orf pef raf raw rw2 rwl sr2 srf srw x3f
"""
RAW_HEIC: frozenset[str] = frozenset("." + name for name in _RAW_NAMES.split())
"""Extensions of camera RAW, HEIC and AVIF files: pictures, but not read here."""

UNREAD = RAW_HEIC | {".gif", ".bmp", ".jxl", ".jp2", ".psd", ".exr", ".tga", ".ppm"}
"""Extensions of all pictures that are not read here; a folder run says how many it passed over."""

_NAMES = {"jpg": "JPEG", "tif": "TIFF"}
_FOREIGN = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"IIRO", "RAW"),
    (b"IIU\x00", "RAW"),
    (b"MMOR", "RAW"),
)


def normal_format(name: str) -> str | None:
    """``PNG``, ``JPEG``, ``WEBP`` or ``TIFF`` for ``jpg``, ``Jpeg``, ``.tif`` ..., else None."""
    key = name.lower().lstrip(".")
    upper = _NAMES.get(key, key.upper())
    return upper if upper in FORMATS else None


def format_of_path(path: str | Path) -> str | None:
    """The format that a path's extension asks for, or None."""
    suffix = Path(path).suffix.lower()
    return next((name for name, suffixes in FORMATS.items() if suffix in suffixes), None)


def is_candidate(path: str | Path) -> bool:
    """Whether a folder run takes this file: a known extension, and not a hidden name (``.`` first)."""
    return not Path(path).name.startswith(".") and format_of_path(path) is not None


def format_of_content(head: bytes) -> str | None:
    """The format that a file's first bytes (at least 16) announce, or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    return None


def foreign_format(head: bytes) -> str | None:
    """The name of a known format that is not read here, for a helpful message."""
    if head[4:8] == b"ftyp":
        return "AVIF" if head[8:12] in (b"avif", b"avis") else "HEIC or CR3"
    return next((name for magic, name in _FOREIGN if head.startswith(magic)), None)
