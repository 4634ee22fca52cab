"""Options that commands of training share, each with its type and help.

Those whose words differ from command to command stand there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfrestore.cli.options import DEVICE_NAMES, completer

Clean = Annotated[
    list[Path] | None,
    typer.Option(metavar="FOLDER", help="Folder of clean photos; pairs are made on the fly. Repeatable."),
]
Run = Annotated[
    Path | None,
    typer.Option("--run", "-o", metavar="FOLDER", help="The run folder; it is made, and must not hold another run."),
]
Resume = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Continue the run in this folder, bit for bit.")]
Minutes = Annotated[
    float | None,
    typer.Option(metavar="M", help="Measure the speed first, then fix a schedule that ends within these minutes."),
]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N.", autocompletion=completer(*DEVICE_NAMES))
]
Threads = Annotated[int, typer.Option(min=0, metavar="N", help="CPU threads; 0: torch's choice.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]
