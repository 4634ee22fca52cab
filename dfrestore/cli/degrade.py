"""``dfrestore degrade``: pairs of degraded and clean pictures from clean photos."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from dfrestore.cli.options import FORMAT_NAMES, completer, parse_pixels
from dfrestore.cli.report import Report, weight_of
from dfrestore.errors import (
    FileFailure,
    OutOfMemoryFailure,
    PhotoWriteError,
    UsageError,
    did_you_mean,
    one_line,
)
from dfrestore.tasks import any_of

if TYPE_CHECKING:
    from dfrestore.degrade.pairs import Degraded, Made, Recipe
    from dfrestore.restore import FilePlan, FileResult, Job

# The kinds and presets of dfrestore.degrade.KINDS, here so that help needs no torch (a test keeps both equal):
# kind -> preset -> what the help says about it.
PRESETS: Mapping[str, Mapping[str, str]] = {
    "rain": {"drizzle": "", "fine": "", "rain": "", "storm": "", "mixed": ""},
    "noise": {
        "gaussian15": "",
        "gaussian25": "",
        "gaussian50": "",
        "gaussian": "of 0 to 55",
        "sensor": "",
        "mixed": "",
        "camera": "",
        "blind": "",
    },
    "blur": {
        "shake": "",
        "linear": "",
        "object": "",
        "motion": "all of them",
        "mixed": "the same",
        "short": "up to 12 pixels",
        "path": "a moving camera",
        "bench": "",
    },
    "jpeg": {"q10": "", "q20": "", "q40": "", "mixed": "quality 10 to 90, some saved twice"},
    "haze": {
        "thin": "",
        "haze": "",
        "fog": "",
        "mixed": "",
        "camera": "mixed, half of it exposed less",
        "bench": "",
        "storm-haze": "rain behind a veil",
    },
    "snow": {"flurry": "", "snow": "", "blizzard": "", "mixed": "", "dense": "mixed, half of it dense", "bench": ""},
    "drops": {"sharp": "on glass", "blurred": "", "large": "", "mixed": "", "bench": ""},
    "defocus": {
        "slight": "",
        "medium": "",
        "strong": "up to 12 pixels",
        "mixed": "",
        "wide": "mixed, half of it strong",
        "bench": "",
    },
    "lowres": {
        "x2": "",
        "x3": "",
        "x4": "bicubic",
        "mixed": "x4, some noisy or compressed",
        "mixed-x2": "",
        "real": "x4 like photos of the web",
        "real-x2": "",
    },
    "holes": {
        "lama": "as LaMa trains",
        "thick": "",
        "thin": "",
        "strokes": "13 %",
        "scratches": "old photos",
        "mixed": "",
    },
    "texture": {"mixed": "none of it is left", "kept25": "25 % of it", "kept50": "", "kept75": ""},
}


def _noted(preset: tuple[str, str]) -> str:
    name, note = preset
    return f"{name} ({note})" if note else name


def help_text() -> str:
    """The help of the command, with the kinds and their presets."""
    width = max(map(len, PRESETS)) + 2
    table = "\n".join(
        fill(f"{kind:{width}}{', '.join(map(_noted, presets.items()))}", 78, subsequent_indent=" " * width)
        for kind, presets in PRESETS.items()
    )
    return f"""Make pairs for training and measuring. They are damaged photos beside the clean ones.

Writes OUT/input/NAME.png and OUT/target/NAME.png, 8 bit, the trees of input folders mirrored, and
OUT/manifest.jsonl: the file, kind, preset, seed and source's sha256 of each pair. Files are taken in order of
their names; the same seed gives the same pairs. Each file gets its own draw from the preset; training uses mixed,
models are measured on bench.
Photos that lowres makes smaller are first cut to a multiple of the scale; holes writes OUT/mask/NAME.png too.

\b
{table}

\b
Examples:
  dfrestore degrade rain photos/ -o pairs/ --preset storm --seed 1
  dfrestore degrade noise photos/ -o pairs/ --preset sensor --preview 8
  dfrestore degrade jpeg photos/ -o pairs/ --preset q20
  dfrestore evaluate --task denoise --data pairs/
"""


def _complete_presets(context: typer.Context, incomplete: str) -> list[str]:
    # the option that waits for its value keeps click from sorting the arguments before it
    words = (str(context.params.get("kind")), *map(str, context.args))
    kind = next((word for word in words if word in PRESETS), "")
    names = PRESETS.get(kind) or dict.fromkeys(name for group in PRESETS.values() for name in group)
    return completer(*names)(incomplete)


def degrade(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"{any_of(PRESETS)}.", autocompletion=completer(*PRESETS))
    ],
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Clean pictures, and folders of them.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="OUT", help="Folder of the pairs.")],
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Preset of the kind, see above.", autocompletion=_complete_presets)
    ] = "mixed",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the first file; each further one adds 1.")] = 0,
    preview: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only draw OUT/preview.png, a sheet of the first N files."),
    ] = None,
    format: Annotated[
        str, typer.Option(metavar="NAME", help="png, jpg, webp, tiff or avif.", autocompletion=completer(*FORMAT_NAMES))
    ] = "png",
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="Q", help="For JPEG, default: 95, and WebP, default: lossless."),
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
        bool, typer.Option("--json", help="Print one JSON object per file, and one with totals at the end.")
    ] = False,
) -> None:
    """See :func:`help_text`."""
    _check_names(kind, preset)
    most = parse_pixels(max_pixels)
    plan, fmt = _plan(inputs, out, format, recursive)
    if seed + len(plan.jobs) >= 2**63:
        raise UsageError(f"--seed {seed} is too large")
    report = Report(quiet=quiet, as_json=as_json, inputs=len(plan.failures) + len(plan.jobs[:preview]))
    from dfrestore.degrade import KINDS
    from dfrestore.degrade.pairs import Recipe
    from dfrestore.photo import MAX_PIXELS

    recipe = Recipe(KINDS[kind], preset, fmt, quality, MAX_PIXELS if most is None else most)
    work = _Run(Path(out), plan, report, seed, overwrite)
    if preview is None:
        work.refuse_existing(recipe)
    elif not overwrite and os.path.lexists(Path(out) / "preview.png"):
        raise PhotoWriteError(f"{Path(out) / 'preview.png'}: exists already; --overwrite replaces it")
    code = work.execute(recipe, preview)
    if code:
        raise typer.Exit(code)


def _check_names(kind: str, preset: str) -> None:
    """UsageError unless this kind exists and has this preset."""
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
    ours = [Path(identity(Path(out) / side)) for side in ("target", "mask")]
    for path in ours:
        if any(Path(identity(Path(item))).is_relative_to(path) for item in inputs):
            raise UsageError(f"{Path(out) / path.name}: pairs are written here, so it cannot be an input")
    # OUT may lie below an input folder: what an earlier run put there is no source
    jobs = [job for job in plan.jobs if not any(Path(identity(job.input)).is_relative_to(path) for path in ours)]
    return FilePlan(tuple(sorted(jobs, key=lambda job: job.output.parts)), plan.failures, plan.notes), fmt


@dataclass
class _Run:
    """One run of the command, once its arguments are checked."""

    out: Path
    plan: FilePlan
    report: Report
    seed: int
    overwrite: bool

    def name(self, job: Job) -> str:
        """The name of both files of a pair, relative to their folders."""
        return job.output.relative_to(self.out / "input").as_posix()

    def refuse_existing(self, recipe: Recipe) -> None:
        """PhotoWriteError where a pair is there already."""
        if self.overwrite:
            return
        from dfrestore.degrade.pairs import sides

        places = (path for job in self.plan.jobs for path in sides(recipe.kind, self.out, self.name(job)))
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
        from dfrestore.degrade.pairs import make_pair, sides, write_manifest
        from dfrestore.restore.todo import check_places, tidy

        check_places(self.plan.jobs)
        tidy(
            [
                replace(job, output=path)
                for job in self.plan.jobs
                for path in sides(recipe.kind, self.out, self.name(job))
            ]
        )
        self.report.open_bar({job.output: weight_of(job.input) for job in self.plan.jobs})
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
    """The failure of this file alone. Errors that are not about one file are raised again."""
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
