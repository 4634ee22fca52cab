"""``dfrestore derain`` and its siblings: one command for every task that restores files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import typer

from dfrestore.cli.restoring_options import (
    MASK_OPTIONS,
    NOISE_OPTIONS,
    PREVIEW_OPTIONS,
    SAME_SIZE_OPTIONS,
    SIZE_OPTIONS,
    WHERE_OPTIONS,
    AsJson,
    Base,
    Compare,
    Device,
    DryRun,
    Ensemble,
    Format,
    Grain,
    Inputs,
    KeepColor,
    Limit,
    MaxPixels,
    Memory,
    Model,
    Name,
    Newer,
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
from dfrestore.cli.restoring_run import run
from dfrestore.cli.restoring_values import Options
from dfrestore.cli.together import in_crew
from dfrestore.tasks import Task


def help_text(task: Task) -> str:
    """The help of one task's command."""
    kept = "Bit depth" if task.scale else "Size, bit depth"
    name = task.name
    return f"""{task.summary} {kept}, alpha, colour profile and metadata are kept.

INPUT: files and folders. A result stands beside its input as NAME_{name}.EXT, or where -o says: a file for one
input file, otherwise a folder, under which the trees of input folders are mirrored; a name without extension is a
folder. Runs can be interrupted and started again: photos that the same command has finished are skipped. INPUT - reads
a picture from standard input, -o - writes the result to standard output.

--uncertainty and --compare name a file for one input file, otherwise a folder with the same tree. A photo that is
skipped gets none of these; --overwrite restores it again.
{_ABOUT_SIZE if task.scale else ""}{_ABOUT_MASK if task.mask else _about_where(task)}
\b
Examples:
{_examples(task)}"""


_ABOUT_SIZE = """
Without a size, the result is as many times larger as the model makes it. --size: WxH fits inside, 'WxH^' fills, 'WxH!'
is exact, as in ImageMagick; 'WxH>' only ever enlarges; Wx and xH give one side. --strength blends with a plain resize;
--max-pixels bounds results too.
"""


def _about_where(task: Task) -> str:
    else_ = "is a plain resize of it" if task.scale else "stays as it is"
    return f"""
--region and --mask say where the photo changes; with both, where either says so. The rest {else_}. A region
fades in over up to 16 pixels inside. A mask is as large as the photo: white takes the whole result, grey a part of it;
a folder of masks holds photo.png or photo_mask.png for photo.jpg. --preview writes a part of the result alone, with
the pixels of the whole. The model always sees the whole photo.
"""


_ABOUT_MASK = """
--mask: a picture in which white is what to fill, as large as the photo; a folder of such pictures, found by the photos'
names (photo.png, photo_mask.png, photo_mask001.png); alpha, what is transparent; color:#ff00ff, what has that colour
(color:#ff00ff~20: within 20 levels); rect:x,y,w,h. --mask can be given several times, once with a file or folder: what
any of them covers is filled.
"""


def _examples(task: Task) -> str:
    if task.scale:
        return """  dfrestore upscale photo.jpg
  dfrestore upscale photo.jpg --scale 2 -o larger.png
  dfrestore upscale photo.jpg --long-edge 3840 --strength 0.7
  dfrestore upscale photo.jpg --size '1920x1080^' --compare strip.jpg
  dfrestore upscale holiday/ -o larger/ --min-size 3840x2160
  dfrestore upscale holiday/ --scale 200% --dry-run
  dfrestore upscale - -o - --format png < photo.jpg > larger.png
"""
    if task.mask:
        return """  dfrestore inpaint photo.jpg --mask mask.png
  dfrestore inpaint photo.jpg --mask mask.png --dilate 3 --feather 4 -o whole.png
  dfrestore inpaint photo.png --mask color:#ff00ff
  dfrestore inpaint scan.jpg --mask rect:120,40,300,24 --mask rect:0,0,2000,12
  dfrestore inpaint cutout.png --mask alpha
  dfrestore inpaint photo.jpg --mask color:#ff0000~40 --save-mask seen.png --dry-run
  dfrestore inpaint album/ --mask masks/ -o whole/
  dfrestore inpaint album/ --mask watermark.png -o whole/ --compare strips/
"""
    name = task.name
    return f"""  dfrestore {name} photo.jpg
  dfrestore {name} photo.jpg -o result.png --steps 4
  dfrestore {name} photo.jpg --strength 0.7 --model my-model.safetensors
  dfrestore {name} photo.jpg --preview 800,600,400,300
  dfrestore {name} photo.jpg --region 800,600,400,300
  dfrestore {name} holiday/ --mask masks/ -o holiday-{name}/
  dfrestore {name} photo.jpg --ensemble 4
  dfrestore {name} photo.jpg --uncertainty unsure.png
  dfrestore {name} photo.jpg --steps 20 --trace photo.gif
  dfrestore {name} photo.jpg --keep-color --compare strip.jpg
  dfrestore {name} photo.jpg --luma-only --grain 10%
  dfrestore {name} holiday/ -o holiday-{name}/
  dfrestore {name} *.jpg -o results/ --format png --json
  dfrestore {name} holiday/ -o holiday-{name}/ --report holiday.html
  dfrestore {name} - -o - --format png < photo.jpg > result.png
  dfrestore {name} holiday/ -o holiday-{name}/ --compare strips/
"""


@in_crew
def restore(
    context: typer.Context,
    inputs: Inputs,
    out: Out = None,
    model: Model = None,
    base: Base = None,
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
    grain: Grain = None,
    uncertainty: Uncertainty = None,
    compare: Compare = None,
    trace: Trace = None,
    strip_metadata: StripMetadata = False,
    page: ReportPage = None,
    overwrite: Overwrite = False,
    newer: Newer = False,
    name: Name = None,
    limit: Limit = None,
    recursive: Recursive = True,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """The options of every task, which is the command's name; see :func:`command_of`."""
    run(str(context.info_name), context.obj, Options(**context.params))


def command_of(task: Task) -> Callable[..., None]:
    """:func:`restore` with the further options of one task, which stand first in its help."""
    more = SIZE_OPTIONS if task.scale else MASK_OPTIONS if task.mask else SAME_SIZE_OPTIONS
    more = more | NOISE_OPTIONS if task.noise else more
    more = more | ({} if task.mask else WHERE_OPTIONS) | PREVIEW_OPTIONS
    common = inspect.signature(restore, eval_str=True).parameters
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter(name, kind, default=None, annotation=hint) for name, hint in more.items()]

    def command(**values: Any) -> None:
        restore(**{name: value for name, value in values.items() if name not in more})

    context, inputs, *rest = common.values()
    return with_parameters(command, [context, inputs, *own, *rest])


def with_parameters(command: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """``command``, which takes any values by name, as one of these parameters for Typer."""
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    command.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in named}
    return command
