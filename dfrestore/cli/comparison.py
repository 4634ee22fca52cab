"""``dfrestore evaluate`` with several models: which go together, and what is told of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dfrestore.cli.page import how
from dfrestore.errors import UsageError, one_line

if TYPE_CHECKING:
    from dfrestore.restore import Restorer

MOST = 3
"""So many models fit beside each other in a table, and in a page."""

_OWN = ("model", "steps")  # told of each model, though they may be the same


def check_models(models: Sequence[str | None]) -> None:
    """Raises UsageError for more models than can be compared."""
    if len(models) > MOST:
        raise UsageError(f"--model is given {len(models)} times; at most {MOST} models are compared in one run")


def check_scales(restorers: Sequence[Restorer]) -> None:
    """Raises UsageError for models whose results differ in size, and so in their pairs."""
    first = restorers[0]
    for other in restorers[1:]:
        if other.network.scale != first.network.scale:
            raise UsageError(
                f"{first.label} enlarges by {first.network.scale}, {other.label} by {other.network.scale}; "
                "compare models that enlarge alike"
            )


def parted(abouts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is told of all models together, and of each by itself; of one model, or none, the latter is empty."""
    if len(abouts) < 2:
        return (dict(abouts[0]) if abouts else {}), []
    first, *others = abouts
    alike = [key for key in first if key not in _OWN and all(other.get(key) == first[key] for other in others)]
    return {key: first[key] for key in alike}, [
        {key: value for key, value in about.items() if key not in alike} for about in abouts
    ]


def labels(own: Sequence[Mapping[str, Any]], seed: int) -> list[str]:
    """Each model in words: ``derain/compact, 1 step, seed 0``."""
    made_by = [how(one_line(about["model"]), about["steps"], seed) for about in own]
    more = [", ".join(f"{key} {value}" for key, value in about.items() if key not in _OWN) for about in own]
    return [f"{label}, {words}" if words else label for label, words in zip(made_by, more, strict=True)]
