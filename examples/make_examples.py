"""Makes the pictures of this folder from photos that scikit-image carries: ``python examples/make_examples.py``.

Needs the ``dev`` extra (scikit-image). The same seed gives the same rain. ``rain_night.jpg`` is a real photo and is
not made here.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageCms

from dfrestore.degrade import rain
from dfrestore.metrics import psnr_y, to_8bit

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Example:
    """A photo of ``skimage.data``, what its EXIF shall say, and the rain that falls on it."""

    name: str
    title: str
    credit: str
    preset: str
    seed: int


EXAMPLES = (
    Example("coffee", "Coffee cup", "Rachel Michetti, CC0", "rain", 4),
    Example("chelsea", "Chelsea the cat", "Stefan van der Walt, CC0", "drizzle", 1),
    Example("rocket", "Launch of DSCOVR on a Falcon 9", "SpaceX, public domain", "rain", 7),
    Example("astronaut", "Eileen Collins", "NASA, public domain", "storm", 2),
)


def main() -> None:
    for folder in ("input", "target"):
        (HERE / "pairs" / folder).mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        clean = getattr(skimage.data, example.name)()
        rainy = to_8bit(rain.apply(clean / 255.0, example.preset, example.seed))
        save(clean, HERE / "pairs" / "target" / f"{example.name}.jpg", example)
        save(rainy, HERE / "pairs" / "input" / f"{example.name}.jpg", example)
        print(f"{example.name}: {example.preset}, seed {example.seed}, {psnr_y(rainy, clean):.2f} dB on Y")
        if example.name == "coffee":
            save(rainy, HERE / "rainy_coffee.jpg", example)
        if example.name == "rocket":
            # held sideways, as a phone stores it: EXIF says how to turn it
            save(np.rot90(rainy), HERE / "rainy_rocket_sideways.jpg", example, orientation=6)


def save(pixels: np.ndarray, path: Path, example: Example, orientation: int = 1) -> None:
    """JPEG of quality 92 without chroma subsampling, with EXIF and an sRGB profile."""
    exif = Image.Exif()
    exif[0x010E] = example.title
    exif[0x0112] = orientation
    exif[0x8298] = example.credit
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92, subsampling=0, exif=exif, icc_profile=srgb_profile())
    path.write_bytes(out.getvalue())


def srgb_profile() -> bytes:
    """An sRGB profile whose date is fixed, so that the same pictures are the same files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    return bytes(profile)


if __name__ == "__main__":
    main()
