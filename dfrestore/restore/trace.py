"""A restoration as an animation: from step to step what the sampler holds, and what it takes the photo to be.

The estimate of the first step is blurred, and those of the last ones are all alike: it jumps, where the state x_t goes
evenly from noise to photo. So both are shown, the state first. Models that begin with no noise have an estimate alone.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dfrestore.photo import Photo
from dfrestore.photo.encode import quantise
from dfrestore.photo.enlarged import with_pixels
from dfrestore.photo.view import size_within, view
from dfrestore.restore.flow import tapped
from dfrestore.restore.images import Mask, Rgb, of_planes
from dfrestore.restore.work import with_known

if TYPE_CHECKING:
    from dfrestore.engine import Progress
    from dfrestore.restore.restorer import Outcome

SIDE = 800
"""Of a frame of a single picture, at most, in pixels."""
HALF = 600
"""Of each picture in a frame of two."""
MOST = 100
"""Frames between start and result; of more steps, only every second, third ... is shown."""
_START, _STEP, _STEPS, _RESULT = 600, 400, 8000, 3000  # milliseconds, _STEPS for all together at most
_FASTEST = 40
_GAP = 6  # between two pictures, in pixels


class Trace:
    """Gathers the frames of one photo as it is restored. Of an ensemble, the first member's and the common result."""

    def __init__(self, taken: Photo, noise: Rgb | None, *, steps: int, members: int, mask: Mask | None = None) -> None:
        """noise: x_T as a picture, (H, W, 3) in [0, 1]; None for models that start from none.

        mask: (H, W); where it is 0, the estimates are the photo too.
        """
        self._taken = taken
        self._members = members
        self._mask = mask
        self._every = -(-steps // MOST)
        self._side = SIDE if noise is None else HALF
        self._seen, self._done = 0, 0.0
        self._start = self._frame(None if noise is None else _thinned(noise, HALF), taken.rgb)
        self._estimates: list[Image.Image] = []

    def watch(self, work: Generator[Progress, None, Outcome]) -> Generator[Progress, None, Outcome]:
        """The same work; begins anew where the work does, in another plan or precision."""
        return tapped(work, self._seeing)

    def _seeing(self, state: Progress) -> Progress:
        if state.done * self._members < state.total:
            self._take(state)
        return state

    def _take(self, state: Progress) -> None:
        if state.done <= self._done:
            self._estimates.clear()
            self._seen = 0
        self._done = state.done
        if state.estimate is None:
            return
        self._seen += 1
        if self._seen % self._every == 0:
            height, width = state.estimate.shape[:2]
            x_t = None if state.x_t is None else _thinned(of_planes(state.x_t[:, :height, :width]), HALF)
            self._estimates.append(self._frame(x_t, with_known(state.estimate, self._taken.rgb, self._mask)))

    def _frame(self, state: Image.Image | None, rgb: Rgb) -> Image.Image:
        """The state, where there is one, beside the picture or above it."""
        shown = view(rgb, with_pixels(self._taken, rgb).alpha, self._taken.origin.icc, self._side)
        if state is None:
            return shown
        width, height = shown.size
        place = (width + _GAP, 0) if width <= height else (0, height + _GAP)
        frame = Image.new("RGB", (place[0] + width, place[1] + height), "white")
        frame.paste(state.resize(shown.size, Image.Resampling.NEAREST))
        frame.paste(shown, place)
        return frame

    def encoded(self, result: Rgb, place: str) -> bytes:
        """WebP or GIF, by the ending of ``place``; it plays again and again, and rests on the result."""
        last = self._frame(_thinned(result, HALF) if self._side == HALF else None, result)
        before = [self._start, *self._estimates]
        frames = [*(frame.resize(last.size, Image.Resampling.NEAREST) for frame in before), last]
        pause = max(_FASTEST, min(_STEP, _STEPS // max(1, len(self._estimates))))
        durations = [_START, *[pause] * len(self._estimates), _RESULT]
        webp = place.lower().endswith(".webp")
        first, *rest = frames if webp else map(_in_palette, frames)
        options = {"quality": 85, "method": 4} if webp else {"optimize": False, "disposal": 1}
        buffer = io.BytesIO()
        first.save(
            buffer,
            "WEBP" if webp else "GIF",
            save_all=True,
            append_images=rest,
            duration=durations,
            loop=0,
            **options,
        )
        return buffer.getvalue()


def _thinned(rgb: Rgb, side: int) -> Image.Image:
    """Some of the pixels, none smoothed, since means of noise are grey."""
    height, width = rgb.shape[:2]
    wide, high = size_within((width, height), side)
    rows, columns = np.arange(high) * height // high, np.arange(wide) * width // wide
    return Image.fromarray(quantise(rgb[rows][:, columns], 8, grey=False))


def _in_palette(frame: Image.Image) -> Image.Image:
    """256 colours of its own, dithered: skies keep their gradients."""
    return frame.quantize(palette=frame.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
