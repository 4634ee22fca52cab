"""What tests of ``upscale`` and ``inpaint`` look at: pictures, masks, and what a command printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from conftest import Answer
from numpy.typing import NDArray
from PIL import Image

from dfrestore import photo
from dfrestore.photo.enlarged import enlarged

HOLE = (slice(5, 11), slice(8, 16))
"""Rows and columns; an eighth of a photo of 24x16 pixels."""


def array_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def plain(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """What a plain resize makes of a photo."""
    made = enlarged(photo.read(path), height, width)
    return np.rint(made.rgb * 255).astype(np.uint8)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height)."""
    with Image.open(path) as image:
        return image.size


def objects(answer: Answer) -> list[dict[str, Any]]:
    """What ``--json`` printed."""
    return [json.loads(line) for line in answer.paths]


def names(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def sideways(path: Path) -> Path:
    """A JPEG of a camera held on its side: stored as 24x16, upright 16x24; with the sizes that a camera writes."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    exif.get_ifd(0x8769).update({0xA002: 24, 0xA003: 16})
    rows, columns = np.mgrid[:16, :24]
    smooth = np.stack([rows * 15, columns * 10, 255 - columns * 10], axis=2).astype(np.uint8)
    Image.fromarray(smooth).save(path, quality=100, subsampling=0, exif=exif)
    return path


def hole(size: tuple[int, int] = (24, 16)) -> NDArray[np.bool_]:
    """:data:`HOLE` in a mask of (width, height)."""
    mask = np.zeros(size[::-1], bool)
    mask[HOLE] = True
    return mask


def save_mask(path: Path, mask: NDArray[np.bool_] | None = None, white: int = 255) -> Path:
    """A grey picture of the mask, by default of :func:`hole`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((hole() if mask is None else mask) * np.uint8(white)).save(path)
    return path


def changed(before: Path, after: Path) -> NDArray[np.bool_]:
    """(H, W): where two pictures differ."""
    difference = array_of(before) != array_of(after)
    return difference if difference.ndim == 2 else difference.any(axis=2)


def is_filled(before: Path, after: Path, mask: NDArray[np.bool_]) -> bool:
    """Whether nothing outside of the mask has changed, and nearly all inside has."""
    there = changed(before, after)
    return not there[~mask].any() and bool(there[mask].mean() > 0.9)
