"""The tree of commands. What a command line does not name is in it by name and help alone: options cost time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from dfrestore.cli.help_groups import GROUPS, Grouped
from dfrestore.tasks import AUTO, CHAIN, DETECT, any_of, restoring_tasks
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
  dfrestore auto holiday/ -o better/            finds what is wrong with each photo
  dfrestore derain --help                       all options

\b
Exit codes:
  0    all done; photos that were finished earlier count too
  1    some inputs failed, the rest is done
  2    wrong usage: an unknown name or impossible value, an input that does not exist; nothing was touched
  3    could not start: a model, device or package that is not here, a folder that takes no files, nothing to train on
  130  interrupted (143: terminated); finished results are kept

Results go to standard output, messages for people to standard error. DFRESTORE_DEBUG=1 shows where an error arose.
"""


WEIGHTS = "weights"  # a group of its own
NAMES = (
    *restoring_tasks(),
    CHAIN,
    AUTO,
    DETECT,
    "train",
    "finetune",
    "evaluate",
    "degrade",
    WEIGHTS,
    "benchmark",
    "info",
)


def _command(name: str) -> tuple[Callable[..., Any], str | None]:
    """(what it does, its help, where that is not the docstring). Its module is imported now."""
    tasks = restoring_tasks()
    if name in tasks:
        from dfrestore.cli import restoring

        return restoring.command_of(tasks[name]), restoring.help_text(tasks[name])
    if name == CHAIN:
        from dfrestore.cli import chain

        return chain.command(), chain.HELP
    if name == AUTO:
        from dfrestore.cli import auto

        return auto.command(), auto.help_text()
    if name == WEIGHTS:
        from dfrestore.cli import weights

        return _nothing, weights.app.info.short_help
    module = import_module(f"dfrestore.cli.{name}")
    return getattr(module, name), module.help_text() if hasattr(module, "help_text") else None


def build(wanted: str | None = None) -> typer.Typer:
    """wanted: the command that has its options; None: all have. Where it is none of ours, all have their help."""
    app = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode=None,  # plain text in pipes too, and nothing heavy to import
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in NAMES:
        if wanted in NAMES and wanted != name:
            app.command(name)(_nothing)
            continue
        command, text = _command(name)
        if wanted not in (None, name):
            app.command(name, help=text or inspect.getdoc(command))(_nothing)
        elif name == WEIGHTS:
            from dfrestore.cli import weights

            app.add_typer(weights.app, name=name)
        else:
            app.command(name, help=text, cls=Grouped if name in GROUPS else None)(command)
    return app


def may_be_an_option(name: str) -> bool:
    """Whether some command could have this option, ``--name``; seen without building them."""
    parameter = name.lstrip("-").replace("-", "_")
    return any(parameter in inspect.signature(_command(one)[0]).parameters for one in NAMES)


def wanted_by(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """The first word of a command line, or of the one that a shell wants completed; empty where there is none."""
    if "_DFRESTORE_COMPLETE" in environment:
        words = environment.get("COMP_WORDS") or environment.get("_TYPER_COMPLETE_ARGS") or ""
        arguments = words.split()[1:]
    return next((word for word in arguments if not word.startswith("-")), "")


def _nothing() -> None:
    """In place of a command that is not wanted."""


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"dfrestore {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass
