"""One photo of a run that chooses the tasks itself: looked at, repaired, and what was taken back said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
from dfrestore.restore.remedies import NOTHING, Remedy, Repair
from dfrestore.restore.results import AnySettings, Settings, Started
from dfrestore.restore.shown import extras_of
from dfrestore.restore.source import Source, result_size
from dfrestore.restore.work import with_known
from dfrestore.severities import DAMAGES
from dfrestore.tasks import TASKS


@dataclass(frozen=True)
class _Planned:
    """What a look at a photo says is to be done. size: of the result."""

    job: Job
    source: Source
    auto: Auto
    settings: AnySettings
    repair: Repair
    size: ResultSize

    def part(self, remedy: Remedy) -> Settings:
        """The task's own settings, as strong as the damage needs it."""
        (own,) = (part for part in self.settings.parts if part.task == remedy.task)
        return replace(own, strength=round(own.strength * remedy.strength, 3))

    def steps(self, remedies: Iterable[Remedy]) -> list[Step]:
        tasks = ((self.auto.restorer(remedy.task), self.part(remedy)) for remedy in remedies)
        return steps_for(self.job, self.source, tasks, self.settings, self.size)

    def started(self, steps: Sequence[Step]) -> Started:
        if not steps:
            height, width = self.source.photo.size
            size, where = (width, height), self.source.where
            return Started(self.job, size, size, NOTHING, True, 0.0, where=where, repair=self.repair)
        seconds = [step.seconds for step in steps]
        return started(self.job, self.source, self.size, steps, seconds, self.repair)


def repaired(job: Job, source: Source, max_pixels: int, auto: Auto, settings: AnySettings, watch: WatchJob) -> Work:
    """What the photo needs of the tasks of the settings; one that needs nothing keeps its file."""
    plan = _plan(job, source, max_pixels, auto, settings)
    steps = plan.steps(plan.repair.planned)
    yield plan.started(steps)
    if not steps:
        return replace(as_it_is(job, source, settings, auto, NOTHING), repair=plan.repair)
    outcome, repair = yield from auto.done(
        source.photo.rgb,
        steps,
        plan.repair,
        plan.steps,
        seconds=[step.seconds for step in steps],
        watch=watched(job, watch),
        name=str(job.input),
    )
    notes = (*notes_on(plan.size), *_beside_the_plan(plan.repair, repair))
    if not repair.changed:
        return replace(as_it_is(job, source, settings, auto, f"{NOTHING}: all was taken back", notes), repair=repair)
    limit = limit_of(source, settings)
    if limit is not None:
        outcome = replace(outcome, rgb=with_known(outcome.rgb, source.photo.rgb, limit))
    kept = {one.task for one in repair.tried if one.kept}
    done = [remedy for remedy in repair.planned if remedy.task in kept]
    restorers, parts = [auto.restorer(remedy.task) for remedy in done], [plan.part(remedy) for remedy in done]
    extras = extras_of(job, source, outcome, made_by(restorers, parts), parts[-1].ensemble, None)
    label = ", ".join(one.label for one in restorers)
    return Restoration(job, source, outcome, notes, extras, label, repair=repair)


def expected_repair(job: Job, source: Source, max_pixels: int, auto: Auto, settings: AnySettings) -> Started:
    """What :func:`repaired` would begin with."""
    plan = _plan(job, source, max_pixels, auto, settings)
    return replace(plan.started(plan.steps(plan.repair.planned)), notes=notes_on(plan.size))


def _plan(job: Job, source: Source, max_pixels: int, auto: Auto, settings: AnySettings) -> _Planned:
    repair = auto.planned(source.photo.rgb)
    native = max((auto.restorer(remedy.task).network.scale for remedy in repair.planned), default=1)
    size = result_size(job, source, settings, native, max_pixels)
    if size.untouched:
        kept = tuple(remedy for remedy in repair.planned if not TASKS[remedy.task].scale)
        repair = replace(repair, planned=kept)
    return _Planned(job, source, auto, settings, repair, size)


def _beside_the_plan(planned: Repair, done: Repair) -> Iterator[str]:
    for remedy in done.planned[len(planned.planned) :]:
        yield f"{DAMAGES[remedy.damage].words} {remedy.severity:.2f} was seen only then: {remedy.words}"
    for one in done.tried:
        if not one.kept:
            yield f"{one.task} was {one.result}: {one.why}"
