"""Scores of pictures, one pair at a time, and their means."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrestore.errors import FileFailure
from dfrestore.evaluation.cases import Case, Open, Picture, bicubic, cut_to, open_pair, shown
from dfrestore.metrics import crop, psnr_hole, psnr_rgb, psnr_y, ssim_rgb, ssim_y, to_8bit
from dfrestore.photo.mask import Strength
from dfrestore.photo.pairs import Pair
from dfrestore.tasks import Channel

# A restoration: Photo -> float (H, W, 3) in [0, 1]. Raises FileFailure for a picture it cannot do.
# With a mask, (H, W) of 1 in the hole and 0 elsewhere, it is called as restore(photo, mask).
Restore = Callable[..., NDArray[Any]]


@dataclass(frozen=True)
class Scores:
    """PSNR in dB (``inf`` for identical pictures) and SSIM of one picture, or their means over several.

    others: distances by the title of their column, such as ``LPIPS alex``; smaller is better. hole: PSNR over the
    pixels of the hole alone, where there is one.
    """

    psnr: float
    ssim: float
    others: Mapping[str, float] = field(default_factory=dict)
    hole: float | None = None


@dataclass(frozen=True)
class Distance:
    """A further measure: the title of its column, one clause on how it is computed, and the function itself.

    measure: two pictures uint8 (H, W, 3) -> number; ValueError for pictures that it cannot compare.
    """

    title: str
    about: str
    measure: Callable[[Picture, Picture], float]


@dataclass(frozen=True)
class Convention:
    """How scores are computed: on luma or RGB, with luma rounded as in MATLAB or not, pixels cropped at the border.

    distances: also measured, always on RGB. scale: of a restoration that enlarges; the input's own scores are those of
    its bicubic enlargement. hole: every pair has a mask, and PSNR inside it is measured too, always on RGB.
    """

    channel: Channel = "y"
    rounded: bool = False
    border: int = 0
    distances: tuple[Distance, ...] = ()
    scale: int = 1
    hole: bool = False

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(distance.title for distance in self.distances)

    def describe(self) -> str:
        """One line that belongs beside every number."""
        if self.channel == "y":
            luma = "rounded to whole numbers" if self.rounded else "not rounded"
            on = f"Y (BT.601, 16 to 235, {luma})"
        else:
            on = "RGB (PSNR over all channels, SSIM the mean of the channels)"
        cropped = f"{self.border} pixels cropped at each border" if self.border else "no border cropped"
        line = f"PSNR and SSIM on {on} of 8-bit pictures, peak 255, {cropped}; SSIM: 11x11 Gaussian, sigma 1.5"
        parts = [line]
        if self.hole:
            parts.append("hole: PSNR over the pixels of the mask alone, RGB")
        if self.scale > 1:
            parts.append(f"input: enlarged by {self.scale}, bicubic (a = -0.5, as MATLAB), rounded to 8 bit")
        return "; ".join([*parts, *(f"{distance.title}: {distance.about}" for distance in self.distances)])

    def measure(self, a: Picture, b: Picture, mask: Strength | None = None) -> Scores:
        """Scores of two pictures uint8 (H, W, 3). mask: (H, W), 1 in the hole; needed where ``hole`` is measured.

        ValueError where sizes differ or are below 11x11, and without a hole to measure.
        """
        if a.shape != b.shape:
            raise ValueError(f"{_size(a)} pixels against {_size(b)} of the target; sizes must agree")
        if self.channel == "y":
            psnr = psnr_y(a, b, rounded=self.rounded, border=self.border)
            ssim = ssim_y(a, b, rounded=self.rounded, border=self.border)
        else:
            psnr, ssim = psnr_rgb(a, b, border=self.border), ssim_rgb(a, b, border=self.border)
        hole = None
        if self.hole:
            if mask is None:
                raise ValueError("there is no mask that says where the hole is")
            hole = psnr_hole(a, b, mask, border=self.border)
        a, b = crop(a, self.border), crop(b, self.border)
        return Scores(psnr, ssim, {distance.title: distance.measure(a, b) for distance in self.distances}, hole)


@dataclass(frozen=True)
class FileScore:
    """One pair: what was measured, or the error in one line.

    input: scores of the degraded picture, only where a restoration was run. seconds: of the restoration alone. notes:
    one line each, for people.
    """

    name: str
    result: Scores | None = None
    input: Scores | None = None
    seconds: float | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Measured:
    """A score and the pictures that were measured, uint8 (H, W, 3); None for those missing after a failure.

    before: only where a restoration was run; as it is shown, with its pixels enlarged and its hole in grey. icc: colour
    profiles of the pair's two files.
    """

    score: FileScore
    before: Picture | None = None
    after: Picture | None = None
    target: Picture | None = None
    icc: tuple[bytes | None, bytes | None] = (None, None)


@dataclass(frozen=True)
class Summary:
    """Means over the pictures that were measured (each picture counts the same), and how many failed."""

    count: int
    failed: int
    result: Scores | None
    input: Scores | None
    seconds: float | None

    @property
    def gain(self) -> float | None:
        """dB that the restoration added to the mean PSNR of the inputs."""
        return None if self.result is None or self.input is None else gain(self.input, self.result)


def gain(before: Scores, after: Scores) -> float:
    """dB gained; 0 where both pictures equal their target."""
    return 0.0 if before.psnr == after.psnr else after.psnr - before.psnr


def evaluate_pairs(
    pairs: Iterable[Pair], convention: Convention, restore: Restore | None = None, opener: Open = open_pair
) -> Iterator[FileScore]:
    """Measure each pair, one record at a time; a pair that fails yields its error and the next goes on.

    Without ``restore``, ``pair.input`` is the restored picture. With it, ``pair.input`` is restored, rounded to
    8 bit and measured, and so is the input itself, or its bicubic enlargement where the convention has a scale; then
    the target may have a few more rows and columns, which are cut off. opener: how a pair gets into memory.
    """
    yield from map(attrgetter("score"), measure_pairs(pairs, convention, restore, opener))


def measure_pairs(
    pairs: Iterable[Pair], convention: Convention, restore: Restore | None = None, opener: Open = open_pair
) -> Iterator[Measured]:
    """:func:`evaluate_pairs` with the pictures that were measured, for those who want to show them."""
    for pair in pairs:
        try:
            yield _evaluate(pair, convention, restore, opener)
        except FileFailure as error:
            yield Measured(FileScore(pair.name, error=str(error)))


def summarise(scores: Iterable[FileScore]) -> Summary:
    """Means over pictures; identical pictures (PSNR ``inf``) make the mean PSNR ``inf``."""
    scores = list(scores)
    done = [s for s in scores if s.result is not None]
    seconds = [s.seconds for s in done if s.seconds is not None]
    return Summary(
        count=len(done),
        failed=len(scores) - len(done),
        result=_mean([s.result for s in done if s.result is not None]),
        input=_mean([s.input for s in done if s.input is not None]),
        seconds=float(np.mean(seconds)) if seconds else None,
    )


def _evaluate(pair: Pair, convention: Convention, restore: Restore | None, opener: Open) -> Measured:
    case = opener(pair)
    if restore is None:
        return _finished(pair, case, convention)
    return next(restored_by_each(pair, case, convention, [restore]))


def _finished(pair: Pair, case: Case, convention: Convention) -> Measured:
    """Of a picture that is restored already."""
    result = to_8bit(case.photo.rgb)
    score = FileScore(pair.name, _measure(result, case.target, convention, case.mask), notes=case.notes)
    return Measured(score, None, result, case.target, case.icc)


def restored_by_each(pair: Pair, case: Case, convention: Convention, restores: Iterable[Restore]) -> Iterator[Measured]:
    """What each restoration makes of one pair, as :func:`measure_pairs` tells it. Raises FileFailure."""
    photo, mask, scale = case.photo, case.mask, convention.scale
    degraded = to_8bit(photo.rgb)
    target = case.target if scale == 1 else cut_to(case.target, photo, scale)
    first = _measure(degraded if scale == 1 else bicubic(photo, scale), target, convention, mask)
    before = shown(degraded, scale, mask)
    for restore in restores:
        start = time.perf_counter()
        result = restore(photo) if mask is None else restore(photo, mask)
        seconds = time.perf_counter() - start
        after = to_8bit(result)
        del result  # four times the size of what is kept
        score = FileScore(
            pair.name, _measure(after, target, convention, mask), first, seconds=seconds, notes=case.notes
        )
        yield Measured(score, before, after, target, case.icc)


def _measure(picture: Picture, target: Picture, convention: Convention, mask: Strength | None) -> Scores:
    """The scores. Pictures that cannot be compared are a failure of this pair only."""
    try:
        return convention.measure(picture, target, mask)
    except ValueError as error:
        raise FileFailure(str(error)) from error


def _mean(scores: Sequence[Scores]) -> Scores | None:
    if not scores:
        return None
    return Scores(
        float(np.mean([s.psnr for s in scores])),
        float(np.mean([s.ssim for s in scores])),
        {title: float(np.mean([s.others[title] for s in scores])) for title in scores[0].others},
        None if scores[0].hole is None else float(np.mean([s.hole for s in scores if s.hole is not None])),
    )


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
