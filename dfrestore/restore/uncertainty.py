"""The map of where an ensemble's members disagree, on one scale for all pictures."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dfrestore.restore.extras import mark

WHITE = 0.1
"""The standard deviation that is white, where 1 is from black to white: 25.5 levels of 8 bit."""


def uncertainty_png(spread: NDArray[np.float32], members: int) -> bytes:
    """(H, W) standard deviations as a grey PNG of 16 bits: linear, 65535 is :data:`WHITE` or more; a text says so."""
    values = np.rint(np.minimum(spread, WHITE) * (65535 / WHITE)).astype(np.uint16)
    text = PngInfo()
    text.add_text(
        "Description",
        f"Standard deviation over {members} restorations (by n - 1), the largest of R, G and B. Linear: 0 is none, "
        f"65535 is {WHITE} of the range from black to white, or more; value / {65535 / WHITE:.0f} is the deviation.",
    )
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", pnginfo=text, exif=mark())
    return buffer.getvalue()
