"""What the Python API takes and returns: paths, PIL images and arrays, converted to float32 RGB and back.

Only for pictures in memory; files with all that belongs to them go through :mod:`dfrestore.photo`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfrestore import photo
from dfrestore.photo.encode import quantise
from dfrestore.photo.enlarged import filled, resized, with_pixels

if TYPE_CHECKING:
    from torch import Tensor

Rgb: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.float32]
"""float32 (H, W) in [0, 1]: the share of the result at each pixel; the rest is the input."""
Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[Any]"
Finish: TypeAlias = Callable[[Rgb], Any]

LUMA = np.array([0.299, 0.587, 0.114])
"""BT.601, as grey photos are written."""

_EXACT_MODES = frozenset({"L", "LA", "RGB", "RGBA", "I;16"})


def open_picture(image: Picture, *, enlarges: bool = False) -> tuple[Rgb, Finish]:
    """(rgb, finish): float32 (H, W, 3) in [0, 1], and the function that makes such an array the input's own kind.

    path -> PIL image, upright; PIL image -> same mode, size and info (``P`` and ``1`` come back as RGB or RGBA, for
    a palette cannot hold the result); array (H, W) or (H, W, 1 to 4) -> same shape and dtype: uint8, uint16, or
    floating point in [0, 1]. Grey stays grey, alpha passes through.
    enlarges: the result is larger; colours where the alpha is 0 are replaced by those around, or they would come out as
    a rim. Raises PhotoReadError for files, TypeError and ValueError for other inputs.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image, enlarges)
    if isinstance(image, Image.Image):
        return _from_pil(image, enlarges)
    if isinstance(image, str | os.PathLike):
        return _from_file(Path(image), enlarges)
    raise TypeError(f"a path, a PIL image or a numpy array is needed, not {type(image).__name__}")


def luma_of(rgb: Rgb) -> Mask:
    """(H, W, 3), differences of pictures too -> (H, W): the luma; that of grey is exactly its value."""
    red, green, blue = (rgb[..., channel] for channel in range(3))
    luma: Mask = green + np.float32(LUMA[0]) * (red - green) + np.float32(LUMA[2]) * (blue - green)
    return luma


def of_planes(planes: Tensor) -> Rgb:
    """A state of the diffusion, (3, H, W) with black at -1 and white at 1 -> (H, W, 3), clamped to [0, 1]; a copy."""
    pixels: Rgb = planes.float().cpu().add(1).div_(2).clamp_(0, 1).permute(1, 2, 0).numpy()
    return pixels


def name_of(image: Picture) -> str:
    """What messages call it."""
    return str(image) if isinstance(image, str | os.PathLike) else "picture"


def enlarged_rgb(rgb: Rgb, height: int, width: int) -> Rgb:
    """The plain resize of a picture to another size; the picture itself where that is its own."""
    if rgb.shape[:2] == (height, width):
        return rgb
    planes = [resized(rgb[..., channel], height, width) for channel in range(3)]
    enlarged: Rgb = np.stack(planes, axis=2)
    return enlarged


def _from_array(array: NDArray[Any], enlarges: bool) -> tuple[Rgb, Finish]:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)) or 0 in array.shape:
        raise ValueError(f"an array (H, W) or (H, W, 1 to 4) is needed, not {array.shape}")
    samples = array if array.ndim == 3 else array[:, :, None]
    colours = 1 if samples.shape[2] < 3 else 3
    colour = _to_unit(samples[:, :, :colours])
    alpha = samples[:, :, colours:]
    rgb = colour if colours == 3 else np.repeat(colour, 3, axis=2)
    if enlarges and alpha.size:
        rgb = filled(rgb, alpha[:, :, 0])

    def finish(result: Rgb) -> NDArray[Any]:
        size = result.shape[:2]
        shown = _from_unit(result, array.dtype, grey=colours == 1)
        opacity = alpha if size == rgb.shape[:2] or not alpha.size else _resized_samples(alpha, *size)
        return np.concatenate([shown.reshape(*size, colours), opacity.reshape(*size, -1)], axis=2).reshape(
            *size, *array.shape[2:]
        )

    return rgb, finish


def _resized_samples(alpha: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    return _from_unit(np.dstack([resized(_to_unit(alpha)[..., 0], height, width)] * 3), alpha.dtype, grey=True)


def _to_unit(samples: NDArray[Any]) -> Rgb:
    if samples.dtype in (np.uint8, np.uint16):
        return samples.astype(np.float32) / np.float32(np.iinfo(samples.dtype).max)
    if not np.issubdtype(samples.dtype, np.floating):
        raise TypeError(f"an array of uint8, uint16 or floating point is needed, not {samples.dtype}")
    low, high = float(samples.min()), float(samples.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise ValueError(f"floating-point pictures hold values from 0 to 1, these go from {low:g} to {high:g}")
    return samples.astype(np.float32)


def _from_unit(result: Rgb, dtype: np.dtype[Any], *, grey: bool) -> NDArray[Any]:
    """(H, W, 3), or (H, W) where ``grey``, of this dtype; as files are written."""
    if dtype in (np.uint8, np.uint16):
        return quantise(result, 8 * dtype.itemsize, grey)
    shown = result.astype(np.float64) @ LUMA if grey else result
    return shown.astype(dtype)


def _from_pil(image: Image.Image, enlarges: bool) -> tuple[Rgb, Finish]:
    if image.mode in ("I", "F"):
        raise TypeError(f"PIL mode {image.mode} has no fixed range; give an array of floating point in [0, 1] instead")
    working = image
    if image.mode in ("P", "PA", "1") or image.mode not in _EXACT_MODES:
        working = image.convert("RGBA" if image.has_transparency_data else "RGB")
    array = np.asarray(working)
    rgb, finish = _from_array(array.astype(np.uint16) if working.mode == "I;16" else array, enlarges)
    back = image.mode if image.mode in ("CMYK", "YCbCr", "HSV", "LAB", "RGBX", "RGBa", "La") else None

    def finish_pil(result: Rgb) -> Image.Image:
        restored = Image.fromarray(finish(result))
        if back is not None:
            restored = restored.convert(back)
        restored.info = dict(image.info)
        return restored

    return rgb, finish_pil


def _from_file(path: Path, enlarges: bool) -> tuple[Rgb, Finish]:
    read = photo.read(path)

    def finish(result: Rgb) -> Image.Image:
        taken = with_pixels(read, result)
        # PIL holds 16 bits for grey alone; colour comes back in 8.
        sixteen = taken.origin.bits == 16 and taken.origin.grey and taken.alpha is None
        planes = _from_unit(result, np.dtype(np.uint16 if sixteen else np.uint8), grey=taken.origin.grey)
        if taken.alpha is not None:
            alpha = taken.alpha if taken.alpha.dtype == np.uint8 else (taken.alpha // 257).astype(np.uint8)
            planes = np.dstack([planes, alpha])
        image = Image.fromarray(planes)
        if taken.origin.icc:
            image.info["icc_profile"] = taken.origin.icc
        return image

    rgb = filled(read.rgb, read.alpha) if enlarges and read.alpha is not None else read.rgb
    return rgb, finish
