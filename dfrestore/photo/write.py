"""Writing: a result beside all that belonged to its photo, complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dfrestore.errors import PhotoWriteError
from dfrestore.files import atomic_file, remedy
from dfrestore.photo.encode import encode
from dfrestore.photo.formats import FOREIGN, FORMATS, format_of_path
from dfrestore.photo.photo import Photo


def write(
    path: str | Path,
    photo: Photo,
    rgb: NDArray[Any],
    *,
    format: str | None = None,
    quality: int | None = None,
    strip_metadata: bool = False,
    overwrite: bool = False,
    before_naming: Callable[[int], object] | None = None,
) -> list[str]:
    """Write ``rgb`` (H, W, 3, in [0, 1]) with the alpha and metadata of ``photo``; returns warnings, one line each.

    format: default by the extension of ``path``, else the photo's own. quality: see :func:`encode`. strip_metadata:
    without EXIF, XMP, IPTC and comments. before_naming: called with the size in bytes of what is about to appear.
    Raises PhotoWriteError; then nothing new stands under ``path``.
    """
    path = Path(path)
    if format is None:
        format = format_of_path(path)
        if format is None and path.suffix.lower() in FOREIGN:
            known = ", ".join(suffixes[0] for suffixes in FORMATS.values())
            raise PhotoWriteError(f"{path}: {path.suffix} is not written; use one of {known}")
    if not overwrite and os.path.lexists(path):  # before the work of encoding
        raise _exists(path)
    try:
        data, warnings = encode(photo, rgb, format, quality=quality, strip_metadata=strip_metadata)
    except PhotoWriteError as error:
        raise PhotoWriteError(f"{path}: {error}") from error.__cause__
    atomic_write(path, data, overwrite=overwrite, before_naming=before_naming)
    return warnings


def atomic_write(
    path: str | Path, data: bytes, *, overwrite: bool = False, before_naming: Callable[[int], object] | None = None
) -> None:
    """Write ``data`` under ``path`` completely or not at all, see :func:`dfrestore.files.atomic_file`.

    Raises PhotoWriteError.
    """
    path = Path(path)
    try:
        with atomic_file(path, overwrite=overwrite) as file:
            file.write(data)
            if before_naming is not None:
                before_naming(len(data))
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise PhotoWriteError(f"{path}: cannot be written ({error.strerror or error}); {remedy(error)}") from error


def make_folder(folder: Path) -> None:
    """The folder of outputs, and those above it. Raises PhotoWriteError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoWriteError(f"{folder}: cannot be made ({error.strerror or error}); choose another -o") from error


def _exists(path: Path) -> PhotoWriteError:
    what = "is a folder" if path.is_dir() else "exists already"
    return PhotoWriteError(f"{path}: {what}; choose another name" + ("" if path.is_dir() else " or --overwrite"))
