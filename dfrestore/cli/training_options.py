"""Options that commands of training share, each with its type and help.

Those whose words differ from command to command stand there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Clean = Annotated[
    list[Path] | None, typer.Option(help="Folder of clean photos; pairs are made on the fly. Repeatable.")
]
Run = Annotated[Path | None, typer.Option("--run", "-o", help="The run folder.")]
Resume = Annotated[Path | None, typer.Option(help="Continue the run in this folder, bit for bit.")]
Minutes = Annotated[
    float | None, typer.Option(help="Measure the speed first, then fix a schedule that ends within these minutes.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's choice.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]
