"""Pictures to look at, not to keep: 8 bit, transparent parts on white, reduced, in sRGB."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dfrestore.photo.encode import quantise
from dfrestore.photo.photo import Pixels, Rgb


def view(rgb: Rgb, alpha: Pixels | None, icc: bytes | None, side: int) -> Image.Image:
    """RGB of at most ``side`` pixels a side. rgb: float32 (H, W, 3) in [0, 1]; alpha, icc: as of a :class:`Photo`."""
    return in_srgb(reduced(Image.fromarray(on_white(rgb, alpha)), side), icc)


def on_white(rgb: Rgb, alpha: Pixels | None) -> NDArray[np.uint8]:
    """uint8 (H, W, 3)."""
    if alpha is None:
        return quantise(rgb, 8, grey=False)
    opacity = alpha[..., None] / np.float32(np.iinfo(alpha.dtype).max)
    return quantise(rgb * opacity + (1 - opacity), 8, grey=False)


def reduced(image: Image.Image, side: int) -> Image.Image:
    """The image with no side longer than ``side``; never enlarged."""
    size = size_within(image.size, side)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)


def size_within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The largest size of the same shape with no side longer than ``side``, or the size itself."""
    width, height = size
    scale = side / max(width, height)
    return size if scale >= 1 else (max(1, round(width * scale)), max(1, round(height * scale)))


def in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Colours as a viewer without profiles shows them; as they are where the profile is of no use."""
    if icc is None:
        return image
    grey = icc[16:20] == b"GRAY"
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        shown = ImageCms.profileToProfile(
            image.convert("L") if grey else image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if shown is None else shown
