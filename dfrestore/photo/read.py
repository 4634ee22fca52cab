"""Reading: from a path or from bytes to a :class:`Photo`; every failure is one PhotoReadError."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import UnidentifiedImageError

from dfrestore.errors import PhotoReadError
from dfrestore.optional_packages import pip_install
from dfrestore.photo import exif as exif_block
from dfrestore.photo import pixels, raw, tiff
from dfrestore.photo.containers import CONTAINERS
from dfrestore.photo.formats import foreign_format, format_of_content, missing_extra, read_only_format
from dfrestore.photo.photo import Header, Metadata, Origin, Photo, Pixels, Rgb, Unsupported

MAX_PIXELS = 250_000_000
_SMALL_FILE = 1 << 30
_BYTES_A_PIXEL = 16
"""Twice what four channels of 16 bits take: a file beyond it holds more than its first picture."""
_HEAD = 64  # bytes, which tell the format
_UPRIGHT = ("HEIF", "RAW")  # their decoders turn the pixels


def read(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """The picture in a file, by its content. Raises PhotoReadError: one line that names the file."""
    with _opened(Path(path)) as file:
        data = _content(file, str(path), max_pixels)
    return decode(data, str(path), max_pixels=max_pixels)


def check_beginning(path: str | Path) -> None:
    """Raises PhotoReadError where a file cannot be opened, or its first bytes are those of no picture."""
    with _opened(Path(path)) as file:
        _format(file.read(_HEAD), str(path))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file; what goes wrong while it is open raises PhotoReadError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise PhotoReadError(f"{path}: {kind}; name a picture")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise PhotoReadError(f"{path}: does not exist; check the name") from None
    except PermissionError:
        raise PhotoReadError(f"{path}: no permission to read it; change its permissions") from None
    except (OSError, ValueError) as error:
        raise PhotoReadError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    except MemoryError:
        raise PhotoReadError(f"{path}: does not fit into memory") from None


def read_stream(file: BinaryIO, name: str, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """The picture in an open file, read to its end; ``name`` is for messages. Raises PhotoReadError."""
    try:
        data = _content(file, name, max_pixels)
    except (OSError, ValueError) as error:
        raise PhotoReadError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    except MemoryError:
        raise PhotoReadError(f"{name}: does not fit into memory") from None
    return decode(data, name, max_pixels=max_pixels)


def _content(file: BinaryIO, name: str, max_pixels: int) -> bytes:
    """All bytes of a file or stream. PhotoReadError where there are more than a picture of that many pixels takes."""
    head = file.read(_HEAD)
    _format(head, name)  # a huge file that is no picture is not read to its end
    limit = max(_SMALL_FILE, _BYTES_A_PIXEL * max_pixels)
    size = _regular_size(file)
    if size is None:  # a stream, which tells its size only by ending
        rest = file.read(limit + 1 - len(head))
        size = len(head) + len(rest)
    else:  # and not to the end of a file that keeps growing
        rest = file.read(max(0, size - len(head))) if size <= limit else b""
    if size > limit:
        raise PhotoReadError(
            f"{name}: {size / 1e9:.1f} GB, more than a picture of {max_pixels / 1e6:g} megapixels takes; "
            "raise the limit with --max-pixels"
        )
    return head + rest


def _regular_size(file: BinaryIO) -> int | None:
    """Bytes in a regular file; None for pipes and the like, and for streams that are no file of the system."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def decode(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """The picture in ``data``; ``name`` is for messages. Raises PhotoReadError only."""
    format = _format(data, name)
    if format == "TIFF" and (read_only_format(name) == "RAW" or raw.is_raw(data)):
        format = "RAW"
    if (extra := missing_extra(format)) is not None:
        what = "a camera's RAW file" if format == "RAW" else "HEIC"
        raise PhotoReadError(f"{name}: {what}, which needs a package to be read; {pip_install(extra)}")
    read_header, read_metadata = CONTAINERS[format]
    try:
        header = read_header(data)
    except Unsupported as error:
        raise PhotoReadError(f"{name}: {error}") from None
    except Exception as error:
        raise _damaged(name, format, error) from error
    if header.width * header.height > max_pixels:
        raise PhotoReadError(
            f"{name}: {header.width} x {header.height} is more than the limit of {max_pixels / 1e6:g} megapixels; "
            "raise it with --max-pixels"
        )
    try:
        meta = read_metadata(data)
    except Exception:
        meta = Metadata(notes=("unreadable metadata dropped",))
    try:
        samples = pixels.decode(data, format, header, meta.icc)
        meta, turn = _upright_metadata(meta)
        if format == "TIFF":
            turn = tiff.turned(data)[1]
        if format in _UPRIGHT:
            turn = 1
        return _photo(format, header, meta, samples, turn)
    except MemoryError:
        raise PhotoReadError(f"{name}: does not fit into memory ({header.width} x {header.height})") from None
    except Exception as error:  # decoders raise anything: struct.error, SyntaxError, IndexError, their own
        raise _damaged(name, format, error) from error


def _format(head: bytes, name: str) -> str:
    if not head:
        raise PhotoReadError(f"{name}: the file is empty; copy it again from its source")
    format = format_of_content(head)
    if format is None:
        foreign = foreign_format(head)
        what = f"{foreign} is not read" if foreign else "not a picture of a known format"
        raise PhotoReadError(f"{name}: {what}; convert it to PNG, JPEG, WebP or TIFF")
    return format


def _damaged(name: str, format: str, error: Exception) -> PhotoReadError:
    first = error.args[0] if error.args else ""
    if isinstance(error, UnidentifiedImageError):  # whose words name an object in memory
        first = b"its header cannot be read"
    cause = (first.decode(errors="replace") if isinstance(first, bytes) else str(error)).strip() or type(error).__name__
    return PhotoReadError(f"{name}: damaged or cut-off {format} ({cause[:200]}); copy it again from its source")


def _upright_metadata(meta: Metadata) -> tuple[Metadata, int]:
    """Metadata for the upright picture, and the file's orientation. Unreadable EXIF is dropped, with a note."""
    turn = 1
    if meta.exif is not None:
        try:
            turn = exif_block.orientation(meta.exif)
            meta = replace(meta, exif=exif_block.upright(meta.exif))
        except Exception:
            meta = replace(meta, exif=None, notes=(*meta.notes, "unreadable EXIF dropped"))
    if meta.xmp is not None and meta.exif is not None:
        meta = replace(meta, xmp=exif_block.xmp_upright(meta.xmp))
    if meta.iptc is not None:
        kept = exif_block.clean_resources(meta.iptc)
        lost = kept is None and not meta.iptc.startswith(b"8BIM")
        meta = replace(meta, iptc=kept, notes=(*meta.notes, "unreadable IPTC dropped") if lost else meta.notes)
    return meta, turn


def _photo(format: str, header: Header, meta: Metadata, samples: pixels.Samples, turn: int) -> Photo:
    notes = [*header.notes, *meta.notes, *samples.notes]
    if header.frames > 1:
        what = "page" if format == "TIFF" else "frame"
        notes.insert(0, f"{what} 1 of {header.frames} taken")
    if header.mode == "P":
        opaque, clear = ("grey", "grey with alpha") if samples.colour.ndim == 2 else ("RGB", "RGBA")
        notes.append(f"palette picture: the result is {opaque if samples.alpha is None else clear}")
    if header.mode == "1":
        notes.append("black and white picture: the result is grey")
    dpi, subsampling = meta.dpi, header.subsampling
    if turn >= 5:
        dpi = (dpi[1], dpi[0]) if dpi else None
        # 4:2:2 turned by a quarter is 4:4:0, which cannot be written: full chroma instead
        subsampling = "4:4:4" if subsampling in ("4:2:2", "4:4:0", "4:1:1") else subsampling
    origin = Origin(
        format=format, mode=header.mode, bits=header.bits, grey=samples.colour.ndim == 2,
        icc=samples.icc or meta.icc, exif=meta.exif, orientation=turn, xmp=meta.xmp, iptc=meta.iptc, dpi=dpi,
        quality=header.quality, subsampling=subsampling, progressive=header.progressive, lossless=header.lossless,
        compression=header.compression, extrasample=header.extrasample, native=meta.native,
    )  # fmt: skip
    alpha = None if samples.alpha is None else np.ascontiguousarray(oriented(samples.alpha, turn))
    rgb = to_float(oriented(samples.colour, turn))
    if samples.premultiplied and alpha is not None:
        opacity = alpha.astype(np.float32)[..., None] / np.iinfo(alpha.dtype).max
        rgb = np.where(opacity > 0, np.minimum(rgb / np.maximum(opacity, 1e-6), 1), rgb).astype(np.float32)
    return Photo(rgb, alpha, origin, tuple(dict.fromkeys(notes)))


def oriented(array: Pixels, orientation: int) -> Pixels:
    """The array turned and mirrored as an EXIF orientation (1 to 8) asks for, so that it stands upright."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return array[::rows, ::columns]


def to_float(colour: Pixels) -> Rgb:
    """uint8 or uint16 (H, W) or (H, W, 3) -> float32 (H, W, 3) in [0, 1]."""
    rgb = np.empty((*colour.shape[:2], 3), np.float32)
    rgb[...] = colour[..., None] if colour.ndim == 2 else colour
    rgb /= np.float32(np.iinfo(colour.dtype).max)
    return rgb
