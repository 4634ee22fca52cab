"""What a restoration holds in main memory besides the evaluations of its network, in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from dfrestore.engine import Beside

_RGB = 12  # bytes of a pixel: three channels of float32


@dataclass(frozen=True)
class Needs:
    """How a photo is restored, as far as it takes memory.

    result: (height, width) of the result; None: the model's own. members: of the ensemble. spread: also measure it.
    blended: the result is mixed with the input (strength, mask, colour). encoding: bytes that writing takes at the peak
    (see :func:`dfrestore.photo.encoding_bytes`).
    """

    result: tuple[int, int] | None = None
    members: int = 1
    spread: bool = False
    blended: bool = False
    encoding: int = 0

    def beside(self, process: int, height: int, width: int, scale: int) -> Beside:
        """For a photo of this size. process: bytes held without it. scale: how many times the network enlarges."""
        photo, made = height * width, height * width * scale**2
        out = made if self.result is None else self.result[0] * self.result[1]
        means = (self.members > 1) + (1 if self.spread else 0)
        blending = 3 * _RGB * out if self.blended else 0  # the enlarged input, and two terms of the sum
        resizing = _RGB * made if out != made else 0
        return Beside(
            held=process + (_RGB + 1) * photo + means * _RGB * made,  # with alpha
            finishing=_RGB * out + max(resizing, blending, self.encoding),
        )
