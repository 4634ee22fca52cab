"""HEIC files, by pillow-heif (extra ``heic``): read with their depth, alpha and metadata, never written."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from dfrestore.photo import cicp
from dfrestore.photo.avif import scaled
from dfrestore.photo.photo import Header, Metadata, Pixels


def read_header(data: bytes) -> Header:
    """Size (as the picture stands), depth, mode, number of pictures; nothing is decoded."""
    file = _opened(data)
    width, height = file.size
    notes: tuple[str, ...] = ()
    if any("hdrgainmap" in str(kind) for kind in file.info.get("aux", ())):
        notes = ("HDR gain map dropped: the result shows its standard range",)
    return Header(
        width, height, 16 if file.info["bit_depth"] > 8 else 8, str(file.mode).partition(";")[0].upper(), len(file),
        lossless=False, notes=notes,
    )  # fmt: skip


def read_metadata(data: bytes) -> Metadata:
    """ICC (or one made of the colour numbers), EXIF and XMP."""
    info = _opened(data).info
    icc: bytes | None = info.get("icc_profile")
    notes: tuple[str, ...] = ()
    if not icc and (nclx := info.get("nclx_profile")):
        icc, notes = cicp.profile_of(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))
    exif, xmp = info.get("exif"), info.get("xmp")
    return Metadata(
        icc=icc or None,
        exif=exif.removeprefix(b"Exif\0\0") if exif else None,
        xmp=xmp.rstrip(b"\0") if xmp else None,
        notes=notes,
    )


def decode(data: bytes) -> tuple[Pixels, bool]:
    """Samples of the main picture, upright, (H, W) or (H, W, channels), uint8 or full-range uint16; premultiplied."""
    file = _opened(data)
    array, bits = np.asarray(file), int(file.info["bit_depth"])
    return scaled(array, bits) if array.dtype == np.uint16 else array, str(file.mode).partition(";")[0].endswith("a")


def _opened(data: bytes) -> Any:
    import pillow_heif

    return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
