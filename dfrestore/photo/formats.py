"""Which formats there are, by content and by name; the only place that knows file extensions."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "PNG": (".png", ".apng"),
        "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        "WEBP": (".webp",),
        "TIFF": (".tif", ".tiff"),
        "AVIF": (".avif",),
    }
)
"""What is read and written: format -> its extensions, the usual one first."""

_RAW_NAMES = """
    dng 3fr arw cr2 cr3 crw dcr erf fff iiq k25 kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f
"""
READ_ONLY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "HEIF": (".heic", ".heif", ".hif"),
        "RAW": tuple(f".{name}" for name in _RAW_NAMES.split()),
        "GIF": (".gif",),
        "BMP": (".bmp", ".dib"),
    }
)
"""Formats that are read, some only where their extra is installed, and never written."""

WRITTEN_AS: Mapping[str, str] = MappingProxyType({"HEIF": "JPEG", "RAW": "TIFF", "GIF": "PNG", "BMP": "PNG"})
"""What a result of a picture in a format of :data:`READ_ONLY` becomes: what every program opens, in the same depth."""

_EXTRAS = {"HEIF": ("heic", "pillow_heif"), "RAW": ("raw", "rawpy")}
_OTHERS = frozenset({".jxl", ".jp2", ".psd", ".exr", ".tga", ".ppm"})
FOREIGN = _OTHERS | {".pdf", ".svg"} | {suffix for group in READ_ONLY.values() for suffix in group}
"""Extensions of pictures that are not written here."""

_NAMES = {"jpg": "JPEG", "tif": "TIFF"}
_FOREIGN = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
)
_RAW = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"IIU\x00", b"MMOR", b"FOVb", b"\x00MRM")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes, each a version of the format
_AVIF, _HEIF = {b"avif", b"avis"}, {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def normal_format(name: str) -> str | None:
    """``PNG``, ``JPEG``, ``WEBP``, ``TIFF`` or ``AVIF`` for ``jpg``, ``Jpeg``, ``.tif`` ..., else None."""
    key = name.lower().lstrip(".")
    upper = _NAMES.get(key, key.upper())
    return upper if upper in FORMATS else None


def format_of_path(path: str | Path) -> str | None:
    """The format that a path's extension asks for, or None."""
    suffix = Path(path).suffix.lower()
    return next((name for name, suffixes in FORMATS.items() if suffix in suffixes), None)


def read_only_format(path: str | Path) -> str | None:
    """``HEIF``, ``RAW``, ``GIF`` or ``BMP`` for a path with an extension of these, else None."""
    suffix = Path(path).suffix.lower()
    return next((name for name, suffixes in READ_ONLY.items() if suffix in suffixes), None)


def missing_extra(format: str | None) -> str | None:
    """The extra that has to be installed before ``format`` is read; None where nothing is missing."""
    extra, module = _EXTRAS.get(format or "", ("", ""))
    return extra if extra and find_spec(module) is None else None


def is_candidate(path: str | Path) -> bool:
    """Whether a folder run takes this file: an extension that is read here, and not a hidden name (``.`` first)."""
    if Path(path).name.startswith("."):
        return False
    other = read_only_format(path)
    return format_of_path(path) is not None or (other is not None and missing_extra(other) is None)


def is_unread(path: str | Path) -> bool:
    """Whether this is a picture by its extension that is not read here; a folder run says how many it passed over."""
    known = Path(path).suffix.lower() in _OTHERS or read_only_format(path) is not None
    return known and not Path(path).name.startswith(".") and not is_candidate(path)


def format_of_content(head: bytes) -> str | None:
    """The format that a file's first bytes (at least 64) announce, or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in range(8, min(len(head), 64, int.from_bytes(head[:4], "big")) - 3, 4)}
        if b"crx " in brands:
            return "RAW"
        return "AVIF" if brands & _AVIF else "HEIF" if brands & _HEIF else None
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return "RAW" if head.startswith(_RAW) else None


def foreign_format(head: bytes) -> str | None:
    """The name of a known format that is not read here, for a helpful message."""
    return next((name for magic, name in _FOREIGN if head.startswith(magic)), None)
