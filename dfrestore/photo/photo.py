"""The two values this room deals in: :class:`Photo` (pixels and origin) and :class:`Origin` (all the rest)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""uint8 or uint16 samples: (H, W) or (H, W, channels)."""

Rgb = NDArray[np.float32]
"""float32 (H, W, 3) in [0, 1]."""


@dataclass(frozen=True)
class Origin:
    """What the file said besides its pixels; everything that a result must keep.

    format: ``PNG``, ``JPEG``, ``WEBP``, ``TIFF``, ``AVIF``, ``HEIF``, ``RAW``, ``GIF`` or ``BMP``, by content. mode:
    the file's own (``1``, ``L``, ``LA``, ``P``, ``RGB``, ``RGBA``, ``CMYK``). bits: 8, or 16 for all that is more.
    icc: byte for byte. exif: a TIFF block without the ``Exif`` prefix, already upright and without thumbnail.
    orientation: EXIF's, 1 to 8, by which the file's pixels were turned. iptc: Photoshop ``8BIM`` resources. dpi:
    (x, y) in pixels an inch. quality, subsampling, progressive: of a JPEG. lossless: the file held its pixels exactly.
    compression: of a TIFF, only when it is lossless and can be written. extrasample: TIFF's meaning of the fourth
    channel. native: pieces that only the same format can hold (name, bytes).
    """

    format: str = "PNG"
    mode: str = "RGB"
    bits: int = 8
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    orientation: int = 1
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    quality: int | None = None
    subsampling: str | None = None
    progressive: bool = False
    lossless: bool = True
    compression: str | None = None
    extrasample: int = 2
    native: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture ready for a network, and what is needed to write its like.

    rgb: float32 (H, W, 3) in [0, 1], upright; grey photos have three equal channels. alpha: uint8 or uint16 (H, W)
    as in the file, upright. warnings: one line each, for people.
    """

    rgb: Rgb
    alpha: Pixels | None = None
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright picture."""
        return int(self.rgb.shape[0]), int(self.rgb.shape[1])


@dataclass(frozen=True)
class Metadata:
    """What a container held besides pixels, before orientation is dealt with; ``notes`` are warnings."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    native: tuple[tuple[str, bytes], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """What is known of a file before any pixel is decoded. frames counts pictures; bits is the file's own depth."""

    width: int
    height: int
    bits: int
    mode: str
    frames: int = 1
    quality: int | None = None
    subsampling: str | None = None
    progressive: bool = False
    lossless: bool = True
    compression: str | None = None
    extrasample: int = 2
    notes: tuple[str, ...] = ()


class Damaged(ValueError):
    """Internal: a structure that cannot be; readers turn it into PhotoReadError or a warning."""


class Unsupported(ValueError):
    """Internal: a sound file of a kind that is not read; the message says what to do."""
