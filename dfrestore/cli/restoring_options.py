"""Options that several commands which run a model share, each with its type and help.

An option whose help differs between commands stands with its command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dfrestore.cli.options import (
    DEVICE_NAMES,
    FORMAT_NAMES,
    complete_models,
    completer,
    known_device,
    known_precision,
    share,
)
from dfrestore.devices import PRECISIONS
from dfrestore.tasks import TASKS

Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N or mps.",
        callback=known_device,
        autocompletion=completer(*DEVICE_NAMES),
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto, fp32, bf16 or fp16.",
        callback=known_precision,
        autocompletion=completer(*PRECISIONS),
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="N|N@LEVEL|global",
        help="Side of the attention's windows in pixels, at all levels or at some (384@2); default: the model's.",
        autocompletion=completer("global"),
    ),
]
Base = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The file that the model builds on, if any; default: searched by its sha256."),
]

# -- of the commands that restore files alone ----------------------------------------------------------------------

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT", help="Pictures, and folders of pictures; or -.")]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="OUT",
        help="Where results go: a file (NAME.EXT) for one input file, else a folder; default: beside the input.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Name, file or hf://ORG/REPO/FILE@REV; default: the task's own.",
        autocompletion=complete_models,
    ),
]
Steps = Annotated[
    int | None, typer.Option(min=1, max=1000, metavar="N", help="Steps of diffusion; default: the model's own.")
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the noise.")]
Tile = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="N", help="Work in tiles of N pixels, 64 or more; 0: whole; default: whole if it fits."
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Budget of the process, or of the GPU, like 8G; default: what is free."),
]
MaxPixels = Annotated[str | None, typer.Option(metavar="N", help="Refuse larger pictures, like 100M; default: 250M.")]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="png, jpg, webp, tiff or avif; default: as OUT, else as the input.",
        autocompletion=completer(*FORMAT_NAMES),
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(min=1, max=100, metavar="Q", help="For JPEG, WebP and AVIF; default: as the input, at least 95."),
]
Strength = Annotated[
    float,
    typer.Option(metavar="S", parser=share("--strength"), help="From 0, the input, to 1 or 100%, the full result."),
]
Ensemble = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="K",
        help="Mean of K restorations, each of the picture turned; takes K times as long.",
    ),
]
KeepColor = Annotated[
    bool, typer.Option("--keep-color", help="Broad colours as in the input, for models that shift them.")
]
Grain = Annotated[
    float | None,
    typer.Option(
        metavar="A",
        parser=share("--grain"),
        help="Film-like grain onto the result, 0% to 100% or 0 to 1; follows --seed alone.",
    ),
]
Uncertainty = Annotated[
    str | None,
    typer.Option(
        metavar="MAP.png|FOLDER",
        help="Map of where the members of an ensemble (default: 4) disagree; white: 10 % or more.",
    ),
]
Compare = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|FOLDER", help="Picture of before and after side by side, .jpg or .png, at most 4096 pixels wide."
    ),
]
Trace = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.gif",
        help="Animation from noise to photo, .gif or .webp, for models that work in steps; more --steps show more.",
    ),
]
StripMetadata = Annotated[bool, typer.Option("--strip-metadata", help="Drop EXIF, XMP and IPTC.")]
ReportPage = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Write an HTML page that shows every photo before and after, skipped ones too; replaces an older report.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Redo and replace outputs that exist.")]
Newer = Annotated[
    bool, typer.Option("--newer", help="Redo outputs that are older than their input; others that exist count as done.")
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="TEMPLATE",
        help="Names of results, without ending: {stem}, {task}, {model}, {steps}, {seed}; default: {stem}, beside the "
        "input {stem}_{task}.",
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Stop after N photos that had to be done, and say what is left.")
]
Recursive = Annotated[bool, typer.Option("--recursive/--no-recursive", help="Look into folders below an input folder.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and touch nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per file, and one with totals at the end.")]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="CPU threads; default: one per core, or OMP_NUM_THREADS.")
]

# -- of the tasks that enlarge: name -> option, None where it is left out ------------------------------------------

SIZE_OPTIONS: dict[str, Any] = {
    "scale": Annotated[
        str | None, typer.Option(metavar="FACTOR", help="How many times larger: 4, 1.5, 200%; at most 16.")
    ],
    "size": Annotated[
        str | None, typer.Option(metavar="WxH[^!>]", help="Size of the result in pixels; aspect is kept unless !.")
    ],
    "long_edge": Annotated[int | None, typer.Option(metavar="N", help="The longer side gets N pixels.")],
    "short_edge": Annotated[int | None, typer.Option(metavar="N", help="The shorter side gets N pixels.")],
    "min_size": Annotated[
        str | None, typer.Option(metavar="WxH", help="At least so large; larger photos stay as they are.")
    ],
}

# -- of the tasks that keep the size and see the whole picture --------------------------------------------------------

SAME_SIZE_OPTIONS: dict[str, Any] = {
    "chroma_only": Annotated[
        bool | None, typer.Option("--chroma-only", help="Take the result's colours alone; brightness stays as it is.")
    ],
    "luma_only": Annotated[
        bool | None, typer.Option("--luma-only", help="Take the result's brightness alone; colours stay as they are.")
    ],
}

# -- of the tasks that take away noise ---------------------------------------------------------------------------------

NOISE_OPTIONS: dict[str, Any] = {
    "keep_detail": Annotated[
        float | None,
        typer.Option(
            metavar="A",
            parser=share("--keep-detail"),
            help="Give detail back that was taken for noise: 0 none, 1 or 100% all.",
        ),
    ],
}

# -- where a photo may change, of the tasks that fill nothing --------------------------------------------------------

WHERE_OPTIONS: dict[str, Any] = {
    "region": Annotated[
        list[str] | None,
        typer.Option(metavar="x,y,w,h", help="Change the photo in this rectangle alone, in its pixels. Repeatable."),
    ],
    "mask": Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Change the photo where this grey picture is not black, so much as it is bright; or a folder of them.",
        ),
    ],
}

# -- of all of them --------------------------------------------------------------------------------------------------

PREVIEW_OPTIONS: dict[str, Any] = {
    "preview": Annotated[
        str | None,
        typer.Option(
            metavar="x,y,w,h", help="Write this part of the result alone, as it is in the whole; NAME_..._preview.EXT."
        ),
    ],
}

# -- of the tasks that fill holes ------------------------------------------------------------------------------------

MASK_OPTIONS: dict[str, Any] = {
    "mask": Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|FOLDER|alpha|color:#rrggbb[~T]|rect:x,y,w,h",
            help="What to fill: white in a picture, or a part of the photo. Repeatable.",
        ),
    ],
    "invert": Annotated[bool | None, typer.Option("--invert", help="Fill what the mask leaves, not what it covers.")],
    "dilate": Annotated[
        int | None, typer.Option(min=0, max=1000, metavar="N", help="Grow the mask by N pixels on all sides.")
    ],
    "feather": Annotated[
        int | None, typer.Option(min=0, max=1000, metavar="N", help="Soft edge of N pixels around the mask.")
    ],
    "keep_alpha": Annotated[
        bool | None, typer.Option("--keep-alpha", help="With --mask alpha: the result stays transparent there.")
    ],
    "save_mask": Annotated[
        str | None,
        typer.Option(
            metavar="FILE.png|FOLDER", help="Write the mask as it was understood, with --dry-run too; white is filled."
        ),
    ],
}

# -- of one task of a chain ------------------------------------------------------------------------------------------

STEP_OPTIONS = frozenset(
    {"model", "base", "steps", "seed", "window", "tile", "strength", "ensemble", "keep_color", "grain"}
    | SAME_SIZE_OPTIONS.keys()
    | NOISE_OPTIONS.keys()
    | SIZE_OPTIONS.keys()
    | MASK_OPTIONS.keys()
)
"""The options that each task of a chain has for itself, as TASK.OPTION=VALUE; the others hold for all of it."""
ALONE_OPTIONS = frozenset({"uncertainty", "trace"})
"""Those that a chain has not."""


def is_of_step(option: str, task: str) -> bool:
    """Whether a task of a chain has this option for itself: masks of its own are for what is filled."""
    return option in STEP_OPTIONS and (option != "mask" or TASKS[task].mask)
