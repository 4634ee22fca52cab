"""How badly a photo is damaged, by kind: what the numbers mean, and which task takes each kind away.

A severity is 0 to 1 and stands for the PSNR, in RGB, that this damage alone costs on that picture: 0 for what nobody
sees, 1 for what leaves little of it, and a straight line between, in dB. All kinds share one scale, so that the
largest number is the main damage. Ours range over what the presets of :mod:`dfrestore.degrade` cost on photos: noise
of sigma 2, 5, 15, 25 and 50 is 0.07, 0.33, 0.64, 0.78 and 0.97; JPEG of quality 90, 40 and 10 about 0.3, 0.5 and 0.65;
half of the blurs cost 22 dB or less, 0.75. A scale that ended at 20 dB would call all those 1.

RGB, not luma: noise and JPEG are worst in colours, which luma hides (4 dB of JPEG of quality 10).

Haze alone has a scale of its own, for it moves all tones, which PSNR counts and eyes forgive: a veil of 7 % costs
32 dB and is hardly seen, and thin haze costs as much (19 dB) as noise of sigma 30.

Low resolution means a photo that was enlarged: it has the pixels, not the detail. What is small and sharp is no damage
that its pixels show. So it is measured like the others, against what it was before it was reduced and enlarged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Damage:
    """A kind of damage. words: for people. task: what takes it away. none, full: PSNR in dB from which on the severity
    is 0, and down to which it is 1.
    """

    name: str
    words: str
    task: str
    none: float = 44.0
    full: float = 14.0

    def severity(self, decibels: float) -> float:
        """0 to 1, of a PSNR in dB that this damage leaves (infinite: nothing is changed)."""
        return min(1.0, max(0.0, (self.none - decibels) / (self.none - self.full)))

    def decibels(self, severity: float) -> float:
        """The PSNR in dB that a severity stands for; the way back of :meth:`severity` between its ends."""
        return self.none - severity * (self.none - self.full)


DAMAGES: Mapping[str, Damage] = MappingProxyType(
    {
        damage.name: damage
        for damage in (
            Damage("rain", "rain", "derain"),
            Damage("snow", "snow", "desnow"),
            Damage("drops", "drops on the glass", "raindrop"),
            Damage("haze", "haze", "dehaze", none=32.0, full=8.0),
            Damage("noise", "noise", "denoise"),
            Damage("motion", "motion blur", "deblur"),
            Damage("defocus", "defocus", "defocus"),
            Damage("jpeg", "JPEG artefacts", "dejpeg"),
            Damage("lowres", "low resolution", "upscale"),
        )
    }
)

NOTICED = 0.15
"""A severity from which on a damage counts as found; it stands for 39.5 dB (haze: 28.4 dB)."""


def psnr_of(square_error: float) -> float:
    """dB, of a mean square error of values in [0, 1]; infinite where there is none."""
    return -10 * math.log10(square_error) if square_error > 0 else math.inf
