"""From a result and the photo it came from to a file's bytes, with everything that the format can keep."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfrestore.errors import PhotoWriteError
from dfrestore.photo import avif, jpeg, png, tiff, webp
from dfrestore.photo import exif as exif_block
from dfrestore.photo.containers import trouble
from dfrestore.photo.formats import FORMATS, WRITTEN_AS, normal_format
from dfrestore.photo.photo import Damaged, Origin, Photo, Pixels
from dfrestore.photo.pillow import pillow_buffer

MIN_QUALITY = 95
LOSSLESS_TO_JPEG = 97
"""Of a JPEG from a source that is not one: 95 fell below 42 dB on sharp photos."""
MAX_SIDE: Mapping[str, int] = MappingProxyType(
    {"JPEG": 65500, "WEBP": 16383, "PNG": 1_000_000, "TIFF": 2**32 - 1, "AVIF": 32768}
)
"""Format -> the most pixels a side that can be written and read again.

Files of PNG and AVIF could say more, but libpng and libavif stop there, and most programs leave their limits as they
are.
"""
MAX_AREA: Mapping[str, int] = MappingProxyType({"AVIF": 16384**2})
"""Format -> the most pixels in all, where there is such a limit; libavif's."""
_ENCODING: Mapping[str, int] = MappingProxyType({"PNG": 12, "JPEG": 12, "TIFF": 12, "WEBP": 46, "AVIF": 46})
"""Format -> bytes a pixel of 8 bit that encoding takes at the peak (measured up to 12 megapixels)."""
_QUANTISING = 80 << 20  # of a few rows, in double precision
_LUMA = (0.299, 0.587, 0.114)
_BLOCK = 1 << 20
_PILLOW_TIFF = {"none": "raw", "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "packbits": "packbits"}
_TIFFFILE = {"none": None, "lzw": "lzw", "deflate": "zlib", "packbits": "packbits"}


def encode(
    photo: Photo,
    rgb: NDArray[Any],
    format: str | None = None,
    *,
    quality: int | None = None,
    strip_metadata: bool = False,
) -> tuple[bytes, list[str]]:
    """``rgb`` (H, W, 3, in [0, 1], clipped) as a file like the one ``photo`` came from, and warnings.

    format: ``PNG``, ``JPEG``, ``WEBP``, ``TIFF``, ``AVIF`` (default: the photo's own, or what ``WRITTEN_AS`` makes of
    it). quality: 1 to 100, for JPEG, WebP and AVIF (default: the source's, at least 95; lossless sources stay lossless,
    as JPEG 97, as AVIF 95). Raises PhotoWriteError.
    """
    format = photo.origin.format if format is None else format
    target = WRITTEN_AS.get(format) or normal_format(format)
    if target is None:
        raise PhotoWriteError(f"format {format!r} is not written; use {', '.join(FORMATS)}")
    if quality is not None and not 1 <= quality <= 100:
        raise PhotoWriteError(f"quality {quality} is not between 1 and 100")
    _check(photo, rgb, target)
    height, width = rgb.shape[:2]
    origin, notes = _metadata(photo.origin, target, width, height, strip_metadata)
    samples, alpha, more = _samples(photo, rgb, target)
    notes += more
    try:
        data, more = _opening(target, samples, alpha, origin, quality)
    except (MemoryError, OverflowError) as error:
        raise PhotoWriteError(f"the result does not fit into memory as {target}") from error
    except Exception as error:  # encoders raise anything; the user gets one line
        raise PhotoWriteError(
            f"the result cannot be written as {target} ({str(error) or type(error).__name__})"
        ) from error
    return data, notes + more


def _opening(
    target: str, colour: Pixels, alpha: Pixels | None, origin: Origin, quality: int | None
) -> tuple[bytes, list[str]]:
    """A file that was seen to open again, without the metadata that would keep it from it, and warnings."""
    try:
        return _seen_to_open(target, colour, alpha, origin, quality)
    except (MemoryError, OverflowError):
        raise
    except Exception:
        lesser = _without_what_breaks(target, colour, alpha, origin)
        if lesser is None:
            raise
    data, notes = _seen_to_open(target, colour, alpha, lesser[0], quality)
    return data, [*notes, lesser[1]]


def _seen_to_open(
    target: str, colour: Pixels, alpha: Pixels | None, origin: Origin, quality: int | None
) -> tuple[bytes, list[str]]:
    """What the encoder gives. Raises Damaged where it does not open again, or whatever the encoder raises."""
    data, notes = _ENCODERS[target](colour, alpha, origin, quality)
    if (why := trouble(data, target, colour.shape[1], colour.shape[0])) is not None:
        raise Damaged(why)
    return data, notes


def _without_what_breaks(
    target: str, colour: Pixels, alpha: Pixels | None, origin: Origin
) -> tuple[Origin, str] | None:
    """``origin`` without the pieces that keep a file from opening, and a warning; None where no metadata is to blame.

    A corner of the pixels is enough to find out.
    """

    def opens(origin: Origin) -> bool:
        try:
            _seen_to_open(target, colour[:8, :8], None if alpha is None else alpha[:8, :8], origin, None)
        except Exception:
            return False
        return True

    kept, lost = replace(origin, exif=None, xmp=None, iptc=None, icc=None, native=()), []
    for name, piece in _pieces(origin):
        more = replace(kept, **{**piece, "native": (*kept.native, *piece.get("native", ()))})
        if opens(more):
            kept = more
        else:
            lost.append(name)
    return (kept, f"{', '.join(lost)} dropped: with it the {target} would not open") if lost else None


def _pieces(origin: Origin) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, fields of an origin) of each piece of metadata."""
    for name, field in (("colour profile", "icc"), ("EXIF", "exif"), ("XMP", "xmp"), ("IPTC", "iptc")):
        if (content := getattr(origin, field)) is not None:
            yield name, {field: content}
    for kind in dict.fromkeys(name for name, _ in origin.native):
        yield kind, {"native": tuple(piece for piece in origin.native if piece[0] == kind)}


def encoding_bytes(format: str, bits: int, height: int, width: int) -> int:
    """About what :func:`encode` takes at the peak, besides the result: bytes for a picture of this size.

    format: of :data:`FORMATS`, or one that is read only. bits: 8 or 16, of the source.
    """
    target = WRITTEN_AS.get(format, format)
    deep = 2 if bits == 16 and target in ("PNG", "TIFF") else 1
    return _QUANTISING + deep * _ENCODING[target] * height * width


def exceeded(format: str, height: int, width: int) -> str | None:
    """The limit of a written format that a picture of this size is beyond, in words; None where it is within all."""
    if max(height, width) > MAX_SIDE[format]:
        return f"{MAX_SIDE[format]} pixels a side"
    area = MAX_AREA.get(format)
    return f"{area / 1e6:.0f} megapixels" if area is not None and height * width > area else None


def quantise(rgb: NDArray[Any], bits: int, grey: bool) -> Pixels:
    """Float (H, W, 3) to uint8 or uint16, clipped to [0, 1] and rounded; grey: (H, W), the luma of BT.601.

    Three equal channels come back exactly. Raises ValueError for values that are not finite.
    """
    height, width = rgb.shape[:2]
    kind: type[np.unsignedinteger[Any]] = np.uint16 if bits == 16 else np.uint8
    out: Pixels = np.empty((height, width) if grey else (height, width, 3), kind)
    rows = max(1, _BLOCK // width)
    for top in range(0, height, rows):  # by blocks of rows: no second float copy of a large picture
        part = rgb[top : top + rows].astype(np.float64)
        if not np.isfinite(part).all():
            raise ValueError("not finite")
        if grey:
            part = part[..., 0] * _LUMA[0] + part[..., 1] * _LUMA[1] + part[..., 2] * _LUMA[2]
        out[top : top + rows] = np.rint(np.clip(part, 0, 1) * np.iinfo(kind).max)
    return out


def _check(photo: Photo, rgb: NDArray[Any], target: str) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise PhotoWriteError(f"the result has shape {rgb.shape}, not (height, width, 3)")
    if photo.alpha is not None and photo.alpha.shape != rgb.shape[:2]:
        raise PhotoWriteError(f"the result is {rgb.shape[:2]}, its alpha {photo.alpha.shape}")
    height, width = rgb.shape[:2]
    if (limit := exceeded(target, height, width)) is not None:
        others = " or ".join(other for other in ("PNG", "TIFF") if exceeded(other, height, width) is None)
        raise PhotoWriteError(f"{width} x {height} is more than {target} can hold ({limit}); use {others}")


def _metadata(origin: Origin, target: str, width: int, height: int, strip: bool) -> tuple[Origin, list[str]]:
    """The origin as ``target`` can hold it, sizes updated, and a warning for each loss."""
    notes = []
    if strip:
        colour_only = tuple(c for c in origin.native if c[0] not in ("tEXt", "zTXt", "iTXt", "APP1", "COM"))
        origin = replace(origin, exif=None, xmp=None, iptc=None, native=colour_only)
    if origin.exif is not None:
        origin = replace(origin, exif=exif_block.resized(origin.exif, width, height))
    if origin.xmp is not None:
        origin = replace(origin, xmp=exif_block.xmp_resized(origin.xmp, width, height))
    if target in ("WEBP", "AVIF"):
        name = "WebP" if target == "WEBP" else target
        if origin.iptc is not None:
            notes.append(f"IPTC dropped: {name} cannot hold it")
        if origin.dpi is not None and (origin.exif is None or exif_block.dpi_of(origin.exif) is None):
            notes.append(f"DPI dropped: {name} cannot hold it")
        if target == "WEBP" and origin.grey and origin.icc is not None and origin.icc[16:20] == b"GRAY":
            origin = replace(origin, icc=None)
            notes.append("grey colour profile dropped: WebP holds colour only")
    if target != origin.format and any(name in ("tEXt", "zTXt", "iTXt", "APP1", "COM") for name, _ in origin.native):
        notes.append(f"text comments dropped: they belong to {origin.format}")
    return origin, notes


def _samples(photo: Photo, rgb: NDArray[Any], target: str) -> tuple[Pixels, Pixels | None, list[str]]:
    """Colour and alpha in the depth that ``target`` is written in, and warnings for what it cannot hold."""
    notes, bits, alpha = [], photo.origin.bits, photo.alpha
    if bits == 16 and target in ("JPEG", "WEBP", "AVIF"):
        bits = 8
        why = "is written with 8 here, unlike TIFF and PNG" if target == "AVIF" else "holds no more"
        notes.append(f"16 bit reduced to 8 bit: {target} {why}")
    if alpha is not None and target == "JPEG":
        alpha = None
        notes.append("alpha dropped: JPEG cannot hold it")
    if alpha is not None:
        alpha = _alpha_in(alpha, bits)
    try:
        colour = quantise(rgb, bits, photo.origin.grey and target != "WEBP")
    except ValueError:
        raise PhotoWriteError("the result has values that are not finite; it is not written") from None
    return colour, alpha, notes


def _alpha_in(alpha: Pixels, bits: int) -> Pixels:
    if bits == 8 and alpha.dtype == np.uint16:
        return ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if bits == 16 and alpha.dtype == np.uint8:
        return alpha.astype(np.uint16) * np.uint16(257)
    return alpha


def _joined(colour: Pixels, alpha: Pixels | None) -> Pixels:
    if alpha is None:
        return colour
    return np.dstack([colour, alpha])


def _image(colour: Pixels, alpha: Pixels | None) -> Image.Image:
    array = _joined(colour, alpha)
    channels = 1 if array.ndim == 2 else array.shape[2]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    return Image.frombuffer(mode, array.shape[1::-1], np.ascontiguousarray(array).tobytes(), "raw", mode, 0, 1)


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _png(colour: Pixels, alpha: Pixels | None, origin: Origin, quality: int | None) -> tuple[bytes, list[str]]:
    if colour.dtype == np.uint16:
        import imagecodecs

        encoded = bytes(imagecodecs.png_encode(np.ascontiguousarray(_joined(colour, alpha)), level=6))
    else:
        encoded = _saved(_image(colour, alpha), "PNG", compress_level=6)
    return png.splice(encoded, origin), []


def _jpeg(colour: Pixels, alpha: Pixels | None, origin: Origin, quality: int | None) -> tuple[bytes, list[str]]:
    source = origin.format == "JPEG"
    usual = max(MIN_QUALITY, origin.quality or 0) if source else LOSSLESS_TO_JPEG
    options: dict[str, Any] = {"quality": quality or usual}
    if colour.ndim == 3:
        options["subsampling"] = origin.subsampling if source and origin.subsampling in ("4:2:2", "4:2:0") else "4:4:4"
    image = _image(colour, None)
    if source and origin.progressive:
        # a progressive file is made in one piece, and noise outgrows the buffer that Pillow gives it
        with pillow_buffer((1 << 16) + 4 * image.width * image.height):
            encoded = _saved(image, "JPEG", progressive=True, **options)
    else:
        encoded = _saved(image, "JPEG", **options)
    return jpeg.splice(encoded, origin)


def _webp(colour: Pixels, alpha: Pixels | None, origin: Origin, quality: int | None) -> tuple[bytes, list[str]]:
    image = _image(colour, alpha)
    if quality is None and origin.lossless:
        encoded = _saved(image, "WEBP", lossless=True, quality=75, method=4, exact=True)
    else:
        chosen = quality or max(MIN_QUALITY, origin.quality or 0)
        encoded = _saved(image, "WEBP", quality=chosen, alpha_quality=100, method=4, exact=True)
    return webp.splice(encoded, origin, image.width, image.height), []


def _tiff(colour: Pixels, alpha: Pixels | None, origin: Origin, quality: int | None) -> tuple[bytes, list[str]]:
    compression = origin.compression or "deflate"
    predict = compression in ("lzw", "deflate")
    if colour.dtype == np.uint16:
        import tifffile

        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            np.ascontiguousarray(_joined(colour, alpha)),
            byteorder="<",
            photometric="minisblack" if colour.ndim == 2 else "rgb",
            planarconfig="contig" if colour.ndim == 3 or alpha is not None else None,
            extrasamples=["unassalpha"] if alpha is not None else None,
            compression=_TIFFFILE[compression],
            predictor=predict,
            metadata=None,
            software=False,
            maxworkers=1,
        )
        encoded = buffer.getvalue()
    else:
        info = {317: 2} if predict else {}
        encoded = _saved(_image(colour, alpha), "TIFF", compression=_PILLOW_TIFF[compression], tiffinfo=info)
    return tiff.splice(encoded, origin)


def _avif(colour: Pixels, alpha: Pixels | None, origin: Origin, quality: int | None) -> tuple[bytes, list[str]]:
    chroma = "4:4:4" if colour.ndim == 3 else "4:0:0"

    def save(**options: Any) -> bytes:
        return _saved(_image(colour, alpha), "AVIF", quality=quality or MIN_QUALITY, subsampling=chroma, **options)

    return avif.saved(save, origin), []


_ENCODERS = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "TIFF": _tiff, "AVIF": _avif}
