"""How the header and the metadata of each format are read, and whether a file that was just made opens again."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial

from PIL import Image

from dfrestore.photo import avif, gif_bmp, heif, jpeg, png, raw, tiff, webp
from dfrestore.photo.photo import Header, Metadata
from dfrestore.photo.pillow import quiet_pillow

CONTAINERS: Mapping[str, tuple[Callable[[bytes], Header], Callable[[bytes], Metadata]]] = {
    "PNG": (png.read_header, png.read_metadata),
    "JPEG": (jpeg.read_header, jpeg.read_metadata),
    "WEBP": (webp.read_header, webp.read_metadata),
    "TIFF": (tiff.read_header, tiff.read_metadata),
    "AVIF": (avif.read_header, avif.read_metadata),
    "HEIF": (heif.read_header, heif.read_metadata),
    "RAW": (raw.read_header, raw.read_metadata),
    "GIF": (partial(gif_bmp.read_header, format="GIF"), partial(gif_bmp.read_metadata, format="GIF")),
    "BMP": (partial(gif_bmp.read_header, format="BMP"), partial(gif_bmp.read_metadata, format="BMP")),
}


def trouble(data: bytes, format: str, width: int, height: int) -> str | None:
    """What is wrong with a file that was just encoded, in a few words; None where it opens again.

    Its header and metadata are read here and by Pillow, as other programs do. An AVIF is decoded too: libavif refuses
    some metadata only then.
    """
    read_header, read_metadata = CONTAINERS[format]
    try:
        header = read_header(data)
        notes = read_metadata(data).notes
        if format != "TIFF" or tiff.is_plain(data):  # Pillow does not know all kinds of 16 bit
            with quiet_pillow(), Image.open(io.BytesIO(data), formats=[format]) as image:
                if format == "AVIF":
                    image.load()
    except MemoryError:
        raise
    except Exception as error:  # readers raise anything
        return str(error) or type(error).__name__
    if (header.width, header.height) != (width, height):
        return f"it says {header.width} x {header.height}"
    return notes[0] if notes else None
