"""Pairs of files for training and measuring: ``input/NAME`` degraded, ``target/NAME`` clean, and a manifest.

A kind that makes holes adds ``mask/NAME.png``, white where something is missing, which is grey in the input. Where a
kind makes pictures smaller, the clean ones are cut right and bottom to a multiple of its scale. Pictures are 8 bit RGB,
without metadata except the colour profile. The pixels, the kind, the preset and the seed decide what a file becomes;
the manifest lists them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfrestore import strict_json
from dfrestore.degrade.kinds import Kind
from dfrestore.errors import FileFailure, PhotoReadError, PhotoWriteError
from dfrestore.photo import MAX_PIXELS, Origin, Photo, atomic_write, encode, make_folder, read
from dfrestore.photo.sheet import contact_sheet, middle
from dfrestore.version import __version__

HOLE = 127  # what holes are filled with
MANIFEST = "manifest.jsonl"
PREVIEW = "preview.png"
_TILE = 256


@dataclass(frozen=True)
class Recipe:
    """How files are degraded and stored. format: one of :data:`dfrestore.photo.FORMATS`; quality: if it is lossy."""

    kind: Kind
    preset: str
    format: str = "PNG"
    quality: int | None = None
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Made:
    """One line of the manifest. file: below input/ and target/, with slashes. sha256: of the source file."""

    file: str
    kind: str
    preset: str
    seed: int
    sha256: str
    version: str = __version__


@dataclass(frozen=True)
class Degraded:
    """A source's two sides, uint8 (H, W, 3), and the colour profile they share; warnings: one line each.

    mask: uint8 (H, W), 255 where something is missing, or None.
    """

    clean: NDArray[np.uint8]
    degraded: NDArray[np.uint8]
    icc: bytes | None
    warnings: tuple[str, ...]
    mask: NDArray[np.uint8] | None = None


def sides(kind: Kind, out: Path, name: str) -> list[Path]:
    """Where the files of one pair go: degraded, clean and, where there is one, the mask, which is always a PNG."""
    paths = [out / "input" / name, out / "target" / name]
    return [*paths, (out / "mask" / name).with_suffix(".png")] if kind.mask else paths


def degrade_file(source: Path, recipe: Recipe, seed: int) -> Degraded:
    """Read a photo and degrade it. Raises PhotoReadError, or FileFailure if the degradation cannot take it."""
    photo = read(source, max_pixels=recipe.max_pixels)
    clean = _cut(np.round(photo.rgb * 255).astype(np.uint8), recipe.kind.scale(recipe.preset), source)
    try:
        degraded = recipe.kind.apply(clean / np.float32(255), recipe.preset, seed)
    except FileFailure as error:
        raise FileFailure(f"{source}: {error}") from error
    icc = photo.origin.icc
    if icc is not None and icc[16:20] != b"RGB ":  # a grey or CMYK profile does not fit RGB pixels
        icc = None
    notes = [*photo.warnings, *(["alpha dropped"] if photo.alpha is not None else [])]
    pixels = np.round(np.clip(degraded, 0, 1) * 255).astype(np.uint8)
    if not recipe.kind.mask:
        return Degraded(clean, pixels, icc, tuple(notes))
    pixels, mask = pixels[..., :3], pixels[..., 3]
    if mask.all():
        size = f"{clean.shape[1]} x {clean.shape[0]}"
        raise FileFailure(f"{source}: {size} is too small for holes of preset {recipe.preset}: nothing would be left")
    return Degraded(clean, np.where(mask[..., None] > 0, np.uint8(HOLE), pixels), icc, tuple(notes), mask)


def _cut(pixels: NDArray[np.uint8], scale: int, source: Path) -> NDArray[np.uint8]:
    height, width = (side // scale * scale for side in pixels.shape[:2])
    if not height or not width:
        raise FileFailure(f"{source}: {pixels.shape[1]} x {pixels.shape[0]} is too small to be reduced by {scale}")
    return pixels[:height, :width]


def make_pair(
    source: Path, out: Path, name: str, recipe: Recipe, seed: int, *, overwrite: bool = False
) -> tuple[Made, Degraded]:
    """Write ``out/input/name``, ``out/target/name`` and what else :func:`sides` names, all or none.

    Raises PhotoReadError, PhotoWriteError.
    """
    sha256 = _sha256(source)
    made = degrade_file(source, recipe, seed)
    paths = sides(recipe.kind, out, name)
    for path in paths:
        make_folder(path.parent)
    files = [
        _encoded(pixels, made.icc, recipe, path)
        for pixels, path in zip((made.degraded, made.clean), paths, strict=False)
    ]
    if made.mask is not None:
        files.append(_as_png(made.mask))
    written: list[Path] = []
    try:
        for path, file in zip(paths, files, strict=True):
            new = not path.exists()
            atomic_write(path, file, overwrite=overwrite)
            written += [path] * new
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return Made(name, recipe.kind.name, recipe.preset, seed, sha256), made


def write_manifest(out: Path, made: Iterable[Made]) -> None:
    """Add lines to ``out/manifest.jsonl``; they replace older ones of the same files. Raises PhotoWriteError."""
    path = out / MANIFEST
    fresh = {item.file: strict_json.dumps(asdict(item), ascii=False) for item in made}
    if not fresh:
        return
    try:
        old = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeError) as error:
        raise PhotoWriteError(f"{path}: cannot be read ({error}); move it away") from error
    lines = [line for line in old if line.strip() and _file_of(line) not in fresh] + list(fresh.values())
    atomic_write(path, ("\n".join(lines) + "\n").encode(), overwrite=True)


def write_preview(out: Path, pairs: Iterable[tuple[str, Degraded]], *, overwrite: bool = False) -> Path | None:
    """``out/preview.png``: the middle of each pair at full size, degraded beside clean; None without pairs.

    What is smaller than its clean picture is shown in larger pixels.

    One pair is in memory at a time. Raises PhotoWriteError.
    """
    rows = [
        [
            (caption, middle(_as_large(pair.degraded, pair.clean), _TILE).copy()),
            ("clean", middle(pair.clean, _TILE).copy()),
        ]
        for caption, pair in pairs
    ]
    if not rows:
        return None
    if len(rows) > 3:  # two pairs a row
        rows = [[tile for row in rows[i : i + 2] for tile in row] for i in range(0, len(rows), 2)]
    sheet = np.asarray(contact_sheet(rows), np.float32) / np.float32(255)
    path = out / PREVIEW
    make_folder(out)
    atomic_write(path, encode(Photo(sheet), sheet, "PNG")[0], overwrite=overwrite)
    return path


def _as_large(pixels: NDArray[np.uint8], clean: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = clean.shape[0] // pixels.shape[0]
    return pixels if factor == 1 else pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _encoded(pixels: NDArray[np.uint8], icc: bytes | None, recipe: Recipe, path: Path) -> bytes:
    rgb = pixels.astype(np.float32) / np.float32(255)
    origin = Origin(format=recipe.format, icc=icc)
    try:
        return encode(Photo(rgb, origin=origin), rgb, recipe.format, quality=recipe.quality)[0]
    except PhotoWriteError as error:
        raise PhotoWriteError(f"{path}: {error}") from error


def _as_png(mask: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PhotoReadError(f"{path}: cannot be read ({error.strerror or error})") from error


def _file_of(line: str) -> str | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    file = found.get("file") if isinstance(found, dict) else None
    return file if isinstance(file, str) else None
