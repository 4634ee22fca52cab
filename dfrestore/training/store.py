"""Decoding once: photos as 8-bit pictures in memory up to a budget, beyond it in a mapped file of the user's cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.errors import FileFailure, StartError
from dfrestore.photo import Photo, read
from dfrestore.photo.mask import fitted, read_mask
from dfrestore.training import cache
from dfrestore.training.photos import Finding, Photos, Source

Picture = NDArray[np.uint8]
CHUNK = 32  # files decoded ahead, at most


@dataclass(frozen=True)
class Decoded:
    """The pictures of one source (H, W, 3), none where it is left out, and what was found."""

    source: Source
    pictures: tuple[Picture, ...]
    finding: Finding | None = None


def load(
    sources: Sequence[Source],
    smallest: int,
    memory: int,
    limit: int,
    progress: Callable[[int, int], None],
    scale: int = 1,
) -> Photos:
    """The sources' pictures, decoded now or in an earlier run, in their order.

    memory: bytes held in memory; more goes to a file in the cache folder, which holds at most ``limit`` bytes.
    Clean pictures with a side below ``smallest`` are left out. scale: how many times larger than the degraded ones they
    are. Raises :class:`StartError` where the cache cannot hold them.
    """
    folder, stamps = cache.cache_folder(), cache.stamps(sources)
    name = cache.name_of(stamps, len(sources), smallest, scale)
    cache.clear(folder, name, limit)
    known = cache.read_cache(folder, name)
    if known is not None:
        return known
    names, shapes, findings = [], [], []
    held: list[tuple[Picture, ...]] = []
    total = 0
    with ExitStack() as open_files:
        file: BinaryIO | None = None
        for done, decoded in enumerate(decode_all(sources, smallest, scale), 1):
            progress(done, len(sources))
            findings += [decoded.finding] if decoded.finding else []
            if not decoded.pictures:
                continue
            names.append(decoded.source.name)
            shapes.append(tuple((p.shape[0], p.shape[1]) for p in decoded.pictures))
            total += sum(p.nbytes for p in decoded.pictures)
            held.append(decoded.pictures)
            if total > limit and total > memory:
                raise StartError(_too_large(total, limit))
            if file is None and total > memory:
                file = open_files.enter_context(cache.new_file(folder, name))
            if file is not None:
                for picture in (p for pictures in held for p in pictures):
                    file.write(picture.data)
                held.clear()
    index = cache.Index(tuple(names), tuple(shapes), tuple(findings))
    if file is None:
        return cache.photos_of(index, [[_tensor(p) for p in pictures] for pictures in held])
    photos = cache.write_index(folder, name, index, stamps)
    cache.clear(folder, name, limit)
    return photos


def decode_all(sources: Sequence[Source], smallest: int, scale: int = 1) -> Iterator[Decoded]:
    """Each source decoded, in order; a few at a time, on all cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode") as pool:
        for start in range(0, len(sources), CHUNK):
            yield from pool.map(lambda source: decode(source, smallest, scale), sources[start : start + CHUNK])


def decode(source: Source, smallest: int, scale: int = 1) -> Decoded:
    """One source, looked at: readable, large enough, of fitting sizes, not twice the same."""
    try:
        photos = [read(file) for file in source.files[:2]]
        pictures = tuple(_to_8bit(photo.rgb) for photo in photos)
        sizes = [f"{p.shape[1]}x{p.shape[0]}" for p in pictures]
        if len(pictures) > 1:
            clean, degraded = pictures
            pictures = _cut_to_scale(clean, degraded, scale)
            if not pictures:
                times = f" (needed: the target's divided by {scale})" if scale > 1 else ""
                return Decoded(
                    source, (), Finding("sizes", f"{source.name}: input {sizes[1]}, target {sizes[0]}{times}")
                )
        if source.files[2:]:
            pictures = (*pictures, _mask(source.files[2:], photos[1]))
    except FileFailure as error:
        return Decoded(source, (), Finding("unreadable", str(error)))
    if min(pictures[0].shape[:2]) < smallest:
        text = f"{source.files[0]}: {sizes[0]} is smaller than {smallest} pixels"
        return Decoded(source, (), Finding("small", text))
    if len(pictures) == 2 and np.array_equal(*pictures):
        return Decoded(source, pictures, Finding("identical", source.name))
    return Decoded(source, pictures)


def _cut_to_scale(clean: Picture, degraded: Picture, scale: int) -> tuple[Picture, ...]:
    """Both, the clean one cut right and bottom to ``scale`` times the degraded one; none where that does not fit."""
    height, width = (scale * side for side in degraded.shape[:2])
    if (clean.shape[0] // scale, clean.shape[1] // scale) != degraded.shape[:2]:
        return ()
    return np.ascontiguousarray(clean[:height, :width]), degraded


def _mask(files: Sequence[Path], photo: Photo) -> Picture:
    """The union of the files' masks, as a picture (H, W, 3) of 0 and 255."""
    holes = [fitted(read_mask(file).strength, photo, str(file))[0] for file in files]
    hole = np.where(np.maximum.reduce(holes) > 0, np.uint8(255), np.uint8(0))
    return np.ascontiguousarray(np.repeat(hole[:, :, None], 3, axis=2))


def _to_8bit(rgb: NDArray[Any]) -> Picture:
    return np.ascontiguousarray(np.round(rgb * 255).astype(np.uint8))


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)


def _too_large(total: int, limit: int) -> str:
    return (
        f"the decoded photos take more than the cache may hold ({total / 2**30:.3g} of {limit / 2**30:.3g} GiB); "
        "allow more with --set data.cache=200G, or train on fewer"
    )
