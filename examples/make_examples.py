"""Makes the pictures of this folder from photos that scikit-image carries: ``python examples/make_examples.py``.

Needs the ``dev`` extra (scikit-image). The same seed gives the same rain.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageCms

from dfrestore import Restorer
from dfrestore.degrade import KINDS, rain
from dfrestore.degrade.pairs import HOLE
from dfrestore.metrics import psnr, psnr_y, to_8bit
from dfrestore.photo.sheet import contact_sheet, middle

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Example:
    """A photo of ``skimage.data``, what its EXIF shall say, and the rain that falls on it."""

    name: str
    title: str
    credit: str
    preset: str
    seed: int


@dataclass(frozen=True)
class Shown:
    """A photo of ``skimage.data``, what is done to it, and the task that undoes it."""

    task: str
    name: str
    kind: str
    preset: str
    seed: int


EXAMPLES = (
    Example("coffee", "Coffee cup", "Rachel Michetti, CC0", "rain", 4),
    Example("chelsea", "Chelsea the cat", "Stefan van der Walt, CC0", "drizzle", 1),
    Example("rocket", "Launch of DSCOVR on a Falcon 9", "SpaceX, public domain", "rain", 7),
    Example("astronaut", "Eileen Collins", "NASA, public domain", "storm", 2),
)

NOISY = (
    Shown("denoise", "chelsea", "noise", "gaussian25", 1),
    Shown("denoise", "coffee", "noise", "sensor", 3),
    Shown("denoise", "astronaut", "noise", "gaussian50", 1),
)
SMALL = (
    Shown("upscale", "chelsea", "lowres", "x4", 1),
    Shown("upscale", "astronaut", "lowres", "x4", 1),
    Shown("upscale", "coffee", "lowres", "x2", 1),
)
HOLED = (
    Shown("inpaint", "chelsea", "holes", "scratches", 3),
    Shown("inpaint", "coffee", "holes", "strokes", 2),
    Shown("inpaint", "astronaut", "holes", "thick", 5),
)
BLURRED = (
    Shown("deblur", "chelsea", "blur", "short", 3),
    Shown("deblur", "coffee", "blur", "linear", 2),
    Shown("deblur", "astronaut", "blur", "shake", 5),
)
WEATHER = (
    Shown("dehaze", "rocket", "haze", "haze", 3),
    Shown("desnow", "chelsea", "snow", "snow", 2),
    Shown("raindrop", "coffee", "drops", "mixed", 4),
    Shown("defocus", "astronaut", "defocus", "medium", 5),
)

# contact sheets of presets: kind -> photo and seed
PRESETS = {"rain": ("coffee", 4), "noise": ("chelsea", 11), "blur": ("astronaut", 15)}
MORE_PRESETS = {
    "haze": ("rocket", 2),
    "snow": ("chelsea", 8),
    "drops": ("coffee", 7),
    "defocus": ("astronaut", 7),
    "lowres": ("chelsea", 2),
    "holes": ("astronaut", 6),
    "texture": ("chelsea", 0),
}


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
    save_degradations(HERE / "degradations.jpg", PRESETS, side=140)
    save_degradations(HERE / "degradations_more.jpg", MORE_PRESETS, side=220, reduced=2)
    save_before_after(HERE / "before_after.jpg")
    save_restored(HERE / "before_after_noise.jpg", NOISY)
    save_restored(HERE / "before_after_blur.jpg", BLURRED)
    save_restored(HERE / "before_after_larger.jpg", SMALL, side=200)
    save_restored(HERE / "before_after_holes.jpg", HOLED, side=240)
    save_restored(HERE / "before_after_weather.jpg", WEATHER, side=200)


def save_degradations(path: Path, shown: Mapping[str, tuple[str, int]], side: int, reduced: int = 1) -> None:
    """The middle of one picture of every preset but bench, a row a kind; small pictures in larger pixels."""

    def tile(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(middle(pixels, side)).reduce(reduced))

    rows = []
    for kind, (name, seed) in shown.items():
        photo = getattr(skimage.data, name)()
        photo = photo[:230] if name == "astronaut" else photo[: photo.shape[0] // 12 * 12, : photo.shape[1] // 12 * 12]
        # motion and mixed are the same for blur
        presets = [
            preset for preset in KINDS[kind].presets if preset != "bench" and (kind, preset) != ("blur", "mixed")
        ]
        degraded = [(preset, tile(damaged(photo, kind, preset, seed))) for preset in presets]
        rows.append([(f"{kind}: clean", tile(photo)), *degraded])
    contact_sheet(rows).save(path, "JPEG", quality=75, optimize=True)


def damaged(photo: np.ndarray, kind: str, preset: str, seed: int) -> np.ndarray:
    """A photo as a preset makes it: grey in its holes, as large as before."""
    result = KINDS[kind].apply(photo / 255.0, preset, seed)
    pixels = to_8bit(result[..., :3])
    if KINDS[kind].mask:
        pixels[result[..., 3] > 0] = HOLE
    scale = KINDS[kind].scale(preset)
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def save_before_after(path: Path) -> None:
    """Three of the rainy pictures, below them what the default model makes of them; parts at full size."""
    restorer = Restorer.from_pretrained("derain", precision="fp32")
    rows: list[list[tuple[str, np.ndarray]]] = [[], []]
    for name in ("coffee", "chelsea", "astronaut"):
        with Image.open(HERE / "pairs" / "input" / f"{name}.jpg") as rainy:
            pixels = np.asarray(rainy)
        rows[0].append((f"{name}, rainy", middle(pixels, 280)))
        rows[1].append((f"{name}, restored", middle(restorer(pixels), 280)))
    contact_sheet(rows).save(path, "JPEG", quality=85, optimize=True)


def save_restored(path: Path, shown: tuple[Shown, ...], side: int = 280) -> None:
    """Degraded photos, below them what their tasks' models make of them, then the photos; parts at full size."""
    rows: list[list[tuple[str, np.ndarray]]] = [[], [], []]
    for one in shown:
        kind = KINDS[one.kind]
        scale = kind.scale(one.preset)
        clean = cut_to(getattr(skimage.data, one.name)(), scale)
        restorer = Restorer.from_pretrained(one.task, "x2" if scale == 2 else None, precision="fp32")
        given = to_8bit(kind.apply(clean / 255.0, one.preset, one.seed))
        mask = (given[..., 3] > 0).astype(np.float32) if kind.mask else None
        restored = restorer(given[..., :3].copy(), mask=mask)
        before = plainly(given[..., :3], mask, scale)
        gain = f"{psnr(before, clean):.1f} to {psnr(restored, clean):.1f} dB"
        rows[0].append((f"{one.name}, {one.preset}", middle(before, side)))
        rows[1].append((f"{'larger' if scale > 1 else 'restored'}, {gain}", middle(restored, side)))
        rows[2].append(("before it all", middle(clean, side)))
    contact_sheet(rows).save(path, "JPEG", quality=85, optimize=True)


def cut_to(photo: np.ndarray, scale: int) -> np.ndarray:
    """Without the rows and columns, right and bottom, beyond a multiple of the scale."""
    return photo[: photo.shape[0] // scale * scale, : photo.shape[1] // scale * scale]


def plainly(pixels: np.ndarray, mask: np.ndarray | None, scale: int) -> np.ndarray:
    """What is given as it is shown and scored: enlarged by a bicubic filter, grey in its holes."""
    if mask is not None:
        pixels = pixels.copy()
        pixels[mask > 0] = HOLE
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)) if scale > 1 else pixels


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
