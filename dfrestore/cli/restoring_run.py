"""One run of a command that restores files: its options checked, its files planned, its events shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dfrestore.cli.ending import INTERRUPTED, TERMINATED, Ended, Terminated
from dfrestore.cli.name_option import template_of
from dfrestore.cli.page import page_path
from dfrestore.cli.report import Report, weight_of
from dfrestore.cli.restoring_models import identity_of, loaded, named_models, naming, steps_of
from dfrestore.cli.restoring_values import Looking, Options, Parsed
from dfrestore.cli.restoring_words import about, described, expected, planned, remarks, repair_planned, what
from dfrestore.cli.run_page import RunPage
from dfrestore.errors import one_line
from dfrestore.files import STREAM
from dfrestore.processes import PeerFailed
from dfrestore.tasks import DETECT
from dfrestore.threads import use_threads

if TYPE_CHECKING:
    from dfrestore.restore import FilePlan, FileResult, Job, Settings, Started
    from dfrestore.restore.auto import AnyRestorer
    from dfrestore.restore.extras import Extras
    from dfrestore.restore.results import AnySettings
    from dfrestore.restore.shares import Crew
    from dfrestore.restore.todo import Records
    from dfrestore.weights import Resolved


def run(
    task: str,
    crew: Crew,
    options: Options,
    chain: Sequence[tuple[str, Options]] = (),
    looking: Looking | None = None,
) -> None:
    """Run the command. chain: tasks in turn, each with options that may differ in what is of one task; else ``task``.

    looking: of a run that chooses from these tasks for each photo.
    Raises UsageError, :class:`Ended` after a signal, and ``typer.Exit`` for other exit codes.
    """
    steps: list[_Step] = []
    for name, own in chain or ((task, options),):
        with naming(name if chain else None):
            steps.append(_Step(name, own, Parsed.of(own, name)))
    parsed = next((step.parsed for step in steps if step.parsed.masks is not None), steps[0].parsed)
    find = cache(lambda: crew.in_turn(lambda: [step.resolved() for step in steps]))  # once
    plan = _plan(options, task, parsed, steps, find)
    detector = None if looking is None else crew.in_turn(lambda: _detector(looking))
    report = Report(
        quiet=options.quiet,
        as_json=options.as_json,
        inputs=len(plan.jobs) + len(plan.failures),
        paths=options.out != STREAM,
        task=task,
    )
    resolved = find()
    _check_possible(steps, resolved, chained=bool(chain))
    outputs = [path for job in plan.jobs for path in (job.output, *job.extras.places.values())]
    page = page_path(options.page, map(Path, options.inputs), outputs, overwrite=options.overwrite)
    settings = _settings(steps, resolved, plan, chained=bool(chain))
    if looking is not None and detector is not None:
        settings = _choosing(settings, looking, identity_of(detector, plan))
    work = _Run(plan, settings, report, resolved, options, parsed, crew, detector)
    if page is not None and crew.first and not options.dry_run:
        work.page = RunPage(
            page, report, plan, settings, resolved, overwrite=options.overwrite, max_pixels=parsed.pixels
        )
    code = work.execute()
    if code in (INTERRUPTED, TERMINATED):
        raise Ended(code)
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True)
class _Step:
    """One task, and the options for it."""

    task: str
    options: Options
    parsed: Parsed

    def resolved(self) -> Resolved:
        from dfrestore.weights import on_base, resolve

        found = resolve(self.options.model, task=self.task, factor=self.parsed.size.factor)
        return on_base(found, self.options.base)


def _plan(
    options: Options, task: str, parsed: Parsed, steps: Sequence[_Step], find: Callable[[], Sequence[Resolved]]
) -> FilePlan:
    """find: the models, which are part of some names."""
    from dfrestore.restore import plan_files
    from dfrestore.restore.streams import is_stream, plan_stream

    if is_stream(options.inputs, options.out):
        return plan_stream(options.inputs, options.out, task, fmt=parsed.format, masks=parsed.masks)
    return plan_files(
        options.inputs,
        options.out,
        task,
        fmt=parsed.format,
        recursive=options.recursive,
        extras=options.extras,
        masks=parsed.masks,
        template=template_of(
            options.name, task, [step.options.seed for step in steps], [step.options.steps for step in steps], find
        ),
        preview=parsed.preview is not None,
    )


def _check_possible(steps: Sequence[_Step], resolved: Sequence[Resolved], *, chained: bool) -> None:
    """Raise UsageError for what a model cannot do."""
    from dfrestore.restore.possible import check_possible

    for step, model in zip(steps, resolved, strict=True):
        with naming(step.task if chained else None):
            check_possible(model.path, step.options.steps, step.parsed.window)


def _settings(steps: Sequence[_Step], resolved: Sequence[Resolved], plan: FilePlan, *, chained: bool) -> AnySettings:
    from dfrestore.restore import ChainSettings

    parts: list[Settings] = []
    for step, model in zip(steps, resolved, strict=True):
        with naming(step.task if chained else None):
            parts.append(_settings_of(step.options, step.parsed, step.task, model, plan))
    return ChainSettings(tuple(parts)) if chained else parts[0]


def _detector(looking: Looking) -> Resolved:
    from dfrestore.weights import resolve

    return resolve(looking.detector, task=DETECT)


def _choosing(settings: AnySettings, looking: Looking, detector: str) -> AnySettings:
    from dfrestore.restore import AutoSettings

    return AutoSettings(settings.parts, detector=detector, skip_clean=looking.skip_clean)


def _settings_of(options: Options, parsed: Parsed, task: str, resolved: Resolved, plan: FilePlan) -> Settings:
    from dfrestore.restore import Settings

    return Settings(
        task=task,
        model=identity_of(resolved, plan),
        steps=steps_of(options.steps, resolved),
        seed=options.seed,
        precision=options.precision,
        window=parsed.window,
        tile=options.tile,
        strength=options.strength,
        format=parsed.format,
        quality=options.quality,
        strip_metadata=options.strip_metadata,
        ensemble=options.members,
        keep_color=options.keep_color,
        size=parsed.size,
        masking=parsed.masking,
        finish=parsed.finish,
        preview=parsed.preview,
    )


@dataclass
class _Run:
    """One run of the command, once its arguments are checked."""

    plan: FilePlan
    settings: AnySettings
    report: Report
    resolved: Sequence[Resolved]
    options: Options
    parsed: Parsed
    crew: Crew
    detector: Resolved | None = None
    page: RunPage | None = None

    def execute(self) -> int:
        """Returns the exit code."""
        from dfrestore.restore.results import FileResult
        from dfrestore.restore.todo import Records, check_places, tidy, triage

        dry, crew = self.options.dry_run, self.crew
        if not crew.first:
            return 0 if dry else self.report.during(lambda: self._with_page(crew.agreed([]), Records()))
        for note in (*(line for model in self.resolved for line in model.warnings), *self.plan.notes):
            self.report.warn(note)
        for source, error in self.plan.failures:
            self._settle(FileResult("failed", source, error=one_line(error)))
        if not dry:
            tidy(self.plan.jobs)
        records = Records()
        lone = len(self.plan.jobs) == 1 and self.plan.jobs[0].record is None
        how = {"overwrite": self.options.replaces, "newer": self.options.newer, "lone": lone}
        todo, settled = triage(self.plan.jobs, self.settings, records, **how)
        for result in settled:
            self._settle(result)
            if lone and result.status == "skipped":
                self.report.say(f"{result.output}: made before, with the same settings; --overwrite makes it again")
        self._warn_of_missing_extras(settled)
        if not dry:
            check_places(todo)
        todo = self.report.limited(todo, self.options.limit)
        code = self.report.during(lambda: self._with_page(todo if dry else crew.agreed(todo), records))
        return code or int(
            self.report.counts["failed"] > 0 or self.report.torn or (self.page is not None and self.page.failed)
        )

    def _warn_of_missing_extras(self, settled: Iterable[FileResult]) -> None:
        """A skipped photo is not restored again for its comparison or map: warn of those that lack one."""
        from dfrestore.restore.extras import option_of

        requested: dict[Path | None, Extras] = {job.output: job.extras for job in self.plan.jobs}
        lacking = [r for r in settled if r.status == "skipped" and r.extras != requested[r.output]]
        if lacking:
            kinds = " or ".join(option_of(kind) for kind in self.plan.jobs[0].extras.places)
            count, more = ("1 photo", "") if len(lacking) == 1 else (f"{len(lacking)} photos", ", ...")
            self.report.warn(f"{count} done before without {kinds} ({lacking[0].input}{more}); --overwrite redoes them")

    def _settle(self, result: FileResult) -> None:
        self.report.result(result)
        if self.page is not None:
            self.page.result(result)

    def _with_page(self, todo: list[Job], records: Records) -> None:
        with nullcontext() if self.page is None else self.page.written():
            try:
                if todo:
                    self._work(todo, records)
            except (KeyboardInterrupt, Terminated):
                for result in self.crew.last_words():
                    self._settle(result)
                if self.crew.lost:
                    self.report.complain(str(PeerFailed()))
                raise

    def _work(self, todo: list[Job], records: Records) -> None:
        use_threads(self.options.threads)
        place = self.crew.place(self.options.device)
        memory = self.crew.memory(self.parsed.memory, place)
        restorer = loaded(
            self.resolved,
            self.settings,
            device=place,
            precision=self.options.precision,
            memory=memory,
            detector=self.detector,
        )
        if restorer.precision.warning:
            self.report.warn(restorer.precision.warning)
        for line in remarks(restorer, self.settings, self.options.trace):
            self.report.warn(line)
        if self.page is not None:
            self.page.uses(restorer)
        if self.options.dry_run:
            self._preview(todo, restorer)
        else:
            self._restore(todo, restorer, records)

    def _restore(self, todo: list[Job], restorer: AnyRestorer, records: Records) -> None:
        from dfrestore import photo
        from dfrestore.restore import FileResult, Started, run_batch

        self.report.open_bar({job.output: weight_of(job.input) for job in todo})
        most = photo.MAX_PIXELS if self.parsed.pixels is None else self.parsed.pixels
        output, begun = todo[0].output, False
        work = run_batch(
            self.crew.taken(todo),
            restorer,
            self.settings,
            records,
            max_pixels=most,
            watch=lambda job, share: self.report.progress(job.output, share),
        )
        for event in self.crew.gathered(work):
            if isinstance(event, Started):
                output = event.job.output
                for line in self._on_start(event, restorer, todo, first=not begun):
                    self.report.say(line)
                begun = True
            elif isinstance(event, FileResult):
                self._settle(event)
            else:
                self.report.progress(output, event.done / event.total)

    def _on_start(self, event: Started, restorer: AnyRestorer, todo: list[Job], *, first: bool) -> Iterator[str]:
        """What is said of a photo before its work, and before the first one of all."""
        if event.repair is not None:
            if first:
                self.report.expect(event.seconds if len(todo) == 1 else None)
                yield self._start_line(restorer)
            yield f"{event.job.input}: {repair_planned(event)}"
        elif first:
            seconds = expected(event, [job.input for job in todo], self.crew.size)
            self.report.expect(seconds)
            yield self._start_line(restorer, described(event), about(event, seconds, len(todo)))
        elif not event.whole:
            yield f"{event.job.input}: {event.plan}"

    def _preview(self, todo: list[Job], restorer: AnyRestorer) -> None:
        from dfrestore.restore.batch import preview
        from dfrestore.restore.extras import named
        from dfrestore.restore.results import FileResult

        written = "nothing is" if self.options.save_mask is None else "only masks are"
        self.report.say(self._start_line(restorer, f"{written} written"))
        for job in todo:
            seen = preview(job, restorer, self.settings, self.parsed.pixels)
            if isinstance(seen, FileResult):
                self._settle(seen)
                continue
            item, line = planned(seen)
            more = {**named_models(restorer, self.settings), "plan": seen.plan, **named(job.extras)}
            self.report.planned({**item, **more, "warnings": list(seen.notes)}, line)
            for note in seen.notes:
                self.report.warn(f"{job.input}: {note}")

    def _start_line(self, restorer: AnyRestorer, plan: str = "", expected: str = "") -> str:
        device, precision = restorer.device, restorer.precision
        return (
            f"{what(self.settings, restorer)}; {self.crew.described}"
            f"device {device.name} ({device.reason}), precision {precision.name} ({precision.reason})"
            f"{'; ' if plan else ''}{plan}{expected}"
        )
