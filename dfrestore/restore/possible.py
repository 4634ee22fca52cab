"""What is asked of a model against what it can do, before anything else is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore import windows
from dfrestore.errors import UsageError
from dfrestore.tasks import any_of
from dfrestore.weights import read_spec

if TYPE_CHECKING:
    from dfrestore.methods import Network


def possible_steps(network: Network, steps: int) -> int:
    """``steps``. Raises :class:`UsageError` for what the network cannot do; it names what it can."""
    possible = network.steps
    if steps not in possible:
        known = f"from {possible[0]} to {possible[-1]}" if isinstance(possible, range) else _listed(possible)
        raise UsageError(f"--steps is {known} for this model, not {steps}")
    return steps


def possible_window(network: Network, window: windows.WindowSetting) -> windows.WindowSetting:
    """The setting in its canonical form. Raises :class:`UsageError`, also for levels that the network does not have."""
    setting = windows.requested_window(window, "--window")
    parsed = windows.parse(setting)
    if parsed is not None and not set(parsed.levels) <= set(network.levels):
        raise UsageError(f"--window {setting}: this network has the levels {_listed(network.levels, 'and')}")
    return setting


def check_possible(file: Path, steps: int | None, window: windows.WindowSetting | None) -> None:
    """Raise :class:`UsageError` for steps or a window that the model in ``file`` cannot do. Its tensors are not read.

    None is always possible: it stands for the model's own.
    """
    if steps is None and window is None:
        return
    from dfrestore.methods import outline  # with torch, which a run that finds all done does without

    network = outline(read_spec(file))
    if steps is not None:
        possible_steps(network, steps)
    if window is not None:
        possible_window(network, window)


def _listed(numbers: Sequence[int], last: str = "or") -> str:
    return any_of(map(str, numbers), last)
