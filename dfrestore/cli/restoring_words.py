"""What a run over files says of a photo before the work: how large it is and will be, its mask, its plan, the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfrestore.cli.report import duration, weight_of
from dfrestore.tasks import any_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dfrestore.methods import Network
    from dfrestore.restore import Settings, Started
    from dfrestore.restore.auto import AnyRestorer
    from dfrestore.restore.results import AnySettings


def what(settings: AnySettings, restorer: AnyRestorer) -> str:
    """``derain: model derain/compact, 1 step, seed 0``; of a chain, the tasks and all models."""
    from dfrestore.restore import Auto

    if isinstance(restorer, Auto):
        return f"{settings.task}: detector {restorer.detection.name}, to choose from {any_of(restorer.tasks, 'and')}"
    parts = [part.made_by(one.label) for part, one in zip(settings.parts, restorer.restorers, strict=True)]
    tasks = ",".join(part.task for part in settings.parts)
    name = " ".join(dict.fromkeys((settings.task, tasks)))
    return f"{name}: model{'s' if len(parts) > 1 else ''} {', then '.join(parts)}"


SLOW = 1.3  # times as long as without the user's tiles, from which it is said


def described(started: Started) -> str:
    """The plan, and of a single photo what its size and its mask are."""
    size = [sizes(started)] if started.result != started.size else []
    return "; ".join([*size, *_limits(started), started.plan])


def _limits(started: Started) -> tuple[str, ...]:
    """What the mask covers, where the photo may change, what of it is written; each in words, where there is one."""
    return (*((started.filled,) if started.filled else ()), *started.where.words)


def remarks(restorer: AnyRestorer, settings: AnySettings, trace: str | None) -> Iterator[str]:
    """What the user asked for and a model of the run has not; of several tasks, with its name. None where the models
    are chosen later.
    """
    from dfrestore.restore import Auto

    if isinstance(restorer, Auto):
        return
    for one, part in zip(restorer.restorers, settings.parts, strict=True):
        for remark in _remarks(one.network, part, trace):
            yield f"{part.task}: {remark}" if len(settings.parts) > 1 else remark


def _remarks(network: Network, settings: Settings, trace: str | None) -> Iterator[str]:
    """What the user asked for and this model has not: estimates to look at, members that differ by their seeds."""
    from dfrestore.restore.ensemble import turns_of

    if trace is not None and not network.from_noise:
        yield "--trace shows the photo and the result alone: this model makes it in one pass"
    elif trace is not None and settings.steps == 1:
        yield "--trace shows the noise and the result alone: a single step has nothing between; --steps 8 shows more"
    members, turns = settings.ensemble, turns_of(settings.task)
    if members > 1 and not network.from_noise:
        which = f"its {members} members differ" if members <= turns else f"of its {members} members {turns} differ,"
        yield f"--ensemble: this model hardly depends on the seed, so {which} by how the photo is turned"


def planned(started: Started) -> tuple[dict[str, Any], str]:
    """Of a dry run: the beginning of a photo's JSON object, and its line for people."""
    from dfrestore.restore.making import UNTOUCHED

    job = started.job
    item: dict[str, Any] = {"status": "planned", "input": str(job.input), "output": str(job.output)}
    item["size"] = list(started.result)
    if started.seconds is not None:
        item["expected_seconds"] = round(started.seconds, 1)
    if started.filled is not None:
        item["filled"] = started.filled
    item |= started.where.named
    if started.repair is not None:
        from dfrestore.restore.remedies import repair_as_json

        item |= {name: value for name, value in repair_as_json(started.repair).items() if value not in (None, [])}
        if not started.repair.planned:
            return item, f"would copy {job.input} ({sizes(started)}) to {job.output}; {started.repair.words}"
    if started.plan == UNTOUCHED:
        return item, f"would write {job.input} as it is ({sizes(started)}, large enough) to {job.output}"
    how = ", ".join([sizes(started), *_limits(started), f"{started.plan}{about(started)}"])
    found = f"; {started.repair.words}" if started.repair is not None else ""
    return item, f"would restore {job.input} ({how}) to {job.output}{found}"


def expected(first: Started, photos: Sequence[Path], processes: int) -> float | None:
    """How many seconds all photos will take, from the first one's time and the sizes of the files.

    Several processes share the photos, each as soon as it is free; the first photo takes its own time all the same.
    """
    if first.seconds is None:
        return None
    one_by_one = first.seconds * sum(map(weight_of, photos)) / weight_of(first.job.input)
    return max(first.seconds, one_by_one / processes)


def repair_planned(started: Started) -> str:
    """``found: rain 0.80 -> derain; whole image, about 0.5 GB, about 2.0 s``; without a plan where nothing is done."""
    assert started.repair is not None
    plan = f"; {described(started)}{about(started)}" if started.repair.planned else ""
    return started.repair.words + plan


def sizes(started: Started) -> str:
    """``600x400``, or ``600x400 -> 2400x1600``."""
    before, after = (f"{width}x{height}" for width, height in (started.size, started.result))
    return before if before == after else f"{before} -> {after}"


def about(started: Started, seconds: float | None = None, photos: int = 1) -> str:
    """``, about 5.0 s``, or ``, about 5.0 s for 3 photos``; nothing where that is unknown. seconds: of all photos.

    Where the user's tiles make it slow, that is said.
    """
    seconds = started.seconds if seconds is None else seconds
    if seconds is None:
        return ""
    slow = started.slowdown
    why = f", {slow:.1f} times as long as without --tile" if slow is not None and slow >= SLOW else ""
    return f", about {duration(seconds)}{f' for {photos} photos' if photos > 1 else ''}{why}"
