"""``dfrestore train``: parsing, progress and exit codes; the work is in :mod:`dfrestore.training`."""

from __future__ import annotations

import contextlib
import signal
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore.cli.entry import Terminated
from dfrestore.errors import UsageError

if TYPE_CHECKING:
    from dfrestore.training.config import TrainConfig
    from dfrestore.training.run import Record


def train(
    task: Annotated[str, typer.Argument(help="What the model shall remove: derain.")] = "derain",
    clean: Annotated[
        list[Path] | None, typer.Option(help="Folder of clean photos; pairs are made on the fly. Repeatable.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Named settings, see --list-presets.")] = "compact",
    run: Annotated[Path | None, typer.Option("--run", "-o", help="The run folder.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder, bit for bit.")] = None,
    init_from: Annotated[Path | None, typer.Option(help="Start from the weights of this safetensors file.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting, e.g. --set fine.lr=1e-4. Repeatable.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, stored in the model file.")] = "",
    trained_on: Annotated[str, typer.Option(help="The training photos, stored in the model file.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's choice.")] = 0,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the resolved settings and stop.")] = False,
    list_presets: Annotated[bool, typer.Option("--list-presets", help="List the presets and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")] = False,
) -> None:
    """Train a model on your own photos, coarse stage then fine stage.

    \b
    dfrestore train derain --preset smoke --clean photos/ --run runs/try
    dfrestore train --resume runs/try
    dfrestore derain rainy.jpg --model runs/try/model.safetensors
    """
    from dfrestore.training.config import list_presets as presets
    from dfrestore.training.config import load_preset, merge, to_toml
    from dfrestore.training.run import read_run

    if list_presets:
        for name, line in presets().items():
            typer.echo(f"{name:16} {line}")
        return
    given = merge(_overrides(setting or []), _given(clean, licence, trained_on))
    config = read_run(resume, given) if resume else load_preset(preset, task, given)
    if print_config:
        typer.echo(to_toml(config), nl=False)
        return
    if not config.data.clean:
        raise UsageError("train needs photos: --clean FOLDER (pairs are made on the fly)")
    folder = resume or run
    if folder is None:
        raise UsageError("train needs a folder for its results: --run FOLDER")
    _train(config, folder, resume is not None, init_from, device, threads, quiet)


def _given(clean: list[Path] | None, licence: str, trained_on: str) -> dict[str, Any]:
    """The settings that have options of their own, if they were given."""
    out: dict[str, Any] = {"data": {"clean": [str(folder.resolve()) for folder in clean]}} if clean else {}
    out |= {"licence": licence} if licence else {}
    return out | ({"trained_on": trained_on} if trained_on else {})


def _train(
    config: TrainConfig,
    folder: Path,
    resumed: bool,
    init_from: Path | None,
    device: str,
    threads: int,
    quiet: bool,
) -> None:
    import torch
    from tqdm import tqdm

    from dfrestore.engine import choose_device
    from dfrestore.training.data import degradation, load_photos
    from dfrestore.training.run import describe, load_state, open_run
    from dfrestore.training.run import train as records
    from dfrestore.training.trainer import Trainer
    from dfrestore.weights import load_checkpoint

    if threads:
        torch.set_num_threads(threads)
    degrade = degradation(config.task)
    start = load_checkpoint(init_from)[0] if init_from and not resumed else None
    photos = load_photos([Path(folder) for folder in config.data.clean])
    for line in photos.skipped:
        print(f"left out: {line}", file=sys.stderr)
    trainer = Trainer(config, photos, degrade, device=str(choose_device(device).torch_device))
    if resumed:
        load_state(trainer, folder)
    else:
        if start:
            trainer.load_weights(start)
        open_run(folder, config)
    if not quiet:
        line = f"train {config.task}: {describe(photos.names, photos.skipped)}, {trainer.describe()}"
        print(line, file=sys.stderr)
    total = config.coarse.iterations + config.fine.iterations
    bar = tqdm(total=total, unit="it", disable=quiet or not sys.stderr.isatty(), smoothing=0.05)
    bar.update(trainer.done)
    stream = records(trainer, folder)
    try:
        with signals_after_the_step() as arrived:
            for record in stream:
                _show(record, bar, quiet)
                if arrived:
                    break
    finally:
        stream.close()  # saves
        bar.close()
    if arrived:
        print(f"saved; go on with: dfrestore train --resume {folder}", file=sys.stderr)
        raise KeyboardInterrupt if arrived[0] == signal.SIGINT else Terminated
    typer.echo(str(folder / "model.safetensors"))


def _show(record: Record, bar: Any, quiet: bool) -> None:
    from dfrestore.training.trainer import StepRecord, ValidationRecord

    if isinstance(record, StepRecord):
        bar.set_postfix_str(f"{record.stage} loss {record.loss:.4f} lr {record.lr:.1e}", refresh=False)
        bar.update(1)
    elif isinstance(record, ValidationRecord) and not quiet:
        scores = ", ".join(f"{n} steps {value:.2f}" for n, value in record.psnr.items())
        best = " (best)" if record.best else ""
        line = f"{record.stage} {record.iteration}: {scores} dB, input {record.psnr_input:.2f} dB{best}"
        bar.write(line, file=sys.stderr)


@contextlib.contextmanager
def signals_after_the_step() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM put their number into the yielded list instead of tearing a step; a second Ctrl-C raises."""
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if arrived:
            raise KeyboardInterrupt
        arrived.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield arrived
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _overrides(settings: list[str]) -> dict[str, Any]:
    """``["fine.lr=1e-4"]`` -> ``{"fine": {"lr": 1e-4}}``; values are TOML, bare words are text."""
    out: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting}: expected KEY=VALUE, e.g. fine.lr=1e-4")
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            value = text
        *tables, name = key.strip().split(".")
        table = out
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {setting}: {part} is a value, not a table")
        table[name] = value
    return out
