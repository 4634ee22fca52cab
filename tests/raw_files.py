"""A camera's RAW file, made here: the mosaic of colour filters as a sensor sees it, in a DNG."""

from __future__ import annotations

import io
import struct

import numpy as np
import tifffile

SIDE = (96, 144)
SHOT = np.array([0.6, 0.4, 0.2])
"""Linear red, green and blue of the grey card's light as the camera sees it, before white balance."""


def dng(orientation: int = 1, neutral: tuple[float, float, float] = (1.5, 1.0, 0.5)) -> bytes:
    """A 14-bit RGGB mosaic of an even picture whose upper left quarter is dark.

    neutral: what the camera's white is, so that ``SHOT`` of these proportions is grey.
    """
    rows, columns = np.mgrid[0 : SIDE[0], 0 : SIDE[1]]
    channel = np.where(rows % 2 == 0, np.where(columns % 2 == 0, 0, 1), np.where(columns % 2 == 0, 1, 2))
    mosaic = SHOT[channel]
    mosaic[: SIDE[0] // 2, : SIDE[1] // 2] *= 0.25
    ratios = b"".join(struct.pack("<II", round(1e6 * value), 1_000_000) for value in neutral)
    # XYZ of D50 to linear sRGB: a camera whose colours are those of sRGB
    matrix = (3.1339, -1.6169, -0.4906, -0.9788, 1.9161, 0.0335, 0.0720, -0.2290, 1.4052)
    numbers = b"".join(struct.pack("<ii", round(1e4 * value), 10_000) for value in matrix)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        np.rint(mosaic * 16383).astype(np.uint16),
        photometric=32803,
        byteorder="<",
        metadata=None,
        software=False,
        extratags=[
            (271, 2, 0, "Maker", True),
            (272, 2, 0, "Model X", True),
            (274, 3, 1, orientation, True),
            (306, 2, 0, "2026:01:02 03:04:05", True),
            (33421, 3, 2, (2, 2), True),
            (33422, 1, 4, b"\0\1\1\2", True),
            (50706, 1, 4, b"\1\4\0\0", True),
            (50708, 2, 0, "Maker Model X", True),
            (50717, 4, 1, 16383, True),
            (50721, 10, 9, numbers, True),
            (50728, 5, 3, ratios, True),
            (50778, 3, 1, 23, True),
        ],
    )
    return buffer.getvalue()
