"""``dfrestore finetune``: training goes on from a model; the work is in :mod:`dfrestore.training.finetune`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore.cli.options import complete_models, complete_tasks
from dfrestore.cli.restoring_options import Base
from dfrestore.cli.training_job import (
    Job,
    Start,
    degradation_of,
    fitted_to,
    look_at_data,
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
    require_minutes,
)
from dfrestore.errors import UsageError
from dfrestore.processes import launched
from dfrestore.tasks import any_task
from dfrestore.threads import use_threads

if TYPE_CHECKING:
    from dfrestore.training.config import TrainConfig
    from dfrestore.training.photos import Photos


def finetune(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK",
            autocompletion=complete_tasks,
            help=f"What the model does: {any_task()}; default: what the model to start from does.",
        ),
    ] = None,
    data: Data = None,
    clean: Clean = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=complete_models,
            help="The model to start from: a name or a safetensors file; default: the task's own.",
        ),
    ] = None,
    base: Base = None,
    run: Run = None,
    resume: Resume = None,
    minutes: Minutes = None,
    mix: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of clean photos; pairs made from them fill half of each batch. Repeatable.",
        ),
    ] = None,
    setting: Settings = None,
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="Licence of the weights; default: that of the start model.")
    ] = "",
    trained_on: Annotated[
        str, typer.Option(metavar="TEXT", help="The photos, added to what the start model was trained on.")
    ] = "",
    device: Device = "auto",
    threads: Threads = 0,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Read the data, print the resolved settings and stop.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Make a model better on photos of your own. Five pairs are enough.

    Some photos are held out to judge the result. On these it is never worse than the model it started from, unless it
    is trained against a discriminator, which costs dB.

    \b
    Examples:
      dfrestore finetune derain --data pairs/ --run runs/mine
      dfrestore finetune derain --data pairs/ --mix photos/ --minutes 30 --run runs/mine
      dfrestore finetune denoise --model own.safetensors --clean photos/ --run runs/mine
      dfrestore finetune --resume runs/mine
      dfrestore derain rainy.jpg --model runs/mine/model.safetensors
    """
    started = time.monotonic()
    if launched():
        raise UsageError("finetune starts in one process; continue in several with: torchrun ... train --resume RUN")
    user_settings = _settings(setting, data, clean, mix)
    use_threads(threads)
    if resume:
        require_minutes(minutes, resume)
        if task or model:
            raise UsageError(f"--resume {resume} continues with that run's own task and model; leave them out")
        _resume(resume, user_settings | _descriptions(licence, trained_on), base, device, quiet)
        return
    _require(run, user_settings, minutes, print_config)
    start, label = _start_model(model, task, base)
    config, photos = _configure(start, label, user_settings, licence, trained_on, quiet)
    if print_config or run is None:
        from dfrestore.training.toml import to_toml

        typer.echo(to_toml(config), nl=False)
        return
    job = Job(config, run, photos, degradation_of(config), device, quiet, start, start.base, floor=True)
    if minutes is not None:
        from dfrestore.training.finetune import with_time

        fitted = fitted_to(job, minutes * 60 - (time.monotonic() - started), {})
        job = replace(job, config=with_time(fitted, user_settings))
    run_job(job, resumed=False)


def _settings(
    setting: list[str] | None, data: list[Path] | None, clean: list[Path] | None, mix: list[Path] | None
) -> dict[str, Any]:
    """What the options set, as nested plain values."""
    from dfrestore.training.toml import merge

    user_settings = merge(overrides(setting or []), option_settings(clean, data, None, None, "", ""))
    return merge(user_settings, {"data": {"mix": [str(folder.resolve()) for folder in mix]}}) if mix else user_settings


def _descriptions(licence: str, trained_on: str) -> dict[str, str]:
    return {key: text for key, text in (("licence", licence), ("trained_on", trained_on)) if text}


def _require(run: Path | None, user_settings: dict[str, Any], minutes: float | None, print_config: bool) -> None:
    """The options fit together, and the run folder is free."""
    from dfrestore.training.run import require_free

    data = user_settings.get("data")
    if not isinstance(data, dict) or not any(data.get(key) for key in ("pairs", "clean", "input")):
        raise UsageError("finetune needs photos: --data FOLDER of pairs, or --clean FOLDER (pairs are made on the fly)")
    if run is None and not print_config:
        raise UsageError("finetune needs a folder for its results: --run FOLDER")
    require_minutes(minutes, None)
    if run is not None:
        require_free(run, finetuning=True)


def _start_model(name: str | None, task: str | None, base: Path | None) -> tuple[Start, str]:
    """The named model or the task's default, and how the result names it: by file name, without its folders."""
    from dfrestore.training.base import base_of_model
    from dfrestore.training.finetune import require_task
    from dfrestore.weights import load_checkpoint, on_base, resolve
    from dfrestore.weights.checkpoint import sha256_of

    if name is None and task is None:
        raise UsageError("finetune needs a model: name a task, as in 'dfrestore finetune derain', or a --model")
    bare = name is None or ("/" not in name and not Path(name).is_file())
    found = on_base(resolve(name, task=task if bare else None), base)
    for line in found.warnings:
        print(line, file=sys.stderr)
    tensors, spec = load_checkpoint(found.path, sha256=found.sha256)
    require_task(spec, found.label, task or spec.task)
    start = Start(tensors, spec, base_of_model(spec, found.path, found.base) if spec.base else None)
    if found.label != str(found.path):
        return start, found.label
    return start, f"{found.path.name}, sha256 {sha256_of(found.path)[:16]}"


def _configure(
    start: Start, label: str, user_settings: dict[str, Any], licence: str, trained_on: str, quiet: bool
) -> tuple[TrainConfig, Photos]:
    """The data, looked at, and the settings that fit them."""
    from dfrestore.training.base import with_base
    from dfrestore.training.finetune import (
        data_config,
        finetune_config,
        remarks,
        require_enough,
        require_trainable,
        with_origin,
    )
    from dfrestore.training.fit import require_fit
    from dfrestore.training.toml import merge

    require_trainable(start.spec)
    user_settings = merge(with_origin(start.spec, label, licence, trained_on), user_settings)
    first = data_config(start.spec.task, start.spec, user_settings)
    if first.model.base:
        raise UsageError("model.base: finetune builds on what its model builds on; leave it out, or use train")
    degradation_of(first)  # a task without one is refused before all photos are read
    require_fit(first)
    photos = look_at_data(first, quiet, sys.stderr)
    require_enough(photos)
    config = finetune_config(start.spec.task, start.spec, photos, user_settings)
    if start.base is not None:
        config = with_base(config, start.base, None)
    for line in remarks(photos, config):
        print(line, file=sys.stderr)
    return config, photos


def _resume(folder: Path, user_settings: dict[str, Any], base: Path | None, device: str, quiet: bool) -> None:
    from dfrestore.training.fit import require_fit

    config, below = resumed_run(folder, user_settings, base)
    require_fit(config)
    photos = look_at_data(config, quiet, sys.stderr)
    run_job(Job(config, folder, photos, degradation_of(config), device, quiet, None, below), resumed=True)
