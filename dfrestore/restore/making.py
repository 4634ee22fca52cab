"""One photo's result made, not yet written: its size, the steps that lead there, the work, the pictures beside it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dfrestore import photo
from dfrestore.errors import OutOfMemoryFailure
from dfrestore.photo.target_size import ResultSize
from dfrestore.restore.chain import Chain, Step, described, in_turn, planned_steps, slowdown, total
from dfrestore.restore.needs import Needs
from dfrestore.restore.planning import Job
from dfrestore.restore.remedies import Repair
from dfrestore.restore.restorer import Outcome
from dfrestore.restore.results import AnySettings, Settings, Started
from dfrestore.restore.shown import extras_of, written_size
from dfrestore.restore.source import Source, can_be_copied, result_size
from dfrestore.restore.trace import Trace
from dfrestore.restore.work import with_known

if TYPE_CHECKING:
    from dfrestore.engine import Progress, Watch
    from dfrestore.restore.auto import AnyRestorer
    from dfrestore.restore.images import Mask
    from dfrestore.restore.restorer import Restorer

UNTOUCHED = "large enough as it is"

Work: TypeAlias = "Generator[Started | Progress, None, Restoration]"
WatchJob: TypeAlias = "Callable[[Job, float], object] | None"


@dataclass(frozen=True)
class Restoration:
    """A photo that has been restored but not yet written.

    notes: on its size, and on steps that were taken back. label: the models that made it. as_it_is: its file is copied.
    repair: of a run that chose the tasks itself.
    """

    job: Job
    source: Source
    outcome: Outcome
    notes: tuple[str, ...]
    extras: dict[Path, bytes]
    label: str
    as_it_is: bool = False
    repair: Repair | None = None


def restored(
    job: Job,
    source: Source,
    max_pixels: int,
    restorer: Restorer | Chain,
    settings: AnySettings,
    watch: WatchJob,
) -> Work:
    """All tasks of the settings, with what the files beside the result show."""
    size = result_size(job, source, settings, native_scale(restorer), max_pixels)
    notes = notes_on(size)
    steps = steps_for(job, source, zip(restorer.restorers, settings.parts, strict=True), settings, size)
    if not steps:
        return as_it_is(job, source, settings, restorer, UNTOUCHED, notes)
    seconds = [step.seconds for step in steps]
    yield started(job, source, size, steps, seconds)
    work = in_turn(
        source.photo.rgb,
        steps,
        seconds=seconds,
        watch=watched(job, watch),
        name=str(job.input),
    )
    trace = None
    if job.extras.trace is not None:
        trace = _trace(source, steps[0])
        work = trace.watch(work)
    outcome: Outcome = yield from work
    limit = limit_of(source, settings)
    if limit is not None:
        outcome = replace(outcome, rgb=with_known(outcome.rgb, source.photo.rgb, limit))
    members = settings.parts[-1].ensemble
    extras = extras_of(job, source, outcome, made_by(restorer.restorers, settings.parts), members, trace)
    return Restoration(job, source, outcome, notes, extras, restorer.label)


def as_it_is(
    job: Job,
    source: Source,
    settings: AnySettings,
    restorer: AnyRestorer,
    why: str,
    notes: tuple[str, ...] = (),
) -> Restoration:
    """A photo to which nothing is done; ``why`` stands in the place of a plan."""
    outcome = Outcome(source.photo.rgb, why, restorer.precision.name, ())
    extras = extras_of(job, source, outcome, why, 1, None)
    return Restoration(job, source, outcome, notes, extras, restorer.label, can_be_copied(job, source, settings))


def watched(job: Job, watch: WatchJob) -> Watch | None:
    return None if watch is None else lambda done, total: watch(job, done / total)


def limit_of(source: Source, settings: AnySettings) -> Mask | None:
    """Where the result of several tasks is blended with the photo, once for all; a single task does it itself."""
    return source.mask if settings.chained and not settings.fills else None


def native_scale(restorer: Restorer | Chain) -> int:
    """How many times the result is larger where no size is asked for."""
    return max(one.network.scale for one in restorer.restorers)


def notes_on(size: ResultSize) -> tuple[str, ...]:
    if size.untouched:
        return (f"{UNTOUCHED}; not enlarged",)
    return (size.note,) if size.note else ()


def steps_for(
    job: Job,
    source: Source,
    tasks: Iterable[tuple[Restorer, Settings]],
    settings: AnySettings,
    size: ResultSize,
) -> list[Step]:
    """What is to be done to a photo: these tasks, but none that would enlarge what is large enough.

    settings: of the whole run.
    """
    restorers: list[Restorer] = []
    options: list[dict[str, Any]] = []
    encoding = photo.encoding_bytes(source.format, source.photo.origin.bits, size.height, size.width)
    now, alone = source.photo.size, not settings.chained
    limited = limit_of(source, settings) is not None
    for one, part in tasks:
        enlarges = alone or part.enlarges or one.network.scale > 1
        if enlarges and size.untouched:
            continue
        now = size.size if enlarges else now
        mask = source.mask if alone or part.fills else None
        spread = job.extras.uncertainty is not None
        blended = part.strength < 1 or part.keep_color or mask is not None or limited
        restorers.append(one)
        options.append(
            {
                "needs": Needs(now, part.ensemble, spread, blended, encoding),
                "steps": part.steps,
                "seed": part.seed,
                "tile": part.tile,
                "strength": part.strength,
                "ensemble": part.ensemble,
                "spread": spread,
                "keep_color": part.keep_color,
                "mask": mask,
                "size": now,
                "finish": part.finish,
            }
        )
    try:
        return planned_steps(restorers, options, *source.photo.size)
    except OutOfMemoryFailure as error:
        raise OutOfMemoryFailure(f"{job.input}: {error}") from error


def _trace(source: Source, step: Step) -> Trace:
    noise = step.restorer.noise(step.height, step.width, step.options["seed"])
    return Trace(source.photo, noise, steps=step.steps, members=step.options["ensemble"], mask=source.mask)


def made_by(restorers: Sequence[Restorer], parts: Sequence[Settings]) -> str:
    """For captions. A model is called by its name, or its file's, whose folders tell nothing there."""
    labels = [one.label for one in restorers]
    short = [Path(label).name if Path(label).suffix else label for label in labels]
    return ", ".join(short) if len(short) > 1 else parts[0].made_by(short[0])


def started(
    job: Job,
    source: Source,
    result: ResultSize,
    steps: Sequence[Step],
    seconds: Sequence[float | None],
    repair: Repair | None = None,
) -> Started:
    height, width = source.photo.size
    written = written_size(source, result.size)
    return Started(
        job,
        (width, height),
        (written[1], written[0]),
        described(steps),
        whole=all(step.plan.kind == "whole" for step in steps),
        seconds=total(seconds),
        filled=source.filled,
        where=source.where,
        slowdown=slowdown(steps),
        repair=repair,
    )


def expected(job: Job, source: Source, max_pixels: int, restorer: Restorer | Chain, settings: AnySettings) -> Started:
    """What :func:`restored` would begin with."""
    size = result_size(job, source, settings, native_scale(restorer), max_pixels)
    steps = steps_for(job, source, zip(restorer.restorers, settings.parts, strict=True), settings, size)
    if not steps:
        written = written_size(source, size.size)[::-1]
        return Started(
            job, (size.width, size.height), written, UNTOUCHED, True, 0.0, where=source.where, notes=notes_on(size)
        )
    return replace(started(job, source, size, steps, [step.seconds for step in steps]), notes=notes_on(size))
