"""What a run over files says of a photo before the work: how large it is and will be, its mask, its plan, the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfrestore.cli.report import duration

if TYPE_CHECKING:
    from dfrestore.restore import Started


def described(started: Started) -> str:
    """The plan, and of a single photo what its size and its mask are."""
    size = f"{sizes(started)}; " if started.result != started.size else ""
    return f"{size}{started.filled + '; ' if started.filled else ''}{started.plan}"


def planned(started: Started) -> tuple[dict[str, Any], str]:
    """Of a dry run: the beginning of a photo's JSON object, and its line for people."""
    from dfrestore.restore.batch import UNTOUCHED

    job = started.job
    item: dict[str, Any] = {"status": "planned", "input": str(job.input), "output": str(job.output)}
    item["size"] = list(started.result)
    if started.seconds is not None:
        item["expected_seconds"] = round(started.seconds, 1)
    if started.filled is not None:
        item["filled"] = started.filled
    if started.plan == UNTOUCHED:
        return item, f"would write {job.input} as it is ({sizes(started)}, large enough) to {job.output}"
    how = f"{sizes(started)}, {started.filled + ', ' if started.filled else ''}{started.plan}{about(started.seconds)}"
    return item, f"would restore {job.input} ({how}) to {job.output}"


def sizes(started: Started) -> str:
    """``600x400``, or ``600x400 -> 2400x1600``."""
    before, after = (f"{width}x{height}" for width, height in (started.size, started.result))
    return before if before == after else f"{before} -> {after}"


def about(seconds: float | None, photos: int = 1) -> str:
    """``, about 5.0 s``, or ``, about 5.0 s for 3 photos``; nothing where that is unknown."""
    if seconds is None:
        return ""
    return f", about {duration(seconds)}" + (f" for {photos} photos" if photos > 1 else "")
