"""The loss of JPEG: exact, by Pillow's encoder and decoder, or approximate, on tensors of any device.

The approximation has colour transform, chroma at half size and quantised 8x8 cosines; nothing is entropy-coded. Its
tables and their scaling are those of ITU-T T.81, Annex K, and of libjpeg. Each picture of a batch has its own quality.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torch.nn import functional

# fmt: off
LUMA = (16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
        14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99)
CHROMA = (17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
          47, 66, 99, 99, 99, 99, 99, 99, *(99,) * 32)
# fmt: on
HALF_CHROMA_BELOW = 90  # quality from which colour keeps its full size, as cameras and editors do
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
FROM_YCC = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def round_trip(pixels: NDArray[np.uint8], quality: int, *, half_chroma: bool | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) as Pillow reads it from a JPEG that Pillow wrote, of ``quality`` 1 to 100.

    half_chroma: 4:2:0, else 4:4:4; None: 4:2:0 for qualities below :data:`HALF_CHROMA_BELOW`.
    """
    half = quality < HALF_CHROMA_BELOW if half_chroma is None else half_chroma
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0" if half else "4:4:4")
    file.seek(0)
    return np.array(JpegImageFile(file))  # not Image.open: its pixel limit is not needed here


def jpeg_round_trip(image: Tensor, quality: int) -> Tensor:
    """:func:`round_trip` of a picture (3, H, W) in [0, 1] on the CPU; rounded to 8 bits before."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return torch.from_numpy(round_trip(pixels, quality)).permute(2, 0, 1).float() / 255


def mix_channels(batch: Tensor, matrix: Tensor) -> Tensor:
    """Channels of (B, 3, H, W) times a matrix (3, 3), or one a picture (B, 3, 3)."""
    return (matrix @ batch.flatten(2)).view_as(batch)


def to_ycc(batch: Tensor) -> Tensor:
    """RGB (B, 3, H, W) to luma and two colour differences of BT.601 around 0."""
    return mix_channels(batch, torch.tensor(TO_YCC, device=batch.device))


def from_ycc(batch: Tensor) -> Tensor:
    return mix_channels(batch, torch.tensor(FROM_YCC, device=batch.device))


def jpeg_loss(batch: Tensor, quality: list[int]) -> Tensor:
    """(B, 3, H, W) fp32 in [0, 1] as after a JPEG of each ``quality`` (1 to 100), rounded to 8 bits."""
    height, width = batch.shape[2:]
    ycc = to_ycc((batch.clamp(0, 1) * 255).round_()).round_()
    ycc[:, 0] -= 128
    ycc = functional.pad(ycc, (0, -width % 16, 0, -height % 16), mode="replicate")
    luma = _quantised(ycc[:, :1], _tables(LUMA, quality, batch.device))
    table = _tables(CHROMA, quality, batch.device)
    colour = torch.empty_like(ycc[:, 1:])
    for half in (False, True):
        chosen = [i for i, q in enumerate(quality) if (q < HALF_CHROMA_BELOW) == half]
        if not chosen:
            continue
        part = ycc[chosen, 1:]
        part = _quantised(functional.avg_pool2d(part, 2).round_() if half else part, table[chosen])
        if half:
            part = functional.interpolate(part, scale_factor=2, mode="bilinear", align_corners=False)
        colour[chosen] = part
    result = from_ycc(torch.cat([luma + 128, colour], dim=1))[..., :height, :width]
    return result.round_().clamp_(0, 255) / 255


def _tables(base: tuple[int, ...], quality: list[int], device: torch.device) -> Tensor:
    """Steps of the quantiser, (B, 1, 1, 1, 8, 8)."""
    scale = torch.tensor([5000 // q if q < 50 else 200 - 2 * q for q in quality])
    steps = ((torch.tensor(base) * scale[:, None] + 50) // 100).clamp(1, 255)
    return steps.float().view(-1, 1, 1, 1, 8, 8).to(device)


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (B, C, H, W), sides multiples of 8, with every 8x8 block's cosine transform rounded to ``steps``."""
    count, channels, height, width = planes.shape
    k, n = torch.arange(8.0).view(-1, 1), torch.arange(8.0)
    basis = torch.cos((2 * n + 1) * k * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    basis = basis.to(planes.device)
    blocks = planes.view(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    spectrum = basis @ blocks @ basis.T
    spectrum = (spectrum / steps).round_() * steps
    blocks = (basis.T @ spectrum @ basis).round_().clamp_(-128, 127)
    return blocks.transpose(3, 4).reshape(count, channels, height, width)
