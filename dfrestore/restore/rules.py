"""When a damage is treated, how strongly, and how much a trial of its task counts (see :mod:`.trials`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FULL = 0.1
"""So far above the least severity a result counts fully; at it, half: what may be no damage is touched lightly."""


@dataclass(frozen=True)
class Rule:
    """Of one kind of damage; all numbers are 0 to 1.

    least: the severity from which on it is treated; what is milder is reported alone. share: how much a trial counts,
    the rest is the detector's; 0: the detector tells it alone. hint: what the detector tells less of is not tried, for
    that takes time.
    """

    least: float
    share: float = 0.0
    hint: float = 0.0

    def joined(self, told: float, tried: float) -> float:
        """One severity of a detector's and a trial's: their weighted geometric mean, so that either can deny it."""
        return float(told ** (1 - self.share) * tried**self.share)

    def worth_trying(self, told: float) -> bool:
        """Whether a trial could raise what the detector tells to where the damage is treated, and there is a hint."""
        return self.share > 0 and told >= self.hint and self.joined(told, 1.0) >= self.least

    def strength(self, severity: float) -> float:
        """From 0.5, where it is just treated, to 1; in tenths, so that what is said is what is done."""
        return round(0.5 + 0.5 * min(1.0, (severity - self.least) / FULL), 1)


RULES: Mapping[str, Rule] = {
    "rain": Rule(0.19, share=0.85, hint=0.01),
    "snow": Rule(0.21, share=0.5, hint=0.03),
    "drops": Rule(0.31, share=0.9, hint=0.03),
    "haze": Rule(0.26, share=0.67, hint=0.05),
    "noise": Rule(0.23, share=0.9, hint=0.015),
    "motion": Rule(0.23, share=0.67, hint=0.02),
    "defocus": Rule(0.23, share=0.67, hint=0.05),
    "jpeg": Rule(0.17, share=0.67, hint=0.1),
    "lowres": Rule(0.1),
}
"""By the names of :data:`dfrestore.severities.DAMAGES`; chosen on clean photos and drawn damage (detector's card)."""
