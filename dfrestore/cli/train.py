"""``dfrestore train``: parsing, progress and exit codes; the work is in :mod:`dfrestore.training`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfrestore.cli.options import complete_bases, complete_models, complete_presets, complete_trained_tasks
from dfrestore.cli.together import together
from dfrestore.cli.training_job import (
    Job,
    Start,
    degradation_of,
    fitted_to,
    look_at_data,
    new_run,
    option_settings,
    resumed_run,
    run_job,
)
from dfrestore.cli.training_options import (
    Clean,
    Data,
    Device,
    Minutes,
    Quiet,
    Resume,
    Run,
    Settings,
    Threads,
    overrides,
    parse_shares,
    require_minutes,
)
from dfrestore.errors import UsageError
from dfrestore.tasks import any_trained_task, preset_of
from dfrestore.threads import use_threads

if TYPE_CHECKING:
    from dfrestore.training.base import RunBase
    from dfrestore.training.config import TrainConfig


def train(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK",
            autocompletion=complete_trained_tasks,
            help=f"What the model will do: {any_trained_task()}; default: the preset's task.",
        ),
    ] = None,
    clean: Clean = None,
    data: Data = None,
    input_: Annotated[
        Path | None,
        typer.Option("--input", metavar="FOLDER", help="Folder of degraded photos, with --target instead of --data."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of their clean photos, of the same names.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Named settings, see --list-presets; default: those of the task's shipped model.",
            autocompletion=complete_presets,
        ),
    ] = None,
    run: Run = None,
    resume: Resume = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=complete_models,
            help="Start from this model: a name or a safetensors file; its network is taken.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            autocompletion=complete_bases,
            help="Build on this file, whose frozen tensors the result then needs; default: the preset's.",
        ),
    ] = None,
    minutes: Minutes = None,
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE=PART",
            help="With --minutes: a stage's share of the iterations, 0 to 1; default: as in the preset. Repeatable.",
        ),
    ] = None,
    coarse_share: Annotated[
        float | None, typer.Option(metavar="PART", help="Earlier name of --share coarse=PART.", hidden=True)
    ] = None,
    setting: Settings = None,
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="Licence of the weights, stored in the model file.")
    ] = "",
    trained_on: Annotated[
        str, typer.Option(metavar="TEXT", help="The training photos, stored in the model file.")
    ] = "",
    device: Device = "auto",
    threads: Threads = 0,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Read the data, list what is used and what is left out, and stop.")
    ] = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the resolved settings and stop.")] = False,
    list_presets: Annotated[bool, typer.Option("--list-presets", help="List the presets and stop.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on your own photos, in all stages of its method.

    \b
    Examples:
      dfrestore train derain --preset smoke --clean photos/ --run runs/try
      dfrestore train denoise --data pairs/ --minutes 480 --run runs/night
      dfrestore train --preset finetune --init-from derain/compact --data pairs/ --run runs/mine
      dfrestore train --preset paper-derain --data Rain13K/ --check-only
      dfrestore train --resume runs/try
      dfrestore derain rainy.jpg --model runs/try/model.safetensors
    """
    started = time.monotonic()
    from dfrestore.training.fit import require_fit
    from dfrestore.training.run import require_free
    from dfrestore.training.settings import list_presets as presets
    from dfrestore.training.toml import merge, to_toml

    if list_presets:
        for name, line in presets().items():
            typer.echo(f"{name:24} {line}")
        return
    preset = preset or preset_of(task)
    user_settings = merge(overrides(setting or []), option_settings(clean, data, input_, target, licence, trained_on))

    def settings() -> tuple[TrainConfig, Start | None, RunBase | None]:
        if resume:
            config, below = resumed_run(resume, user_settings, base)
            return config, None, below
        named = {} if base is None else {"model": {"base": base}}
        return new_run(preset, task, merge(user_settings, named), init_from)

    with together(device) as world:
        config, start, below = world.from_first(settings)
        if print_config:
            typer.echo(to_toml(config), nl=False)
            return
        if not config.data.named:
            raise UsageError(
                "train needs photos: --clean FOLDER (pairs are made on the fly), or --data FOLDER of pairs"
            )
        folder = resume or run
        shares = parse_shares(share or [], coarse_share, minutes)
        if not check_only:
            folder = _require(folder, resume, preset, start)
            require_minutes(minutes, resume)
            if world.first and not resume:
                require_free(folder)
        degrade = degradation_of(config)
        require_fit(config)
        photos = world.in_turn(lambda: look_at_data(config, quiet, sys.stdout if check_only else sys.stderr, world))
        world.require_same(photos)
        if check_only or folder is None:
            return
        job = Job(config, folder, photos, degrade, device, quiet, start, below, world=world)
        use_threads(threads)
        if minutes is not None:
            job = replace(job, config=fitted_to(job, minutes * 60 - (time.monotonic() - started), shares))
        run_job(job, resumed=resume is not None)


def _require(folder: Path | None, resume: Path | None, preset: str, start: Start | None) -> Path:
    """The run folder, once the options fit together."""
    if folder is None:
        raise UsageError("train needs a folder for its results: --run FOLDER")
    if preset == "finetune" and not resume and start is None:
        raise UsageError("preset finetune continues from a model: name one with --init-from NAME or FILE")
    return folder
