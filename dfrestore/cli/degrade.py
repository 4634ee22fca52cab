"""``dfrestore degrade``: pairs of degraded and clean pictures from clean photos."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfrestore.cli.options import FORMAT_NAMES, completer, parse_pixels
from dfrestore.cli.report import Report
from dfrestore.errors import (
    FileFailure,
    OutOfMemoryFailure,
    PhotoWriteError,
    UsageError,
    did_you_mean,
    one_line,
)

if TYPE_CHECKING:
    from dfrestore.degrade.pairs import Degraded, Made, Recipe
    from dfrestore.restore import FilePlan, FileResult, Job

# The names of dfrestore.degrade.KINDS, known here without torch (a test keeps them equal).
PRESETS = {
    "rain": ("drizzle", "fine", "rain", "storm", "mixed"),
    "noise": ("gaussian15", "gaussian25", "gaussian50", "sensor", "mixed", "camera", "blind"),
    "blur": ("shake", "linear", "object", "motion", "mixed", "short"),
}


def _complete_presets(context: typer.Context, incomplete: str) -> list[str]:
    # the option that waits for its value keeps click from sorting the arguments before it
    words = (str(context.params.get("kind")), *map(str, context.args))
    kind = next((word for word in words if word in PRESETS), "")
    names = PRESETS.get(kind) or tuple(dict.fromkeys(name for group in PRESETS.values() for name in group))
    return completer(*names)(incomplete)


def degrade(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="rain, noise or blur.", autocompletion=completer(*PRESETS))
    ],
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Clean pictures, and folders of them.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="OUT", help="Folder of the pairs.")],
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Which and how heavy, see above.", autocompletion=_complete_presets)
    ] = "mixed",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the first file; the next has N + 1.")] = 0,
    preview: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only draw OUT/preview.png, a sheet of the first N files."),
    ] = None,
    format: Annotated[
        str, typer.Option(metavar="NAME", help="png, jpg, webp, tiff or avif.", autocompletion=completer(*FORMAT_NAMES))
    ] = "png",
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, metavar="Q", help="Of JPEG, default 95, and WebP, default lossless.")
    ] = None,
    max_pixels: Annotated[
        str | None, typer.Option(metavar="N", help="Refuse larger pictures, like 100M; default: 250M.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace pairs that exist.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Look into folders below an input folder.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a file, and a last one of totals.")
    ] = False,
) -> None:
    """Make pairs for training and measuring: photos in rain, with noise or blurred, beside the clean ones.

    Writes OUT/input/NAME.png and OUT/target/NAME.png, 8 bit, the trees of input folders mirrored, and
    OUT/manifest.jsonl: the file, kind, preset, seed and source's sha256 of each pair. Files are taken in order of
    their names; the same seed gives the same pairs. Presets are drawn anew for each file; mixed is what training uses.

    \b
    rain   drizzle, fine, rain, storm, mixed
    noise  gaussian15, gaussian25, gaussian50, sensor, mixed, camera, blind
    blur   shake, linear, object, motion (all of them), mixed (the same), short (up to 12 pixels)

    \b
    Examples:
      dfrestore degrade rain photos/ -o pairs/ --preset storm --seed 1
      dfrestore degrade noise photos/ -o pairs/ --preset sensor --preview 8
      dfrestore evaluate --task denoise --data pairs/
    """
    _check_names(kind, preset)
    most = parse_pixels(max_pixels)
    plan, fmt = _plan(inputs, out, format, recursive)
    if seed + len(plan.jobs) >= 2**63:
        raise UsageError(f"--seed {seed} is too large")
    report = Report(quiet=quiet, as_json=as_json, inputs=len(plan.failures) + len(plan.jobs[:preview]))
    work = _Run(Path(out), plan, report, seed, overwrite)
    if preview is None:
        work.refuse_existing()
    elif not overwrite and os.path.lexists(Path(out) / "preview.png"):
        raise PhotoWriteError(f"{Path(out) / 'preview.png'}: exists already; --overwrite replaces it")
    from dfrestore.degrade import KINDS
    from dfrestore.degrade.pairs import Recipe
    from dfrestore.photo import MAX_PIXELS

    recipe = Recipe(KINDS[kind], preset, fmt, quality, MAX_PIXELS if most is None else most)
    code = work.execute(recipe, preview)
    if code:
        raise typer.Exit(code)


def _check_names(kind: str, preset: str) -> None:
    """UsageError unless there are such a kind and such a preset of it."""
    if kind not in PRESETS:
        raise UsageError(f"KIND {kind} is not one of {', '.join(PRESETS)}{did_you_mean(kind, PRESETS)}")
    if preset not in PRESETS[kind]:
        known = PRESETS[kind]
        raise UsageError(f"--preset {preset} is not one of {kind}'s {', '.join(known)}{did_you_mean(preset, known)}")


def _plan(inputs: Sequence[str], out: str, format: str, recursive: bool) -> tuple[FilePlan, str]:
    """Jobs in order of the names of their outputs, all below OUT/input, and the format."""
    if not out:
        raise UsageError("-o needs the name of a folder")
    if Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"{out}: is a file, but pairs need a folder")
    from dfrestore.restore import plan_files
    from dfrestore.restore.naming import format_name, identity
    from dfrestore.restore.planning import FilePlan

    fmt = format_name(format)
    plan = plan_files(inputs, f"{Path(out) / 'input'}{os.sep}", "degrade", fmt=fmt, recursive=recursive)
    targets = Path(identity(Path(out) / "target"))
    if any(Path(identity(Path(item))).is_relative_to(targets) for item in inputs):
        raise UsageError(f"{Path(out) / 'target'}: the clean pictures go here, so it cannot be an input")
    # OUT may lie below an input folder: what an earlier run put there is no source
    jobs = [job for job in plan.jobs if not Path(identity(job.input)).is_relative_to(targets)]
    return FilePlan(tuple(sorted(jobs, key=lambda job: job.output.parts)), plan.failures, plan.notes), fmt


@dataclass
class _Run:
    """One run of the command, after its arguments have been found good."""

    out: Path
    plan: FilePlan
    report: Report
    seed: int
    overwrite: bool

    def name(self, job: Job) -> str:
        """Of both files of a pair, below their folders."""
        return job.output.relative_to(self.out / "input").as_posix()

    def refuse_existing(self) -> None:
        """PhotoWriteError where a pair is there already."""
        if self.overwrite:
            return
        places = (self.out / side / self.name(job) for job in self.plan.jobs for side in ("input", "target"))
        there = [path for path in places if os.path.lexists(path)]
        if there:
            more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
            raise PhotoWriteError(f"{there[0]}: exists already{more}; --overwrite replaces it")

    def execute(self, recipe: Recipe, preview: int | None) -> int:
        """Returns the exit code."""
        from dfrestore.restore import FileResult

        for note in self.plan.notes:
            self.report.warn(note)
        for source, error in self.plan.failures:
            self.report.result(FileResult("failed", source, error=one_line(error)))
        code = self.report.during(lambda: self._make(recipe) if preview is None else self._preview(recipe, preview))
        return code or int(self.report.counts["failed"] > 0)

    def _make(self, recipe: Recipe) -> None:
        from dfrestore.degrade.pairs import make_pair, write_manifest
        from dfrestore.restore.todo import tidy

        tidy([*self.plan.jobs, *(replace(job, output=self.out / "target" / self.name(job)) for job in self.plan.jobs)])
        self.report.open_bar({job.output: _bytes(job.input) for job in self.plan.jobs})
        made: list[Made] = []
        try:
            for seed, job in enumerate(self.plan.jobs, self.seed):
                begin = time.perf_counter()
                try:
                    line, pair = make_pair(job.input, self.out, self.name(job), recipe, seed, overwrite=self.overwrite)
                except Exception as error:
                    self.report.result(_failed(job, error))
                    continue
                made.append(line)
                self.report.result(_done(job, job.output, seed, pair, time.perf_counter() - begin))
        finally:
            write_manifest(self.out, made)

    def _preview(self, recipe: Recipe, count: int) -> None:
        from dfrestore.degrade.pairs import degrade_file, write_preview

        done: list[FileResult] = []
        sheet = self.out / "preview.png"

        def pairs() -> Iterator[tuple[str, Degraded]]:
            for seed, job in enumerate(self.plan.jobs[:count], self.seed):
                try:
                    pair = degrade_file(job.input, recipe, seed)
                except Exception as error:
                    self.report.result(_failed(job, error))
                    continue
                done.append(_done(job, sheet, seed, pair))
                yield f"{self.name(job)}  {recipe.preset}, seed {seed}", pair

        drawn = write_preview(self.out, pairs(), overwrite=self.overwrite)
        if self.report.as_json:
            for result in done:
                self.report.result(result)
            return
        self.report.counts["done"] += len(done)
        if drawn is not None and not self.report.quiet:
            typer.echo(str(drawn))


def _failed(job: Job, error: Exception) -> FileResult:
    """The failure of this file alone; what concerns the whole run is raised again."""
    from dfrestore.engine import is_out_of_memory
    from dfrestore.restore import FileResult

    if not isinstance(error, FileFailure):
        if not is_out_of_memory(error):
            raise error
        error = OutOfMemoryFailure(f"{job.input}: does not fit into memory; make it smaller first")
    return FileResult("failed", job.input, job.output, error=str(error))


def _done(job: Job, output: Path, seed: int, pair: Degraded, seconds: float = 0.0) -> FileResult:
    from dfrestore.restore import FileResult

    height, width = pair.clean.shape[:2]
    return FileResult(
        "done", job.input, output, size=(width, height), seconds=seconds, seed=seed, warnings=pair.warnings
    )


def _bytes(path: Path) -> int:
    try:
        return max(1, path.stat().st_size)
    except OSError:
        return 1
