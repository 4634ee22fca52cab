"""Pictures small enough for a page: each photo reduced, and a part of it as it is, as WebP of bounded size."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from dfrestore.errors import PhotoReadError
from dfrestore.evaluation.comparison import Compared
from dfrestore.evaluation.score import Measured
from dfrestore.photo import MAX_PIXELS, read
from dfrestore.photo.view import in_srgb, on_white, reduced

Role: TypeAlias = Literal["before", "after", "second", "third", "target"]
"""What a picture is; ``second`` and ``third``: the results of further models than the one of ``after``."""
MODEL_ROLES: tuple[Role, ...] = ("after", "second", "third")

PAGE_BYTES = 64_000_000
"""All pictures of a page, as they stand in it (base64)."""
MOST_BYTES, LEAST_BYTES = 2_000_000, 48_000
"""Of one photo: more is not needed, less shows nothing."""
MOST_PHOTOS = PAGE_BYTES // LEAST_BYTES
LADDER = ((900, 90), (900, 80), (760, 76), (640, 74), (540, 72), (440, 68), (340, 62), (260, 52), (180, 40), (120, 20))
"""(longest side, WebP quality), from the top until a photo's pictures fit into its bytes."""

_CELL = 16  # pixels a side of the grid on which the part that changed most is looked for


@dataclass(frozen=True, eq=False)
class Source:
    """A picture to show. pixels: uint8 (H, W, 3). icc: its colour profile."""

    role: Role
    pixels: NDArray[np.uint8]
    icc: bytes | None = None


@dataclass(frozen=True)
class Shot:
    """Two WebP files of one picture. part: empty where ``whole`` is not reduced and shows every pixel."""

    role: Role
    whole: bytes
    part: bytes


@dataclass(frozen=True)
class Shots:
    """What a page shows of one photo. size: of the photo; shown: of ``whole``; both (width, height).

    box: (left, top, width, height) of ``part`` in the photo, the same for all. change: mean difference of two pictures,
    before and after unless it is of several models, in 8-bit levels.
    """

    pictures: tuple[Shot, ...]
    size: tuple[int, int]
    shown: tuple[int, int]
    box: tuple[int, int, int, int]
    change: float


def bytes_each(photos: int) -> int:
    """How much of a page each of so many photos may take (those beyond MOST_PHOTOS get none)."""
    return min(MOST_BYTES, max(LEAST_BYTES, PAGE_BYTES // max(1, photos)))


def shots(sources: Sequence[Source], budget: int = MOST_BYTES, *, first: int = 0) -> Shots | None:
    """Pictures of one size, reduced alike until all fit into ``budget``; None where nothing would.

    first: number of the one that, with the one after it, tells what changed. Raises ValueError where sizes differ.
    """
    sizes = {source.pixels.shape[1::-1] for source in sources}
    if len(sizes) != 1:
        raise ValueError(f"pictures of different sizes: {', '.join(f'{w}x{h}' for w, h in sorted(sizes))}")
    images = [Image.fromarray(source.pixels) for source in sources]
    difference = ImageChops.difference(images[first], images[min(first + 1, len(images) - 1)])
    grid = np.asarray(difference.convert("L").reduce(_CELL), np.float64)
    wholes = [reduced(image, LADDER[0][0]) for image in images]
    for side, quality in LADDER:
        box = _box(grid, images[0].size, _part_size(images[0].size, side))
        left, top, width, height = box
        cut = (left, top, left + width, top + height)
        wholes = [reduced(image, side) for image in wholes]
        shown = wholes[0].size
        parts = [image.crop(cut) if shown != image.size else None for image in images]
        encoded = _encoded(sources, wholes, parts, quality, budget)
        if encoded is not None:
            return Shots(encoded, images[0].size, shown, box, float(np.asarray(difference.reduce(4)).mean()))
    return None


def shots_of_files(
    files: Mapping[Role, Path], budget: int = MOST_BYTES, *, max_pixels: int = MAX_PIXELS, resize: bool = False
) -> Shots | None:
    """:func:`shots` of files, each decoded once and held as 8 bit, transparent parts on white.

    resize: all are shown in the last one's size, by a plain resize. Raises PhotoReadError.
    """
    sources: list[Source] = []
    for role, path in files.items():
        photo = read(path, max_pixels=max_pixels)
        sources.append(Source(role, on_white(photo.rgb, photo.alpha), photo.origin.icc))
        del photo  # four times the size of what is kept
    if resize:
        sources = [_in_size(source, sources[-1].pixels.shape[1::-1]) for source in sources]
    try:
        return shots(sources, budget)
    except ValueError as error:
        raise PhotoReadError(f"{', '.join(str(path) for path in files.values())}: {error}") from error


def shots_of_pair(measured: Measured, budget: int = MOST_BYTES) -> Shots | None:
    """:func:`shots` of what was measured; None where the pair failed."""
    of_input, of_target = measured.icc
    pictures: tuple[tuple[Role, NDArray[np.uint8] | None, bytes | None], ...] = (
        ("before", measured.before, of_input),
        ("after", measured.after, of_input),
        ("target", measured.target, of_target),
    )
    sources = [Source(role, pixels, icc) for role, pixels, icc in pictures if pixels is not None]
    return shots(sources, budget) if sources else None


def shots_of_comparison(compared: Compared, budget: int = MOST_BYTES) -> Shots | None:
    """:func:`shots` of what several models made of a pair, and where the first two differ; None where it failed."""
    if not compared.pictures:
        return None
    first = compared.pictures[0]
    of_input, of_target = first.icc
    sources = [Source("before", first.before, of_input)] if first.before is not None else []
    before = len(sources)
    for role, one in zip(MODEL_ROLES, compared.pictures, strict=False):
        sources += [Source(role, one.after, of_input)] if one.after is not None else []
    sources += [Source("target", first.target, of_target)] if first.target is not None else []
    return shots(sources, budget, first=before)


def _in_size(source: Source, size: tuple[int, int]) -> Source:
    if source.pixels.shape[1::-1] == size:
        return source
    resized = Image.fromarray(source.pixels).resize(size, Image.Resampling.BICUBIC)
    return replace(source, pixels=np.asarray(resized))


def _part_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """As large as the reduced photo, and of a panorama at least half of ``side`` high."""
    width, height = size
    scale = min(1.0, side / max(size))
    return (
        min(width, side, max(side // 2, round(width * scale))),
        min(height, side, max(side // 2, round(height * scale))),
    )


def _box(grid: NDArray[np.float64], size: tuple[int, int], part: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the part with most of ``grid``, whose cells are _CELL pixels wide, near its middle.

    The middle one where nothing differs.
    """
    (width, height), (wide, high) = size, part
    if not grid.any():
        return (width - wide) // 2, (height - high) // 2, wide, high
    rows, columns = (max(1, (side // _CELL + 1) // 2) for side in (high, wide))
    weighed = _sums(_sums(grid, rows, columns), rows, columns)  # twice half the part: the more, the nearer the middle
    top, left = np.unravel_index(int(weighed.argmax()), weighed.shape)
    return min(int(left) * _CELL, width - wide), min(int(top) * _CELL, height - high), wide, high


def _sums(grid: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Over every window of so many cells, or as many as there are."""
    rows, columns = min(rows, grid.shape[0]), min(columns, grid.shape[1])
    total = np.zeros((grid.shape[0] + 1, grid.shape[1] + 1))
    total[1:, 1:] = grid.cumsum(0).cumsum(1)
    return total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]


def _encoded(
    sources: Sequence[Source],
    wholes: Sequence[Image.Image],
    parts: Iterable[Image.Image | None],
    quality: int,
    budget: int,
) -> tuple[Shot, ...] | None:
    """The pictures as WebP; None as soon as they are more than ``budget``."""
    made = []
    for source, whole, part in zip(sources, wholes, parts, strict=True):
        shot = Shot(
            source.role, _webp(whole, source.icc, quality), b"" if part is None else _webp(part, source.icc, quality)
        )
        budget -= sum(-(-len(data) // 3) * 4 for data in (shot.whole, shot.part))
        if budget < 0:
            return None
        made.append(shot)
    return tuple(made)


def _webp(image: Image.Image, icc: bytes | None, quality: int) -> bytes:
    buffer = io.BytesIO()
    in_srgb(image, icc).save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()
