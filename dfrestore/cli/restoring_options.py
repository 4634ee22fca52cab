"""Options that commands which run a model share, each with its type and help.

Those whose words differ from command to command stand there.
"""

from __future__ import annotations

from typing import Annotated

import typer

from dfrestore.cli.options import DEVICE_NAMES, PRECISION_NAMES, completer

Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.", autocompletion=completer(*DEVICE_NAMES))
]
Precision = Annotated[
    str, typer.Option(metavar="NAME", help="auto, fp32, bf16 or fp16.", autocompletion=completer(*PRECISION_NAMES))
]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="N|N@LEVEL|global",
        help="Side of the attention's windows in pixels, at some levels alone (384@2) or at all; default: the model's.",
        autocompletion=completer("global"),
    ),
]
