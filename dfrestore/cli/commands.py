"""The tree of commands."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import typer

from dfrestore import __version__
from dfrestore.cli import files
from dfrestore.cli.benchmark import benchmark
from dfrestore.cli.info import info
from dfrestore.restore.tasks import TASKS

_HELP = """Take rain, noise and blur out of photos with few-step diffusion Transformers.

\b
Examples:
  dfrestore derain photo.jpg                    -> photo_derain.jpg
  dfrestore derain photo.jpg -o dry.png --steps 4
  dfrestore denoise holiday/ -o clean/          the tree is mirrored
  dfrestore derain --help                       all options

\b
Exit codes:
  0    all done, what was done before included
  1    some inputs failed, the rest is done
  2    wrong usage, an input that does not exist; nothing was touched
  3    could not start: no model, no device, nothing to train on, no extra
  130  interrupted (143: terminated); what is finished is kept

Results go to standard output, all words for people to standard error. DFRESTORE_DEBUG=1 shows where an error arose.
"""

# Commands that come as plain functions: module of this package -> (command, attribute).
_FUNCTIONS = {
    "train": ("train",),
    "finetune": ("finetune",),
    "evaluate": ("evaluate",),
    "degrade": ("degrade",),
}

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text in pipes too, and nothing heavy to import
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dfrestore {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


for _task, _summary in TASKS.items():
    app.command(_task, help=files.help_text(_task, _summary))(files.restore)

for _module, _names in _FUNCTIONS.items():
    if find_spec(f"dfrestore.cli.{_module}") is not None:
        _functions = import_module(f"dfrestore.cli.{_module}")
        for _name in _names:
            if hasattr(_functions, _name):
                app.command(_name)(getattr(_functions, _name))

if find_spec("dfrestore.cli.weights") is not None:
    app.add_typer(import_module("dfrestore.cli.weights").app, name="weights")

app.command("benchmark")(benchmark)
app.command("info")(info)
