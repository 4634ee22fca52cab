"""One run of a command that restores files: its options checked, its files planned, its events shown."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dfrestore.cli.ending import INTERRUPTED, TERMINATED, Ended, Terminated
from dfrestore.cli.options import parse_memory, parse_pixels, parse_window
from dfrestore.cli.page import page_path
from dfrestore.cli.report import Report, duration
from dfrestore.cli.run_page import RunPage
from dfrestore.cli.streams import check_streams
from dfrestore.errors import UsageError, one_line
from dfrestore.files import STREAM
from dfrestore.processes import PeerFailed

if TYPE_CHECKING:
    from dfrestore.restore import FilePlan, FileResult, Job, Restorer, Settings, Started
    from dfrestore.restore.extras import Extras, Wanted
    from dfrestore.restore.shares import Crew
    from dfrestore.restore.todo import Records
    from dfrestore.weights import Resolved


@dataclass(frozen=True)
class Options:
    """What the command line said, each under its option's name (see :mod:`.restoring_options`)."""

    inputs: list[str]
    out: str | None
    model: str | None
    steps: int | None
    seed: int
    device: str
    precision: str
    window: str | None
    tile: int | None
    memory: str | None
    threads: int | None
    max_pixels: str | None
    format: str | None
    quality: int | None
    strength: float
    ensemble: int | None
    keep_color: bool
    uncertainty: str | None
    compare: str | None
    trace: str | None
    strip_metadata: bool
    page: str | None
    overwrite: bool
    recursive: bool
    dry_run: bool
    quiet: bool
    as_json: bool

    @property
    def members(self) -> int:
        """How many restorations are averaged: one, or four where a map of their differences is wanted."""
        if self.uncertainty is not None and self.ensemble == 1:
            raise UsageError(
                "--uncertainty compares the members of an ensemble; give --ensemble 2 or more, or leave it out"
            )
        return self.ensemble or (1 if self.uncertainty is None else 4)

    @property
    def replaces(self) -> bool:
        """Whether what stands where a result goes may be replaced."""
        return self.overwrite or self.out == STREAM

    @property
    def wanted(self) -> Wanted:
        """What is made beside the results."""
        from dfrestore.restore.extras import Wanted

        return Wanted(self.uncertainty, self.compare, self.trace)


def run(task: str, crew: Crew, options: Options) -> None:
    """Do what the options ask for. Raises UsageError, :class:`Ended` after a signal, and what ends with a code."""
    parsed = _Parsed.of(options)
    plan = _plan(options, task, parsed.format)
    outputs = [path for job in plan.jobs for path in (job.output, *job.extras.places.values())]
    page = page_path(options.page, map(Path, options.inputs), outputs, overwrite=options.overwrite)
    report = Report(
        quiet=options.quiet,
        as_json=options.as_json,
        inputs=len(plan.jobs) + len(plan.failures),
        paths=options.out != STREAM,
    )
    from dfrestore.weights import resolve

    resolved = crew.in_turn(lambda: resolve(options.model, task=task))
    settings = _settings(options, parsed, task, resolved, plan)
    work = _Run(plan, settings, report, resolved, options, parsed, crew)
    if page is not None and crew.first and not options.dry_run:
        work.page = RunPage(
            page, report, plan, settings, resolved.label, overwrite=options.overwrite, max_pixels=parsed.pixels
        )
    code = work.execute()
    if code in (INTERRUPTED, TERMINATED):
        raise Ended(code)
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True)
class _Parsed:
    """The options that have a form of their own, read and checked before anything else."""

    memory: int | None
    pixels: int | None
    window: Any
    format: str | None

    @classmethod
    def of(cls, options: Options) -> _Parsed:
        from dfrestore.restore.naming import format_name

        if options.seed > 2**63 - options.members:
            raise UsageError(f"--seed {options.seed} is larger than {2**63 - options.members}")
        check_streams(
            options.inputs,
            options.out,
            as_json=options.as_json,
            page=options.page is not None,
            dry_run=options.dry_run,
            extras=options.wanted.requested,
        )
        return cls(
            parse_memory(options.memory),
            parse_pixels(options.max_pixels),
            parse_window(options.window),
            format_name(options.format) if options.format is not None else None,
        )


def _plan(options: Options, task: str, fmt: str | None) -> FilePlan:
    from dfrestore.restore import plan_files
    from dfrestore.restore.streams import is_stream, plan_stream

    if is_stream(options.inputs, options.out):
        return plan_stream(options.inputs, options.out, task, fmt=fmt)
    return plan_files(options.inputs, options.out, task, fmt=fmt, recursive=options.recursive, wanted=options.wanted)


def _settings(options: Options, parsed: _Parsed, task: str, resolved: Resolved, plan: FilePlan) -> Settings:
    from dfrestore.restore import Settings
    from dfrestore.weights import read_spec

    return Settings(
        task=task,
        model=_identity(resolved, plan),
        steps=read_spec(resolved.path).default_steps if options.steps is None else options.steps,
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
    )


def _identity(resolved: Resolved, plan: FilePlan) -> str:
    """What the record knows a model by: its content. Not needed, and not computed, where there is no record."""
    if resolved.sha256 is not None or all(job.record is None for job in plan.jobs):
        return resolved.sha256 or str(resolved.path)
    from dfrestore.weights.checkpoint import sha256_of

    return sha256_of(resolved.path)


@dataclass
class _Run:
    """One run of the command, after its arguments have been found good."""

    plan: FilePlan
    settings: Settings
    report: Report
    resolved: Resolved
    options: Options
    parsed: _Parsed
    crew: Crew
    page: RunPage | None = None

    def execute(self) -> int:
        """Returns the exit code."""
        from dfrestore.restore.results import FileResult
        from dfrestore.restore.todo import Records, tidy, triage

        dry, crew = self.options.dry_run, self.crew
        if not crew.first:
            return 0 if dry else self.report.during(lambda: self._shown(crew.agreed([]), Records()))
        for note in (*self.resolved.warnings, *self.plan.notes):
            self.report.warn(note)
        for source, error in self.plan.failures:
            self._settle(FileResult("failed", source, error=one_line(error)))
        if not dry:
            tidy(self.plan.jobs)
        records = Records()
        lone = len(self.plan.jobs) == 1 and self.plan.jobs[0].record is None
        overwrite = self.options.replaces
        todo, settled = triage(self.plan.jobs, self.settings, records, overwrite=overwrite, lone=lone)
        for result in settled:
            self._settle(result)
        self._warn_of_missing_extras(settled)
        code = self.report.during(lambda: self._shown(todo if dry else crew.agreed(todo), records))
        return code or int(
            self.report.counts["failed"] > 0 or self.report.torn or (self.page is not None and self.page.failed)
        )

    def _warn_of_missing_extras(self, settled: Iterable[FileResult]) -> None:
        """Photos that are skipped are not restored again to make a comparison or a map: say which lack one."""
        requested: dict[Path | None, Extras] = {job.output: job.extras for job in self.plan.jobs}
        lacking = [r for r in settled if r.status == "skipped" and r.extras != requested[r.output]]
        if lacking:
            kinds = " or ".join(f"--{kind}" for kind in self.plan.jobs[0].extras.places)
            count, more = ("1 photo", "") if len(lacking) == 1 else (f"{len(lacking)} photos", ", ...")
            self.report.warn(f"{count} done before without {kinds} ({lacking[0].input}{more}); --overwrite redoes such")

    def _settle(self, result: FileResult) -> None:
        self.report.result(result)
        if self.page is not None:
            self.page.result(result)

    def _shown(self, todo: list[Job], records: Records) -> None:
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
        from dfrestore.restore import Restorer

        if self.options.threads:
            import torch

            torch.set_num_threads(self.options.threads)
        place = self.crew.place(self.options.device)
        restorer = Restorer.from_resolved(
            self.resolved,
            device=place,
            precision=self.options.precision,
            window=self.parsed.window,
            memory=self.crew.memory(self.parsed.memory, place),
        )
        restorer.checked_steps(self.settings.steps)
        if restorer.precision.warning:
            self.report.warn(restorer.precision.warning)
        if self.page is not None:
            self.page.uses(restorer)
        if self.options.dry_run:
            self._preview(todo, restorer)
        else:
            self._restore(todo, restorer, records)

    def _restore(self, todo: list[Job], restorer: Restorer, records: Records) -> None:
        from dfrestore import photo
        from dfrestore.restore import FileResult, Started, run_batch

        self.report.open_bar({job.output: _bytes(job.input) for job in todo})
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
                if not begun:
                    self.report.say(self._start_line(restorer, event.plan, self._expected(event, todo)))
                elif not event.whole:
                    self.report.say(f"{event.job.input}: {event.plan}")
                begun = True
            elif isinstance(event, FileResult):
                self._settle(event)
            else:
                self.report.progress(output, event.done / event.total)

    def _preview(self, todo: list[Job], restorer: Restorer) -> None:
        from dfrestore.restore.batch import preview
        from dfrestore.restore.extras import named
        from dfrestore.restore.results import FileResult

        self.report.say(self._start_line(restorer, "nothing is written"))
        for job in todo:
            seen = preview(job, restorer, self.settings, self.parsed.pixels)
            if isinstance(seen, FileResult):
                self._settle(seen)
                continue
            width, height = seen.size
            item: dict[str, Any] = {"status": "planned", "input": str(job.input), "output": str(job.output)}
            item["size"] = [width, height]
            if seen.seconds is not None:
                item["expected_seconds"] = round(seen.seconds, 1)
            self.report.planned(
                {**item, "model": restorer.label, "seed": self.settings.seed, "plan": seen.plan, **named(job.extras)},
                f"would restore {job.input} ({width}x{height}, {seen.plan}{_about(seen.seconds)}) to {job.output}",
            )

    def _start_line(self, restorer: Restorer, plan: str, expected: str = "") -> str:
        device, precision = restorer.device, restorer.precision
        return (
            f"{self.settings.task}: model {self.settings.made_by(restorer.label)}; {self.crew.described}"
            f"device {device.name} ({device.reason}), precision {precision.name} ({precision.reason}); {plan}{expected}"
        )

    def _expected(self, first: Started, todo: list[Job]) -> str:
        """How long all will take, from what the first photo will and how large the files are."""
        if first.seconds is None or len(todo) == 1 or self.crew.described:
            return _about(first.seconds)
        share = sum(_bytes(job.input) for job in todo) / _bytes(first.job.input)
        return f"{_about(first.seconds * share)} for {len(todo)} photos"


def _about(seconds: float | None) -> str:
    return "" if seconds is None else f", about {duration(seconds)}"


def _bytes(path: Path) -> int:
    try:
        return max(1, path.stat().st_size)
    except OSError:
        return 1
