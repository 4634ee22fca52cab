"""Decoded photos in the user's cache folder: one flat file of bytes and one index for each data set.

NAME.u8 holds pictures (H, W, 3) one after the other, NAME.json their names and sizes, the files they came from with
sizes and times, and the findings. The name is a hash of those files, so what changed is decoded anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from dfrestore import files, strict_json
from dfrestore.errors import StartError
from dfrestore.files import atomic_file, remedy, remove_stale_temporaries
from dfrestore.training.photos import Finding, Photos, Source

_FORMAT = 1
Stamp = list[Any]  # path, bytes, time of change in nanoseconds
Shape = tuple[int, int]


@dataclass(frozen=True)
class Index:
    """What a flat file holds: names, (height, width) of each picture of each name, in order; and what was found."""

    names: tuple[str, ...]
    shapes: tuple[tuple[Shape, ...], ...]
    findings: tuple[Finding, ...]

    @property
    def bytes(self) -> int:
        return sum(3 * height * width for shapes in self.shapes for height, width in shapes)


def cache_folder() -> Path:
    """``DFRESTORE_CACHE_DIR``, else the platform's, with ``training`` below it."""
    return files.cache_folder() / "training"


def stamps(sources: Sequence[Source]) -> list[Stamp]:
    """What tells whether files changed; a file that is gone has size and time 0."""
    return [_stamp(str(file.absolute())) for source in sources for file in source.files]


def name_of(stamps: Sequence[Stamp], sources: int, smallest: int, scale: int = 1) -> str:
    """The data set's name in the cache."""
    key = [_FORMAT, sources, smallest, stamps] + ([scale] if scale > 1 else [])
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def read_cache(folder: Path, name: str) -> Photos | None:
    """The data set of this name, mapped; None where there is none or it is not whole."""
    try:
        index = _index(folder / f"{name}.json")
        if (folder / f"{name}.u8").stat().st_size != index.bytes or not index.bytes:
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / f"{name}.json")  # the least recently used go first
        return photos_of(index, _mapped(folder / f"{name}.u8", index))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def new_file(folder: Path, name: str) -> Iterator[BinaryIO]:
    """The flat file to write into, complete under its name or not there. Raises :class:`StartError`."""
    with _as_start_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(folder)
        with atomic_file(folder / f"{name}.u8", overwrite=True) as file:
            yield file


def write_index(folder: Path, name: str, index: Index, sources: Sequence[Stamp]) -> Photos:
    """Name the finished flat file's contents; the photos, mapped. Raises :class:`StartError`."""
    record = {
        "sources": sources,
        "names": index.names,
        "shapes": index.shapes,
        "findings": [[finding.kind, finding.text] for finding in index.findings],
    }
    with _as_start_error(folder), atomic_file(folder / f"{name}.json", overwrite=True) as file:
        file.write(strict_json.dumps(record).encode())
    return photos_of(index, _mapped(folder / f"{name}.u8", index))


def clear(folder: Path, keep: str, limit: int) -> None:
    """Remove data sets whose files changed or are gone, then the least recently used until ``limit`` bytes are kept."""
    indices = [path for path in folder.glob("*.json") if path.stem != keep]
    for path in folder.glob("*.u8"):
        if path.stem != keep and not path.with_suffix(".json").exists() and _old(path):
            _remove(path)
    fresh = []
    for path in sorted(indices, key=_used, reverse=True):
        if _stale(path):
            _remove(path)
        else:
            fresh.append(path)
    total = _size(folder / f"{keep}.u8")
    for path in fresh:
        total += _size(path.with_suffix(".u8"))
        if total > limit:
            _remove(path)


def photos_of(index: Index, pictures: Sequence[Sequence[Tensor]]) -> Photos:
    """Photos from pictures (clean; degraded where there are pairs; a mask where they have one) as tensors (3, H, W)."""
    inputs, masks = (tuple(p[place] for p in pictures if len(p) > place) for place in (1, 2))
    return Photos(index.names, tuple(p[0] for p in pictures), index.findings, inputs, masks=masks)


@contextlib.contextmanager
def _as_start_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(
            f"{folder}: cannot hold the decoded photos ({error.strerror or error}); {remedy(error)} "
            "(DFRESTORE_CACHE_DIR names another), or hold them in memory with --set data.memory=SIZE"
        ) from error


def _mapped(path: Path, index: Index) -> list[list[Tensor]]:
    # copy on write: torch asks for writable memory, and the file is nobody's to change
    flat = torch.from_numpy(np.memmap(path, dtype=np.uint8, mode="c"))
    place = 0
    pictures = []
    for shapes in index.shapes:
        row = []
        for height, width in shapes:
            end = place + 3 * height * width
            row.append(flat[place:end].view(height, width, 3).permute(2, 0, 1))
            place = end
        pictures.append(row)
    return pictures


def _index(path: Path) -> Index:
    record = json.loads(path.read_text("utf-8"))
    shapes = tuple(tuple((int(height), int(width)) for height, width in row) for row in record["shapes"])
    return Index(tuple(record["names"]), shapes, tuple(Finding(kind, text) for kind, text in record["findings"]))


def _stamp(path: str) -> Stamp:
    try:
        found = Path(path).stat()
    except OSError:
        return [path, 0, 0]
    return [path, found.st_size, found.st_mtime_ns]


def _stale(index: Path) -> bool:
    try:
        sources = json.loads(index.read_text("utf-8"))["sources"]
        return any(_stamp(stamp[0]) != stamp for stamp in sources) or not index.with_suffix(".u8").exists()
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return True


def _old(path: Path) -> bool:
    """Whether no other run can be about to write its index."""
    return time.time() - _used(path) > 3600


def _remove(path: Path) -> None:
    for suffix in (".json", ".u8"):
        with contextlib.suppress(OSError):  # Windows keeps what another run has mapped
            path.with_suffix(suffix).unlink()


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
