"""``dfrestore derain`` and its siblings: one command for every task that restores files."""

from __future__ import annotations

import typer

from dfrestore.cli.restoring_options import (
    AsJson,
    Compare,
    Device,
    DryRun,
    Ensemble,
    Format,
    Inputs,
    KeepColor,
    MaxPixels,
    Memory,
    Model,
    Out,
    Overwrite,
    Precision,
    Quality,
    Quiet,
    Recursive,
    ReportPage,
    Seed,
    Steps,
    Strength,
    StripMetadata,
    Threads,
    Tile,
    Trace,
    Uncertainty,
    Window,
)
from dfrestore.cli.restoring_run import Options, run
from dfrestore.cli.together import in_crew


def help_text(task: str, summary: str) -> str:
    """The help of one task's command."""
    return f"""{summary} Size, bit depth, alpha, colour profile and metadata are kept.

INPUT: files and folders. A result stands beside its input as NAME_{task}.EXT, or where -o says: a file for one
input file, otherwise a folder, under which the trees of input folders are mirrored. Runs over folders can be
interrupted and started again: finished photos are skipped. INPUT - reads a picture from standard input, -o - writes
the result to standard output.

--uncertainty and --compare name a file for one input file, otherwise a folder with the same tree. A photo that is
skipped gets none of these; --overwrite restores it again.

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
    inputs: Inputs,
    out: Out = None,
    model: Model = None,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    window: Window = None,
    tile: Tile = None,
    memory: Memory = None,
    threads: Threads = None,
    max_pixels: MaxPixels = None,
    format: Format = None,
    quality: Quality = None,
    strength: Strength = 1.0,
    ensemble: Ensemble = None,
    keep_color: KeepColor = False,
    uncertainty: Uncertainty = None,
    compare: Compare = None,
    trace: Trace = None,
    strip_metadata: StripMetadata = False,
    page: ReportPage = None,
    overwrite: Overwrite = False,
    recursive: Recursive = True,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Registered once for each task, which is the command's name."""
    run(str(context.info_name), context.obj, Options(**context.params))
