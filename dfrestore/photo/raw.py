"""Camera RAW, developed by LibRaw (rawpy, extra ``raw``): read with its metadata, never written."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace

import numpy as np

from dfrestore.photo import ifd, jpeg, tiff
from dfrestore.photo.photo import Damaged, Header, Metadata, Pixels, Unsupported
from dfrestore.photo.pillow import held_back

# Headers of TIFF structures under another name: Olympus and Panasonic
_LIBRAW = re.compile(rb"unknown file: ")  # how its complaints about data in memory begin
_DISGUISED = {b"IIRO": b"II*\0", b"IIRS": b"II*\0", b"IIU\0": b"II*\0", b"MMOR": b"MM\0*"}


def is_raw(data: bytes) -> bool:
    """Whether a TIFF structure holds a camera's sensor data."""
    try:
        block = ifd.open_block(data)
        return tiff.is_raw(block, ifd.read_ifd(block, block.first))
    except Damaged:
        return False


def read_header(data: bytes) -> Header:
    """Size, before it is turned. Raises Unsupported."""
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as file:
            sizes = file.sizes
            return Header(int(sizes.width), int(sizes.height), 16, "RGB", compression="deflate")
    except rawpy.LibRawFileUnsupportedError:
        raise Unsupported(
            "a RAW file that the installed rawpy does not know; update it, or develop the file to TIFF first"
        ) from None


def read_metadata(data: bytes) -> Metadata:
    """EXIF, XMP and IPTC where the file is a TIFF structure or holds a JPEG in a known place (Fujifilm)."""
    data = _DISGUISED.get(data[:4], data[:4]) + data[4:]
    if data.startswith(b"FUJIFILMCCD-RAW") and len(data) > 92:
        start, length = struct.unpack_from(">II", data, 84)
        meta = jpeg.read_metadata(data[start : start + length])
    elif data[:4] in (b"II*\0", b"MM\0*"):
        meta = tiff.read_metadata(data)
    else:
        return Metadata(notes=("EXIF dropped: it is not read from this kind of RAW",))
    return replace(meta, icc=None, dpi=None, native=(), notes=())


def decode(data: bytes) -> Pixels:
    """uint16 (H, W, 3), upright, in sRGB: the camera's white balance, no brightening, so that a series stays one."""
    import rawpy

    with held_back(_LIBRAW) as complaints, rawpy.imread(io.BytesIO(data)) as file:
        developed = np.asarray(
            file.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=(2.4, 12.92),
            )
        )
    if complaints:  # LibRaw fills what is missing, and goes on
        raise Damaged("the file ends early or is damaged")
    return developed
