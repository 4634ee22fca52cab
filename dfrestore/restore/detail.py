"""Detail that was taken out together with noise.

What a model removed is split into bands of sizes ("a trous" wavelets: Starck & Murtagh, "Astronomical Image and Data
Analysis", 2002, with their B3 spline). Noise has the same strength all over a band, at a given brightness; what stands
out from it is detail. Giving back what lies above a threshold in each band is the idea of darktable's recovery of
texture after denoising.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dfrestore.restore.images import LUMA, Rgb, luma_of
from dfrestore.restore.smoothing import Plane, folded, smoothed

BANDS = 4
"""Details of about 1, 2, 4 and 8 pixels; what is broader is not given back."""
THRESHOLD = 2.5
"""How many times as strong as the noise of a band something must be, over a few pixels, to be more than noise."""
_SPLINE = np.array([1, 4, 6, 4, 1], np.float32) / np.float32(16)
_MARGIN = 2 * (2**BANDS - 1) + 2**BANDS  # the broadest band's reach, and that of its local strength
_MEDIAN = 0.6745  # of the size of normal numbers of variance 1
_LEVELS = 8  # of brightness, each with a noise of its own
_STEPS = 256  # of brightness in a table
_STRIP = 1 << 21  # pixels that are worked on at once, about
_SAMPLE, _SAMPLE_ROWS = 2_000_000, 64  # pixels that noise is measured on, in strips of so many rows


def with_detail(rgb: Rgb, result: Rgb, amount: float) -> Rgb:
    """The result and ``amount`` (0 to 1) of the detail that it lost; rgb: the input of the same size.

    float32 (H, W, 3), clipped to [0, 1], a new array; worked on in strips. Luma and colours are looked at apart.
    """
    height, width = rgb.shape[:2]
    rows = max(2 * _MARGIN, _STRIP // width)
    noise = _noise(rgb, result)
    made: Rgb = np.empty(result.shape, np.float32)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        strip = result[top:bottom]
        light = (luma_of(strip) * (_STEPS - 1)).round().astype(np.intp)
        planes = zip(_removed(rgb, result, top, bottom), noise, strict=True)
        luma, red, blue = (_above(plane, levels, light) for plane, levels in planes)
        green = -(np.float32(LUMA[0] / LUMA[1]) * red + np.float32(LUMA[2] / LUMA[1]) * blue)  # no luma in all
        for channel, colour in enumerate((red, green, blue)):
            back = np.float32(amount) * (luma + colour)
            np.clip(strip[..., channel] + back, 0, 1, out=made[top:bottom, :, channel])
    return made


def _removed(rgb: Rgb, result: Rgb, top: int, bottom: int) -> tuple[Plane, Plane, Plane]:
    """Luma, red - luma, blue - luma of rgb - result, with a margin around that mirrors what is beyond the borders."""
    height, width = rgb.shape[:2]
    rows = folded(top - _MARGIN, bottom + _MARGIN, height)
    columns = folded(-_MARGIN, width + _MARGIN, width)
    change = (rgb[rows] - result[rows])[:, columns]
    luma = luma_of(change)
    return luma, change[..., 0] - luma, change[..., 2] - luma


def _bands(plane: Plane) -> Iterator[tuple[int, Plane]]:
    """(step, band), finest first; each has lost a margin. All of them and what is left over add up to the plane."""
    for step in (2**band for band in range(BANDS)):
        smooth = smoothed(plane, _SPLINE, step)
        yield step, _inner(plane, *smooth.shape) - smooth
        plane = smooth


def _inner(plane: Plane, height: int, width: int) -> Plane:
    """The middle of a plane, in this size."""
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    return plane[top : top + height, left : left + width]


def _above(plane: Plane, noise: list[Plane], light: NDArray[np.intp]) -> Plane:
    """What is more than noise in a plane with its margin; light: (H, W), the place of each pixel in the table of noise.

    A band counts as far as its mean square over 5 x 5 of its pixels is above that of noise (as in Wiener's filter).
    """
    back = np.zeros(light.shape, np.float32)
    for (step, band), sigma in zip(_bands(plane), noise, strict=True):
        around = (light.shape[0] + 4 * step, light.shape[1] + 4 * step)
        power = smoothed(_inner(band, *around) ** 2, _SPLINE, step)
        share = 1 - (np.float32(THRESHOLD) * sigma).take(light, mode="clip") ** 2 / np.maximum(power, np.float32(1e-12))
        back += np.maximum(share, 0) * _inner(band, *light.shape)
    return back


def _noise(rgb: Rgb, result: Rgb) -> list[list[Plane]]:
    """Of each plane and band the standard deviation of the noise, a table over the luma of the result from 0 to 1.

    From the median size at each of some levels of brightness, which detail hardly moves.
    """
    height, width = rgb.shape[:2]
    rows = min(height, _SAMPLE_ROWS)
    most = max(1, min(-(-height // rows), _SAMPLE // (rows * width)))
    tops = np.unique(np.linspace(0, height - rows, most).round().astype(int))
    light = np.concatenate([luma_of(result[top : top + rows]).ravel() for top in tops])
    levels = [part for part in np.array_split(np.argsort(light, kind="stable"), _LEVELS) if part.size]
    centres, wanted = [np.median(light[part]) for part in levels], np.linspace(0, 1, _STEPS)
    sizes: list[list[list[Plane]]] = [[[] for _ in range(BANDS)] for _ in range(3)]
    for top in tops:
        for plane, kept in zip(_removed(rgb, result, top, top + rows), sizes, strict=True):
            for (_, band), strips in zip(_bands(plane), kept, strict=True):
                strips.append(np.abs(_inner(band, rows, width)).ravel())

    def table(strips: list[Plane]) -> Plane:
        size = np.concatenate(strips)
        sigma = [np.median(size[part]) / _MEDIAN for part in levels]
        return np.interp(wanted, centres, sigma).astype(np.float32)

    return [[table(strips) for strips in kept] for kept in sizes]
