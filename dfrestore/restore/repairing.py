"""One photo of a run that chooses the tasks itself: looked at, repaired, and what was taken back said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dfrestore.photo.target_size import ResultSize
from dfrestore.restore.auto import Auto
from dfrestore.restore.chain import Step
from dfrestore.restore.making import (
    Restoration,
    WatchJob,
    Work,
    as_it_is,
    limit_of,
    made_by,
    notes_on,
    started,
    steps_for,
    watched,
)
from dfrestore.restore.planning import Job
from dfrestore.restore.remedies import NOTHING, Repair
from dfrestore.restore.restorer import Restorer
from dfrestore.restore.results import AnySettings, Settings, Started
from dfrestore.restore.shown import extras_of
from dfrestore.restore.source import Source, result_size
from dfrestore.restore.work import with_known
from dfrestore.tasks import TASKS


@dataclass(frozen=True)
class _Planned:
    """What a look at a photo says is to be done."""

    repair: Repair
    size: ResultSize
    restorers: tuple[Restorer, ...]
    parts: tuple[Settings, ...]
    steps: list[Step]

    def started(self, job: Job, source: Source) -> Started:
        if not self.steps:
            height, width = source.photo.size
            size = (width, height)
            return Started(job, size, size, NOTHING, True, 0.0, where=source.where, repair=self.repair)
        seconds = [step.seconds for step in self.steps]
        return started(job, source, self.size, self.steps, seconds, self.repair)


def repaired(job: Job, source: Source, max_pixels: int, auto: Auto, settings: AnySettings, watch: WatchJob) -> Work:
    """What the photo needs of the tasks of the settings; one that needs nothing keeps its file."""
    plan = _plan(job, source, max_pixels, auto, settings)
    yield plan.started(job, source)
    if not plan.steps:
        return replace(as_it_is(job, source, settings, auto, NOTHING), repair=plan.repair)
    work = auto.done(
        source.photo.rgb,
        plan.steps,
        plan.repair,
        seconds=[step.seconds for step in plan.steps],
        watch=watched(job, watch),
        name=str(job.input),
    )
    outcome, repair = yield from work
    notes = (*notes_on(plan.size), *_taken_back(repair))
    if not repair.changed:
        return replace(as_it_is(job, source, settings, auto, f"{NOTHING}: all was taken back", notes), repair=repair)
    limit = limit_of(source, settings)
    if limit is not None:
        outcome = replace(outcome, rgb=with_known(outcome.rgb, source.photo.rgb, limit))
    kept = {one.task for one in repair.tried if one.kept}
    restorers = [one for one in plan.restorers if one.spec.task in kept]
    parts = [part for part in plan.parts if part.task in kept]
    extras = extras_of(job, source, outcome, made_by(restorers, parts), parts[-1].ensemble, None)
    label = ", ".join(one.label for one in restorers)
    return Restoration(job, source, outcome, notes, extras, label, repair=repair)


def expected_repair(job: Job, source: Source, max_pixels: int, auto: Auto, settings: AnySettings) -> Started:
    """What :func:`repaired` would begin with."""
    plan = _plan(job, source, max_pixels, auto, settings)
    return replace(plan.started(job, source), notes=notes_on(plan.size))


def _plan(job: Job, source: Source, max_pixels: int, auto: Auto, settings: AnySettings) -> _Planned:
    severities = auto.detection.look(source.photo).severities
    planned, unmet = auto.plan(severities)
    native = max((auto.restorer(remedy.task).network.scale for remedy in planned), default=1)
    size = result_size(job, source, settings, native, max_pixels)
    if size.untouched:
        planned = tuple(remedy for remedy in planned if not TASKS[remedy.task].scale)
    own = {part.task: part for part in settings.parts}
    restorers = tuple(auto.restorer(remedy.task) for remedy in planned)
    parts = tuple(
        replace(own[remedy.task], strength=round(own[remedy.task].strength * remedy.strength, 3)) for remedy in planned
    )
    steps = steps_for(job, source, zip(restorers, parts, strict=True), settings, size)
    return _Planned(Repair(tuple(severities.items()), planned, unmet=unmet), size, restorers, parts, steps)


def _taken_back(repair: Repair) -> Iterator[str]:
    for one in repair.tried:
        if not one.kept:
            yield f"{one.task} was {one.result}: {one.why}"
