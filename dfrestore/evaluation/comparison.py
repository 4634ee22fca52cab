"""Several models on the same pairs: their scores of each picture, and how sure the difference of their means is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrestore.errors import FileFailure
from dfrestore.evaluation.bootstrap import LEAST, mean_interval
from dfrestore.evaluation.cases import Open, open_pair
from dfrestore.evaluation.report import HOLE
from dfrestore.evaluation.score import (
    Convention,
    FileScore,
    Measured,
    Restore,
    Scores,
    Summary,
    restored_by_each,
    summarise,
)
from dfrestore.photo.pairs import Pair

LETTERS = "ABC"
"""What the models are called beside their numbers, in order."""

PSNR, SSIM = "PSNR", "SSIM"
IN_DB = (PSNR, HOLE)


@dataclass(frozen=True)
class FileComparison:
    """One pair: the scores of each model, or the error of the pair, or of one model, in one line.

    notes: one line each, for people.
    """

    name: str
    scores: tuple[FileScore, ...] = ()
    error: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[Scores, ...]:
        """Of each model; empty after a failure."""
        return tuple(score.result for score in self.scores if score.result is not None)

    @property
    def input(self) -> Scores | None:
        return self.scores[0].input if self.scores else None


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison and its pictures, one a model, which share input and target; none after a failure."""

    score: FileComparison
    pictures: tuple[Measured, ...] = ()


@dataclass(frozen=True)
class Difference:
    """What a later model adds to the first one, in one metric, as a mean over pictures.

    title: of the metric. mean: None where a result equals its target, so that its PSNR has no bound. interval: (low,
    high), see :func:`.bootstrap.mean_interval`; None without a mean, and for fewer than LEAST pictures.
    """

    title: str
    mean: float | None
    interval: tuple[float, float] | None

    @property
    def better(self) -> int:
        """1 where the later model is clearly better, -1 where the first one is, 0 where neither is."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return 0
        return 1 if (self.interval[0] > 0) == larger_is_better(self.title) else -1


@dataclass(frozen=True)
class ComparisonSummary:
    """models: means over the pictures that every model could do. differences: of each model but the first, by metric.

    failed: how many pictures are missing from all means.
    """

    models: tuple[Summary, ...]
    differences: tuple[tuple[Difference, ...], ...]
    failed: int

    @property
    def count(self) -> int:
        return self.models[0].count


def values(scores: Scores) -> dict[str, float]:
    """All numbers of a picture by the titles of their metrics."""
    hole = {} if scores.hole is None else {HOLE: scores.hole}
    return {PSNR: scores.psnr, SSIM: scores.ssim, **hole, **scores.others}


def larger_is_better(title: str) -> bool:
    return title in (PSNR, SSIM, HOLE)


def change(first: Scores, later: Scores) -> dict[str, float]:
    """``later`` minus ``first`` by metric; 0 where both equal their target."""
    before, after = values(first), values(later)
    return {title: 0.0 if after[title] == before[title] else after[title] - before[title] for title in before}


def compare_pairs(
    pairs: Iterable[Pair], convention: Convention, restores: Sequence[Restore], opener: Open = open_pair
) -> Iterator[Compared]:
    """Each pair restored and measured by every model, one after the other; it is read, or made, once.

    So one restoration is in memory at a time, and the comparison is paired from its first picture on. A pair that one
    model cannot do counts for none. restores, opener: as of ``measure_pairs``.
    """
    named = [partial(_blaming, letter, restore) for letter, restore in zip(LETTERS, restores, strict=False)]
    for pair in pairs:
        try:
            case = opener(pair)
            pictures = tuple(restored_by_each(pair, case, convention, named))
        except FileFailure as error:
            yield Compared(FileComparison(pair.name, error=str(error)))
            continue
        yield Compared(FileComparison(pair.name, tuple(one.score for one in pictures), notes=case.notes), pictures)
        del case, pictures


def summarise_comparison(comparisons: Iterable[FileComparison], models: int) -> ComparisonSummary:
    """Means and differences over the pictures that all of so many models could do."""
    comparisons = list(comparisons)
    done = [comparison for comparison in comparisons if comparison.error is None]
    means = tuple(summarise(comparison.scores[number] for comparison in done) for number in range(models))
    differences = tuple(_differences(done, number) for number in range(1, models)) if done else ()
    return ComparisonSummary(means, differences, len(comparisons) - len(done))


def _differences(done: Sequence[FileComparison], number: int) -> tuple[Difference, ...]:
    changes = [change(comparison.results[0], comparison.results[number]) for comparison in done]
    return tuple(_difference(title, [one[title] for one in changes]) for title in changes[0])


def _difference(title: str, changes: Sequence[float]) -> Difference:
    if not all(map(math.isfinite, changes)):
        return Difference(title, None, None)
    return Difference(title, float(np.mean(changes)), mean_interval(changes) if len(changes) >= LEAST else None)


def _blaming(letter: str, restore: Restore, *arguments: Any) -> NDArray[Any]:
    try:
        return restore(*arguments)
    except FileFailure as error:
        raise FileFailure(f"{letter}: {error}") from error
