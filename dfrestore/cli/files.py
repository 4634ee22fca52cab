"""``dfrestore derain`` and its siblings: one command for every task that restores files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore.cli.ending import INTERRUPTED, TERMINATED, Ended, Terminated
from dfrestore.cli.options import (
    FORMAT_NAMES,
    complete_models,
    completer,
    parse_memory,
    parse_pixels,
    parse_window,
)
from dfrestore.cli.page import page_path
from dfrestore.cli.report import Report
from dfrestore.cli.restoring_options import Device, Precision, Window
from dfrestore.cli.run_page import RunPage
from dfrestore.cli.streams import check_streams
from dfrestore.cli.together import in_crew
from dfrestore.errors import UsageError, one_line
from dfrestore.files import STREAM
from dfrestore.processes import PeerFailed

if TYPE_CHECKING:
    from dfrestore.restore import FilePlan, FileResult, Job, Restorer, Settings
    from dfrestore.restore.extras import Extras, Wanted
    from dfrestore.restore.shares import Crew
    from dfrestore.restore.todo import Records
    from dfrestore.weights import Resolved


def help_text(task: str, summary: str) -> str:
    """The help of one task's command."""
    return f"""{summary} Size, bit depth, alpha, colour profile and metadata are kept.

INPUT: files and folders. A result stands beside its input as NAME_{task}.EXT, or where -o says: a file for one
input file, otherwise a folder, under which the trees of input folders are mirrored. Runs over folders can be
interrupted and started again: what is done is skipped. INPUT - is a picture on standard input, -o - writes the result
to standard output.

--uncertainty and --compare name a file for one input file, otherwise a folder with the same tree. Photos that are
skipped are not restored again for them, unless with --overwrite.

\b
Examples:
  dfrestore {task} photo.jpg
  dfrestore {task} photo.jpg -o result.png --steps 4
  dfrestore {task} photo.jpg --strength 0.7 --model my-model.safetensors
  dfrestore {task} photo.jpg --ensemble 4
  dfrestore {task} photo.jpg --uncertainty unsure.png
  dfrestore {task} photo.jpg --steps 20 --trace photo.gif
  dfrestore {task} photo.jpg --keep-color --compare strip.jpg
  dfrestore {task} holiday/ -o holiday-{task}/
  dfrestore {task} *.jpg -o results/ --format png --json
  dfrestore {task} holiday/ -o holiday-{task}/ --report holiday.html
  dfrestore {task} - -o - --format png < photo.jpg > result.png
  dfrestore {task} holiday/ -o holiday-{task}/ --compare strips/
"""


@in_crew
def restore(
    context: typer.Context,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Pictures, and folders of pictures; or -.")],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="Result: a file for one input file, else a folder; default: beside the input.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Name, file or hf://ORG/REPO/FILE@REV; default: the task's own.",
            autocompletion=complete_models,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Steps of diffusion; default: the model's own.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the noise.")] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    window: Window = None,
    tile: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Work in tiles of N pixels; 0: whole; default: whole if it fits."),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory to use on the device, like 8G; default: what is free.")
    ] = None,
    max_pixels: Annotated[
        str | None, typer.Option(metavar="N", help="Refuse larger pictures, like 100M; default: 250M.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="png, jpg, webp, tiff or avif; default: as OUT, else as the input.",
            autocompletion=completer(*FORMAT_NAMES),
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="Q", help="Of JPEG, WebP and AVIF; default: as the input, at least 95."),
    ] = None,
    strength: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="S", help="From 0, the input, to 1, the full result.")
    ] = 1.0,
    ensemble: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Mean of K restorations of the picture turned; K times as long."),
    ] = None,
    keep_color: Annotated[
        bool, typer.Option("--keep-color", help="Broad colours as in the input, for models that shift them.")
    ] = False,
    uncertainty: Annotated[
        str | None,
        typer.Option(
            metavar="MAP.png|FOLDER", help="Map of where members (4, or --ensemble) disagree; white: 10 % or more."
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(metavar="FILE|FOLDER", help="Picture of before | after, .jpg or .png, at most 4096 pixels wide."),
    ] = None,
    trace: Annotated[
        str | None,
        typer.Option(metavar="FILE.gif", help="Animation from noise to photo, .gif or .webp; more --steps show more."),
    ] = None,
    strip_metadata: Annotated[bool, typer.Option("--strip-metadata", help="Drop EXIF, XMP and IPTC.")] = False,
    page: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="Write a page to look through, before and after, also of what was done before; replaces a report.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo and replace outputs that exist.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Look into folders below an input folder.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and touch nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a file, and a last one of totals.")
    ] = False,
) -> None:
    """Registered once for each task, which is the command's name."""
    task = str(context.info_name)
    crew: Crew = context.obj
    budget, most, reach = parse_memory(memory), parse_pixels(max_pixels), parse_window(window)
    members = _members(ensemble, uncertainty)
    if seed > 2**63 - members:
        raise UsageError(f"--seed {seed} is larger than {2**63 - members}")
    from dfrestore.restore.extras import Wanted

    wanted = Wanted(uncertainty, compare, trace)
    check_streams(inputs, out, as_json=as_json, page=page is not None, dry_run=dry_run, extras=wanted.given)
    plan, fmt = _plan(inputs, out, task, format, recursive, wanted)
    outputs = [path for job in plan.jobs for path in (job.output, *job.extras.places.values())]
    page_at = page_path(page, map(Path, inputs), outputs, overwrite=overwrite)
    report = Report(quiet=quiet, as_json=as_json, inputs=len(plan.jobs) + len(plan.failures), paths=out != STREAM)
    from dfrestore.weights import read_spec, resolve

    resolved = crew.in_turn(lambda: resolve(model, task=task))
    from dfrestore.restore import Settings

    settings = Settings(
        task=task,
        model=_identity(resolved, plan),
        steps=read_spec(resolved.path).default_steps if steps is None else steps,
        seed=seed,
        precision=precision,
        window=reach,
        tile=tile,
        strength=strength,
        format=fmt,
        quality=quality,
        strip_metadata=strip_metadata,
        ensemble=members,
        keep_color=keep_color,
    )
    place = crew.place(device)
    options = {"device": place, "precision": precision, "window": reach, "memory": crew.memory(budget, place)}
    run = _Run(plan, settings, report, resolved, options, overwrite or out == STREAM, most, dry_run, crew)
    if page_at is not None and crew.first and not dry_run:
        run.page = RunPage(page_at, run.report, plan, settings, resolved.label, overwrite=overwrite, max_pixels=most)
    code = run.execute()
    if code in (INTERRUPTED, TERMINATED):
        raise Ended(code)
    if code:
        raise typer.Exit(code)


def _plan(
    inputs: Sequence[str], out: str | None, task: str, format: str | None, recursive: bool, wanted: Wanted
) -> tuple[FilePlan, str | None]:
    from dfrestore.restore import plan_files
    from dfrestore.restore.naming import format_name
    from dfrestore.restore.streams import is_stream, plan_stream

    fmt = format_name(format) if format is not None else None
    if is_stream(inputs, out):
        return plan_stream(inputs, out, task, fmt=fmt), fmt
    return plan_files(inputs, out, task, fmt=fmt, recursive=recursive, wanted=wanted), fmt


def _members(ensemble: int | None, uncertainty: str | None) -> int:
    """How many restorations are averaged: one, or four where it is asked how far they lie apart."""
    if uncertainty is not None and ensemble == 1:
        raise UsageError(
            "--uncertainty compares the members of an ensemble; give --ensemble 2 or more, or leave it out"
        )
    return ensemble or (1 if uncertainty is None else 4)


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
    options: dict[str, Any]
    overwrite: bool
    max_pixels: int | None
    dry_run: bool
    crew: Crew
    page: RunPage | None = None

    def execute(self) -> int:
        """Returns the exit code."""
        from dfrestore.restore.results import FileResult
        from dfrestore.restore.todo import Records, tidy, triage

        if not self.crew.first:
            return 0 if self.dry_run else self.report.during(lambda: self._shown(self.crew.agreed([]), Records()))
        for note in (*self.resolved.warnings, *self.plan.notes):
            self.report.warn(note)
        for source, error in self.plan.failures:
            self._settle(FileResult("failed", source, error=one_line(error)))
        if not self.dry_run:
            tidy(self.plan.jobs)
        records = Records()
        lone = len(self.plan.jobs) == 1 and self.plan.jobs[0].record is None
        todo, settled = triage(self.plan.jobs, self.settings, records, overwrite=self.overwrite, lone=lone)
        for result in settled:
            self._settle(result)
        self._lacking(settled)
        code = self.report.during(lambda: self._shown(todo if self.dry_run else self.crew.agreed(todo), records))
        return code or int(
            self.report.counts["failed"] > 0 or self.report.torn or (self.page is not None and self.page.failed)
        )

    def _lacking(self, settled: Iterable[FileResult]) -> None:
        """Say that results of before are not restored again for what was not asked for then."""
        asked: dict[Path | None, Extras] = {job.output: job.extras for job in self.plan.jobs}
        lacking = [r for r in settled if r.status == "skipped" and r.extras != asked[r.output]]
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

        restorer = Restorer.from_resolved(self.resolved, **self.options)
        restorer.checked_steps(self.settings.steps)
        if restorer.precision.warning:
            self.report.warn(restorer.precision.warning)
        if self.page is not None:
            self.page.uses(restorer)
        if self.dry_run:
            self._preview(todo, restorer)
        else:
            self._restore(todo, restorer, records)

    def _restore(self, todo: list[Job], restorer: Restorer, records: Records) -> None:
        from dfrestore import photo
        from dfrestore.restore import FileResult, Started, run_batch

        self.report.open_bar({job.output: _bytes(job.input) for job in todo})
        most = photo.MAX_PIXELS if self.max_pixels is None else self.max_pixels
        output, begun = todo[0].output, False
        work = run_batch(self.crew.taken(todo), restorer, self.settings, records, max_pixels=most)
        for event in self.crew.gathered(work):
            if isinstance(event, Started):
                output = event.job.output
                if not begun:
                    self.report.say(self._start_line(restorer, event.plan))
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
            seen = preview(job, restorer, self.settings, self.max_pixels)
            if isinstance(seen, FileResult):
                self._settle(seen)
                continue
            width, height = seen.size
            item = {"status": "planned", "input": str(job.input), "output": str(job.output), "size": [width, height]}
            self.report.planned(
                {**item, "model": restorer.label, "seed": self.settings.seed, "plan": seen.plan, **named(job.extras)},
                f"would restore {job.input} ({width}x{height}, {seen.plan}) to {job.output}",
            )

    def _start_line(self, restorer: Restorer, plan: str) -> str:
        device, precision = restorer.device, restorer.precision
        return (
            f"{self.settings.task}: model {self.settings.made_by(restorer.label)}; {self.crew.described}"
            f"device {device.name} ({device.reason}), precision {precision.name} ({precision.reason}); {plan}"
        )


def _bytes(path: Path) -> int:
    try:
        return max(1, path.stat().st_size)
    except OSError:
        return 1
