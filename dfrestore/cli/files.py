"""``dfrestore derain`` and its siblings: one command for every task that restores files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore.cli.ending import INTERRUPTED, TERMINATED, Ended, Terminated
from dfrestore.cli.options import complete_models, parse_memory, parse_pixels, parse_window
from dfrestore.cli.page import page_path
from dfrestore.cli.report import Report
from dfrestore.cli.run_page import RunPage
from dfrestore.cli.together import in_crew
from dfrestore.errors import UsageError, one_line
from dfrestore.processes import PeerFailed

if TYPE_CHECKING:
    from dfrestore.restore import FilePlan, FileResult, Job, Restorer, Settings
    from dfrestore.restore.batch import Records
    from dfrestore.restore.shares import Crew
    from dfrestore.weights import Resolved


def help_text(task: str, summary: str) -> str:
    """The help of one task's command."""
    return f"""{summary} Size, bit depth, alpha, colour profile and metadata are kept.

INPUT: files and folders. A result stands beside its input as NAME_{task}.EXT, or where -o says: a file for one
input file, otherwise a folder, under which the trees of input folders are mirrored. Runs over folders can be
interrupted and started again: what is done is skipped.

\b
Examples:
  dfrestore {task} photo.jpg
  dfrestore {task} photo.jpg -o result.png --steps 4
  dfrestore {task} photo.jpg --strength 0.7 --model my-model.safetensors
  dfrestore {task} holiday/ -o holiday-{task}/
  dfrestore {task} *.jpg -o results/ --format png --json
  dfrestore {task} holiday/ -o holiday-{task}/ --report holiday.html
"""


@in_crew
def restore(
    context: typer.Context,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Pictures, and folders of pictures.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="OUT", help="Result: a file for one input file, else a folder.")
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
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(metavar="NAME", help="auto, fp32, bf16 or fp16.")] = "auto",
    window: Annotated[
        str | None,
        typer.Option(metavar="N|global", help="Side of the attention's windows in pixels; default: the model's."),
    ] = None,
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
        str | None, typer.Option(metavar="NAME", help="png, jpg, webp or tiff; default: as OUT, else as the input.")
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="Q", help="Of JPEG and WebP; default: as the input, at least 95."),
    ] = None,
    strength: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="S", help="From 0, the input, to 1, the full result.")
    ] = 1.0,
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
    if seed >= 2**63:
        raise UsageError(f"--seed {seed} is larger than {2**63 - 1}")
    plan, fmt = _plan(inputs, out, task, format, recursive)
    page_at = page_path(page, map(Path, inputs), [job.output for job in plan.jobs], overwrite=overwrite)
    report = Report(quiet=quiet, as_json=as_json, inputs=len(plan.jobs) + len(plan.failures))
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
    )
    place = crew.place(device)
    options = {"device": place, "precision": precision, "window": reach, "memory": crew.memory(budget, place)}
    run = _Run(plan, settings, report, resolved, options, overwrite, most, dry_run, crew)
    if page_at is not None and crew.first and not dry_run:
        run.page = RunPage(page_at, run.report, plan, settings, resolved.label, overwrite=overwrite, max_pixels=most)
    code = run.execute()
    if code in (INTERRUPTED, TERMINATED):
        raise Ended(code)
    if code:
        raise typer.Exit(code)


def _plan(
    inputs: Sequence[str], out: str | None, task: str, format: str | None, recursive: bool
) -> tuple[FilePlan, str | None]:
    from dfrestore.restore import plan_files
    from dfrestore.restore.naming import format_name

    fmt = format_name(format) if format is not None else None
    return plan_files(inputs, out, task, fmt=fmt, recursive=recursive), fmt


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
        from dfrestore.restore.batch import FileResult, Records, tidy, triage

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
        code = self.report.during(lambda: self._shown(todo if self.dry_run else self.crew.agreed(todo), records))
        return code or int(
            self.report.counts["failed"] > 0 or self.report.torn or (self.page is not None and self.page.failed)
        )

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
        from dfrestore.restore.batch import FileResult, preview

        self.report.say(self._start_line(restorer, "nothing is written"))
        for job in todo:
            seen = preview(job, restorer, self.settings, self.max_pixels)
            if isinstance(seen, FileResult):
                self._settle(seen)
                continue
            width, height = seen.size
            item = {"status": "planned", "input": str(job.input), "output": str(job.output), "size": [width, height]}
            self.report.planned(
                {**item, "model": restorer.label, "seed": self.settings.seed, "plan": seen.plan},
                f"would restore {job.input} ({width}x{height}, {seen.plan}) to {job.output}",
            )

    def _start_line(self, restorer: Restorer, plan: str) -> str:
        device, precision = restorer.device, restorer.precision
        steps = restorer.checked_steps(self.settings.steps)
        return (
            f"{self.settings.task}: model {restorer.label}, {steps} step{'s' if steps > 1 else ''}, "
            f"seed {self.settings.seed}; {self.crew.described}device {device.name} ({device.reason}), "
            f"precision {precision.name} ({precision.reason}); {plan}"
        )


def _bytes(path: Path) -> int:
    try:
        return max(1, path.stat().st_size)
    except OSError:
        return 1
