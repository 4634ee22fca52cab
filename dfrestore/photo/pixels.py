"""From a file's bytes to samples: uint8 by Pillow, uint16 (and unusual TIFF layouts) by imagecodecs and tifffile.

The depth is the file's own, read from its header, never guessed from values: Pillow reads 16-bit colour as 8 bit.
"""

from __future__ import annotations

import io
import struct
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageCms

from dfrestore.photo import avif, heif, jpeg, png, raw, tiff
from dfrestore.photo.photo import Damaged, Header, Pixels
from dfrestore.photo.pillow import quiet_libtiff, quiet_pillow


@dataclass(frozen=True)
class Samples:
    """colour: (H, W) or (H, W, 3); alpha: (H, W) or None; both uint8 or both uint16, as they stand in the file.

    premultiplied: colour was stored times alpha. icc: a profile that replaces the file's own; notes: warnings.
    """

    colour: Pixels
    alpha: Pixels | None = None
    premultiplied: bool = False
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def decode(data: bytes, format: str, header: Header, icc: bytes | None) -> Samples:
    """All samples of the first picture. Raises whatever the libraries raise; the caller turns it into one error."""
    if format == "PNG":
        return _decode_png(data, header)
    if format == "HEIF":
        array, premultiplied = heif.decode(data)
        return replace(_split(array), premultiplied=premultiplied)
    if format == "RAW":
        return Samples(raw.decode(data), icc=srgb_profile(), notes=("RAW developed with the camera's white balance",))
    if format == "AVIF" and header.bits == 16:
        return _split(avif.decode_deep(data))
    if format == "TIFF":
        data, _ = tiff.turned(data)
        if not tiff.is_plain(data):
            return _decode_tiff(data, header)
    if format == "JPEG":
        data = jpeg.bare(data)
    image = _open(data, format, header)
    if format == "JPEG" and _is_cut_off(data, image, header):
        raise Damaged("the file ends early")
    if format in ("GIF", "BMP") and image.mode in ("P", "L"):
        return _from_indices(image)
    if image.mode == "CMYK":
        return _from_cmyk(image, icc)
    if image.mode in ("1", "YCbCr", "P", "PA"):
        image = image.convert({"1": "L", "YCbCr": "RGB", "P": "RGB", "PA": "RGBA"}[image.mode])
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise Damaged(f"unexpected mode {image.mode}")
    return _split(np.asarray(image))


def _open(data: bytes, format: str, header: Header) -> Image.Image:
    with quiet_pillow():
        image = Image.open(io.BytesIO(data), formats=[format])
        if image.size != (header.width, header.height):
            raise Damaged("the file contradicts its own size")
        image.info.pop("xmp", None)  # or a TIFF is turned by what its XMP says, once its own tag says nothing
        with quiet_libtiff() if format == "TIFF" else nullcontext():
            image.load()
    return image


def _is_cut_off(stream: bytes, image: Image.Image, header: Header) -> bool:
    """Whether a JPEG ran out of data before its end marker, which libjpeg fills with grey without a word.

    This is checked only where the last block is that grey. More bytes before the end marker then change the picture if
    it was cut off; after a complete picture the decoder ignores them.
    """
    corner = np.asarray(image)[-1:, -8:]
    if (corner != (128 if image.mode != "CMYK" else corner.flat[0])).any():
        return False
    longer = _open(stream[:-2] + bytes(range(1, 255)) + stream[-2:], "JPEG", header)
    return image.tobytes() != longer.tobytes()


def _split(array: Pixels) -> Samples:
    """Colour and alpha apart: 1 or 2 channels are grey, 3 or 4 are RGB; the last of 2 or 4 is alpha."""
    if array.ndim == 2:
        return Samples(array)
    channels = array.shape[2]
    colour = array[..., 0] if channels < 3 else array[..., :3]
    return Samples(colour, None if channels % 2 else np.ascontiguousarray(array[..., -1]))


def _decode_png(data: bytes, header: Header) -> Samples:
    stream, transparency = png.bare(data)
    if header.bits == 16:
        import imagecodecs

        array = imagecodecs.png_decode(stream)
        if array.dtype != np.uint16 or array.shape[:2] != (header.height, header.width):
            raise Damaged("the file contradicts its own header")
        array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    else:
        image = _open(stream, "PNG", header)
        if (stream[28] or not np.asarray(image)[-1].any()) and not png.is_complete(stream):
            raise Damaged("the file ends early")
        if image.mode == "P":
            return _from_palette(image, transparency)
        array = np.asarray(image.convert("L") if image.mode == "1" else image)
    samples = _split(array)
    if transparency is None or samples.alpha is not None:
        return samples
    return Samples(samples.colour, _keyed_alpha(samples.colour, transparency))


def _from_palette(image: Image.Image, transparency: png.Transparency | None) -> Samples:
    indices = np.asarray(image)
    table = np.zeros((256, 3), np.uint8)
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    table[: len(palette)] = palette
    if transparency is None:
        return Samples(table[indices])
    opacity = np.full(256, 255, np.uint8)
    stored = np.frombuffer(transparency.data[:256], np.uint8)
    opacity[: len(stored)] = stored
    return Samples(table[indices], opacity[indices])


def _from_indices(image: Image.Image) -> Samples:
    """A picture of a GIF or BMP; grey where all its colours are. One index of a GIF may be transparent."""
    indices, key = np.asarray(image), image.info.get("transparency")
    colour = indices if image.mode == "L" else _from_palette(image, None).colour
    if colour.ndim == 3 and (colour == colour[..., :1]).all():
        colour = np.ascontiguousarray(colour[..., 0])
    return Samples(colour, None if key is None else np.where(indices == key, 0, 255).astype(np.uint8))


def _keyed_alpha(colour: Pixels, transparency: png.Transparency) -> Pixels | None:
    """Zero where a pixel is exactly the transparent colour, full elsewhere; the colour itself stays."""
    count = 1 if colour.ndim == 2 else 3
    if len(transparency.data) != 2 * count:
        return None
    key = np.array(struct.unpack(f">{count}H", transparency.data), np.int64)
    if transparency.depth < 8:
        key = key * 255 // ((1 << transparency.depth) - 1)
    matches = (colour == key[0]) if count == 1 else (colour == key).all(axis=2)
    full = np.iinfo(colour.dtype).max
    return np.where(matches, 0, full).astype(colour.dtype)


def _decode_tiff(data: bytes, header: Header) -> Samples:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        array = np.asarray(page.asarray(maxworkers=1))
        separate = tiff.is_planar(data)
    if separate and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    if array.dtype not in (np.uint8, np.uint16) or array.shape[:2] != (header.height, header.width) or array.ndim > 3:
        raise Damaged("the file contradicts its own header")
    wanted = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}.get(header.mode, 0)
    if array.ndim == 3:
        if not wanted or array.shape[2] < wanted:
            raise Damaged("the file contradicts its own header")
        array = array[..., :wanted] if wanted > 1 else array[..., 0]
    samples = _split(array)
    if tiff.photometric(data) == 0:
        samples = Samples(np.iinfo(array.dtype).max - samples.colour, samples.alpha)
    return Samples(samples.colour, samples.alpha, header.extrasample == 1 and samples.alpha is not None)


def _from_cmyk(image: Image.Image, icc: bytes | None) -> Samples:
    """CMYK to sRGB through the embedded profile, or by the plain formula without one."""
    srgb = srgb_profile()
    if icc is not None:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.ImageCmsProfile(io.BytesIO(srgb)),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
        if converted is not None:
            return Samples(np.asarray(converted), icc=srgb, notes=("CMYK converted to sRGB through its profile",))
    note = "CMYK without a usable profile converted to sRGB by the plain formula; colours are approximate"
    return Samples(np.asarray(image.convert("RGB")), icc=srgb, notes=(note,))


def srgb_profile() -> bytes:
    """An sRGB profile with a fixed date, so that results do not depend on the day."""
    raw = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return raw[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + raw[36:]
