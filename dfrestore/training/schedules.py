"""Learning rate and patch size as pure functions of the iteration."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from dfrestore.training.config import StageConfig


def cosine_cycles(p: int, lr: float, periods: Sequence[float], minima: Sequence[float]) -> float:
    """Restormer's CosineAnnealingRestartCyclicLR at position p = iteration - 1 (counted from 0).

    Period i runs from the end of the last one (inclusive end) and falls from ``lr`` to its minimum:
    m + (lr - m)/2 (1 + cos(pi (p - start)/P)); after the last period, its formula goes on.
    """
    start = 0.0
    for i, (period, minimum) in enumerate(zip(periods, minima, strict=True)):
        if p <= start + period or i == len(periods) - 1:
            return minimum + 0.5 * (lr - minimum) * (1 + math.cos(math.pi * (p - start) / max(period, 1)))
        start += period
    raise ValueError("no periods")


def learning_rate(stage: StageConfig, p: int) -> float:
    """The rate of the stage's iteration p (from 0): cosine cycles or falling steps, times a linear warm-up.

    Periods and milestones of at most 1 are parts of the stage's iterations, larger ones are iterations.
    """
    if stage.rate == "steps":
        rate = stage.lr * stage.gamma ** sum(p >= n for n in _in_iterations(stage, stage.milestones))
    else:
        rate = cosine_cycles(p, stage.lr, _in_iterations(stage, stage.periods), stage.minima)
    return rate * min(1.0, (p + 1) / stage.warmup) if stage.warmup else rate


def patch_and_batch(stage: StageConfig, p: int) -> tuple[int, int]:
    """(patch side, batch size) of the stage's iteration p (from 0): each entry for a period, over and over."""
    if stage.patch_lengths:
        ends = itertools.accumulate(stage.patch_lengths)
        entry = next((i for i, end in enumerate(ends) if p < end), len(stage.patches) - 1)
        return stage.patches[entry], stage.batches[entry]
    period, cycles = _patch_cycle(stage)
    entry = min(p // period, cycles * len(stage.patches) - 1)  # past the cycles the last entry stays
    return stage.patches[entry % len(stage.patches)], stage.batches[entry % len(stage.batches)]


def patch_counts(stage: StageConfig) -> Counter[tuple[int, int]]:
    """How many of the stage's iterations each (patch side, batch size) gets."""
    entries = list(zip(stage.patches, stage.batches, strict=True))
    if stage.patch_lengths:
        return _counts_of_lengths(stage, entries)
    period, cycles = _patch_cycle(stage)
    cycling = min(stage.iterations, cycles * period * len(entries))
    whole, rest = divmod(cycling, period * len(entries))
    counts: Counter[tuple[int, int]] = Counter()
    for i, entry in enumerate(entries):
        counts[entry] += whole * period + min(period, max(0, rest - i * period))
    counts[entries[-1]] += stage.iterations - cycling
    return counts


def _counts_of_lengths(stage: StageConfig, entries: Sequence[tuple[int, int]]) -> Counter[tuple[int, int]]:
    counts: Counter[tuple[int, int]] = Counter()
    left = stage.iterations
    for entry, length in zip(entries, stage.patch_lengths, strict=True):
        counts[entry] += min(length, left)
        left -= min(length, left)
    counts[entries[-1]] += left
    return counts


def _in_iterations(stage: StageConfig, places: Sequence[float]) -> list[float]:
    return [round(n * stage.iterations) if n <= 1 else n for n in places]


def _patch_cycle(stage: StageConfig) -> tuple[int, int]:
    """(iterations an entry is held, how often the whole list comes)."""
    period = stage.patch_period or max(1, stage.iterations // (3 * len(stage.patches)))
    return period, stage.patch_cycles or max(1, stage.iterations // (period * len(stage.patches)))
