"""Several restorations of one picture as one: how each member is turned, their mean, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from dfrestore.engine import Progress
from dfrestore.restore.flow import tapped
from dfrestore.restore.images import Rgb
from dfrestore.tasks import is_upright

if TYPE_CHECKING:
    from torch import Tensor

Made = TypeVar("Made")

# First the turns that keep lines upright.
_QUARTERS = (0, 2, 1, 3)
_ROWS = 256


@dataclass(frozen=True)
class Turn:
    """A picture mirrored left to right where ``mirrored``, then turned by quarters counterclockwise."""

    mirrored: bool
    quarters: int

    def apply(self, rgb: Rgb) -> Rgb:
        """A view of (H, W, ...), or of (W, H, ...) after an odd number of quarters."""
        return np.rot90(rgb[:, ::-1] if self.mirrored else rgb, self.quarters)

    def undo(self, rgb: Rgb) -> Rgb:
        """A view; the way back from :meth:`apply`."""
        back = np.rot90(rgb, -self.quarters)
        return back[:, ::-1] if self.mirrored else back

    def undo_planes(self, planes: Tensor) -> Tensor:
        """:meth:`undo` for a tensor (C, H, W); a copy."""
        back = planes.rot90(-self.quarters, (1, 2))
        return back.flip(2) if self.mirrored else back


def turn_of(member: int, task: str) -> Turn:
    """Member 0 is plain, 1 mirrored; 2 and 3 the same upside down; 4 to 7 the same after one and three quarter turns.

    Then again from 0. Upright tasks (see :class:`dfrestore.tasks.Task`) have the first four only.
    """
    return Turn(member % 2 == 1, _QUARTERS[member % turns_of(task) // 2])


def turns_of(task: str) -> int:
    """How many turns there are for a task."""
    return 4 if is_upright(task) else 8


class Tally:
    """The running mean of members, float32 (H, W, 3), and on request their spread (Welford 1962).

    Memory for one picture, or two with the spread, however many members.
    """

    def __init__(self, *, spread: bool) -> None:
        self.count = 0
        self._mean: Rgb | None = None
        self._squares: Rgb | None = None  # summed squares of the distances from the mean
        self._wanted = spread

    @property
    def mean(self) -> Rgb:
        """A single member itself; read it after the last :meth:`add`."""
        assert self._mean is not None
        return self._mean

    def add(self, member: Rgb) -> None:
        """One more, float32 (H, W, 3). A few rows at a time, so that temporaries do not count."""
        self.count += 1
        if self._mean is None:
            self._mean = member
            return
        if self.count == 2:
            self._mean = self._mean.copy()  # the first member is the caller's
            self._squares = np.zeros_like(self._mean) if self._wanted else None
        for top in range(0, member.shape[0], _ROWS):
            rows = slice(top, top + _ROWS)
            distance = member[rows] - self._mean[rows]
            self._mean[rows] += distance / np.float32(self.count)
            if self._squares is not None:
                self._squares[rows] += distance * (member[rows] - self._mean[rows])

    def spread(self) -> NDArray[np.float32] | None:
        """Standard deviation over the members (by n - 1), the largest of the channels: (H, W); None if not wanted."""
        if self._squares is None:
            return None
        spread: NDArray[np.float32] = np.sqrt(self._squares.max(axis=2) / np.float32(self.count - 1))
        return spread


def as_member(
    work: Generator[Progress, None, Made], member: int, members: int, turn: Turn
) -> Generator[Progress, None, tuple[Made, float]]:
    """One member's work, its progress counted over all members, its estimates upright.

    Returns (the work's value, evaluations of all members). The last record of the last member is left out, since the
    result is the mean of all.
    """
    total = 0.0

    def counted(state: Progress) -> Progress | None:
        nonlocal total
        total = members * state.total
        if member == members - 1 and state.done == state.total:
            return None
        done = member * state.total + state.done
        x_t = None if state.x_t is None else turn.undo_planes(state.x_t)
        return Progress(done, total, None if state.estimate is None else turn.undo(state.estimate), x_t)

    made = yield from tapped(work, counted)
    return made, total
