"""AVIF files: Pillow reads and writes 8 bit and what belongs to it, imagecodecs reads more bits."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, features

from dfrestore.photo import cicp
from dfrestore.photo.photo import Damaged, Header, Metadata, Origin, Pixels, Unsupported
from dfrestore.photo.pillow import quiet_pillow

_HEAD = 1 << 16  # bytes in which the properties of a picture stand


def read_header(data: bytes) -> Header:
    """Size, depth, mode, number of frames; nothing is decoded. Raises Damaged, Unsupported."""
    image = _opened(data)
    width, height = image.size
    deep = depth(data) > 8
    return Header(width, height, 16 if deep else 8, image.mode, int(getattr(image, "n_frames", 1)), lossless=False)


def depth(data: bytes) -> int:
    """8, 10 or 12 bits a sample, by the codec's configuration box (AV1 in ISO BMFF, section 2.3)."""
    at = data.find(b"av1C", 0, _HEAD)
    if at < 0 or at + 7 > len(data):
        raise Damaged("no AV1 configuration")
    flags = data[at + 6]
    return 12 if flags & 0x60 == 0x60 else 10 if flags & 0x40 else 8


def read_metadata(data: bytes) -> Metadata:
    """ICC (or one made of the colour numbers), EXIF and XMP. Pillow has put the file's turn into the EXIF."""
    info = _opened(data).info
    icc: bytes | None = info.get("icc_profile")
    notes: tuple[str, ...] = ()
    at = data.find(b"colrnclx", 0, _HEAD)
    if not icc and 0 <= at <= len(data) - 12:
        icc, notes = cicp.profile_of(*struct.unpack_from(">HH", data, at + 8))
    exif = info.get("exif")
    return Metadata(
        icc=icc or None, exif=exif.removeprefix(b"Exif\0\0") if exif else None, xmp=info.get("xmp") or None, notes=notes
    )


def decode_deep(data: bytes) -> Pixels:
    """uint16 (H, W) or (H, W, channels) of a file with 10 or 12 bits, scaled to 16."""
    import imagecodecs

    return scaled(np.asarray(imagecodecs.avif_decode(data)), depth(data))


def scaled(array: Pixels, bits: int) -> Pixels:
    """Samples of 9 to 15 bits in uint16 -> the full range of uint16, rounded: white stays white."""
    most = (1 << bits) - 1
    return ((array.astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)


def saved(save: Callable[..., bytes], origin: Origin) -> bytes:
    """``save(icc_profile=, exif=, xmp=)`` with the metadata of ``origin``, its EXIF byte for byte.

    Pillow would take the orientation out of the block and lay it anew, away from where maker notes point to: it gets
    an empty block of the same length, which is filled afterwards.
    """
    exif = origin.exif if origin.exif is not None and len(origin.exif) >= 64 else None
    empty = b"II*\0\x08\0\0\0\0\0\0\0\0\0".ljust(len(exif or b""), b"\xa5")
    encoded = save(icc_profile=origin.icc or b"", xmp=origin.xmp or b"", exif=empty if exif else origin.exif or b"")
    return encoded.replace(empty, exif, 1) if exif else encoded


def _opened(data: bytes) -> Image.Image:
    if not features.check("avif"):
        raise Unsupported("AVIF, which this build of Pillow does not read; install Pillow from PyPI")
    with quiet_pillow():
        return Image.open(io.BytesIO(data), formats=["AVIF"])
