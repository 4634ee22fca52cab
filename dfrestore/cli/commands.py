"""The tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from dfrestore.cli import degrade, restoring, weights
from dfrestore.cli.benchmark import benchmark
from dfrestore.cli.evaluate import evaluate
from dfrestore.cli.finetune import finetune
from dfrestore.cli.info import info
from dfrestore.cli.train import train
from dfrestore.tasks import any_of, restoring_tasks
from dfrestore.version import __version__

_REMOVED = any_of([task.removes for task in restoring_tasks().values() if task.removes], "and")
_HELP = f"""Take {_REMOVED} out of photos, make them larger, and fill
holes in them, with few-step diffusion Transformers.

\b
Examples:
  dfrestore derain photo.jpg                    -> photo_derain.jpg
  dfrestore derain photo.jpg -o dry.png --steps 4
  dfrestore denoise holiday/ -o clean/          its subfolders too
  dfrestore upscale photo.jpg --scale 4
  dfrestore inpaint photo.jpg --mask mask.png   what is white is filled
  dfrestore derain --help                       all options

\b
Exit codes:
  0    all done; photos that were finished earlier count too
  1    some inputs failed, the rest is done
  2    wrong usage: an unknown name or impossible value, an input that does not exist; nothing was touched
  3    could not start: a known model or device that is not here, nothing to train on, an extra that is missing
  130  interrupted (143: terminated); finished results are kept

Results go to standard output, messages for people to standard error. DFRESTORE_DEBUG=1 shows where an error arose.
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text in pipes too, and nothing heavy to import
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"dfrestore {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


for _task in restoring_tasks().values():
    app.command(_task.name, help=restoring.help_text(_task))(restoring.command_of(_task))
app.command("train")(train)
app.command("finetune")(finetune)
app.command("evaluate")(evaluate)
app.command("degrade", help=degrade.help_text())(degrade.degrade)
app.add_typer(weights.app, name="weights")
app.command("benchmark")(benchmark)
app.command("info")(info)
