"""What ``train`` and ``finetune`` share: settings from options, the data, and a run with its progress and signals."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import typer

from dfrestore.cli.ending import Terminated
from dfrestore.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from dfrestore.training.config import TrainConfig
    from dfrestore.training.data import Degrade
    from dfrestore.training.distributed import World
    from dfrestore.training.photos import Photos
    from dfrestore.training.run import Record
    from dfrestore.training.trainer import Trainer
    from dfrestore.weights.spec import ModelSpec


@dataclass(frozen=True)
class Start:
    """Weights to start from."""

    tensors: dict[str, Tensor]
    spec: ModelSpec


@dataclass(frozen=True)
class Job:
    """What a run is made of."""

    config: TrainConfig
    folder: Path
    photos: Photos
    degrade: Degrade | None
    device: str
    quiet: bool
    start: Start | None
    floor: bool = False  # the start model is scored, and kept unless training makes a better one
    world: World | None = None  # the processes that train together; None: alone

    def torch_device(self) -> str:
        from dfrestore.training.distributed import SOLO

        return (self.world or SOLO).device(self.device)


def given_settings(
    clean: list[Path] | None,
    pairs: list[Path] | None,
    input_: Path | None,
    target: Path | None,
    licence: str,
    trained_on: str,
) -> dict[str, Any]:
    """The settings that have options of their own, if they were given."""
    data: dict[str, Any] = {}
    data |= {"clean": [str(folder.resolve()) for folder in clean]} if clean else {}
    data |= {"pairs": [str(folder.resolve()) for folder in pairs]} if pairs else {}
    data |= {"input": str(input_.resolve())} if input_ else {}
    data |= {"target": str(target.resolve())} if target else {}
    out: dict[str, Any] = {"data": data} if data else {}
    out |= {"licence": licence} if licence else {}
    return out | ({"trained_on": trained_on} if trained_on else {})


def start_weights(name: str | None, task: str) -> Start | None:
    """The named model. A bare name is one of the task's; a full name or a file may be of another task."""
    if name is None:
        return None
    from dfrestore.methods import empty_network
    from dfrestore.weights import load_checkpoint, resolve

    bare = "/" not in name and not Path(name).is_file()
    found = resolve(name, task=task if bare else None, restoring=False)
    for line in found.warnings:
        print(line, file=sys.stderr)
    tensors, spec = load_checkpoint(found.path, sha256=found.sha256)
    empty_network(spec, tensors, str(found.path))  # before its network is given memory
    return Start(tensors, spec)


def degradation_of(config: TrainConfig) -> Degrade | None:
    from dfrestore.training.data import degradation

    unneeded = config.data.paired and not config.data.mix
    return None if unneeded else degradation(config.task, config.data.preset)


def look_at_data(config: TrainConfig, quiet: bool, stream: TextIO, world: World | None = None) -> Photos:
    """All the data, decoded; what was found is told, and nothing to train on is refused."""
    from tqdm import tqdm

    from dfrestore.training.check import describe, load_data, report, require

    with tqdm(desc="reading", unit="file", disable=quiet or not sys.stderr.isatty(), leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        # processes beside each other map one file instead of holding the photos once each
        mapped = world is not None and world.shares_machine and config.data.memory == "auto"
        photos = load_data(replace(config.data, memory="0") if mapped else config.data, progress)
    for line in report(photos):
        print(line, file=stream)
    require(photos, config.data)
    if not quiet or stream is sys.stdout:
        print(f"data: {describe(photos)}", file=stream)
    return photos


def fitted_to(job: Job, seconds: float, coarse_share: float | None) -> TrainConfig:
    """The settings with iterations that fit into what is left of ``seconds`` once the speed is measured."""
    from dfrestore.training.budget import describe, fit, measure
    from dfrestore.training.distributed import SOLO

    started = time.monotonic()
    world = job.world or SOLO
    speed = measure(job.config, job.photos, job.degrade, job.torch_device(), seconds, world)
    spent = time.monotonic() - started + (3 * speed.validation if job.floor else 0)  # at the start, twice at the end
    config = world.from_first(lambda: fit(job.config, speed, seconds - spent, coarse_share))
    if not job.quiet:
        print(f"schedule: {describe(config, speed)}", file=sys.stderr)
    return config


def run_job(job: Job, resumed: bool) -> None:
    from tqdm import tqdm

    from dfrestore.training.distributed import SOLO
    from dfrestore.training.finetune import resume
    from dfrestore.training.run import open_run
    from dfrestore.training.run import train as records
    from dfrestore.training.trainer import StepRecord, Trainer

    config, folder, quiet, world = job.config, job.folder, job.quiet, job.world or SOLO
    trainer = Trainer(config, job.photos, job.degrade, device=job.torch_device(), world=world)
    if resumed and world.first:
        for line in resume(trainer, folder):
            print(line, file=sys.stderr)
    elif world.first:
        open_run(folder, config, _beginning(job, trainer))
    trainer.take_state_of_first()
    if not quiet:
        print(f"train {config.task}: {trainer.describe()}", file=sys.stderr)
    total = config.coarse.iterations + config.fine.iterations
    bar = tqdm(total=total, unit="it", disable=quiet or not sys.stderr.isatty(), smoothing=0.05)
    bar.update(trainer.done)
    stream, stop = records(trainer, folder), 0
    try:
        with signals_after_the_step() as arrived:
            for record in stream:
                _show(record, bar, quiet)
                # of several processes each has the steps' records, so all stop after the same one
                stop = world.agree(arrived) if world.size == 1 or isinstance(record, StepRecord) else 0
                if stop:
                    break
    finally:
        stream.close()  # saves
        bar.close()
    if stop:
        print(f"saved; go on with: dfrestore train --resume {folder}", file=sys.stderr)
        raise KeyboardInterrupt if stop == signal.SIGINT else Terminated
    typer.echo(str(folder / "model.safetensors"))


def _beginning(job: Job, trainer: Trainer) -> Callable[[], object] | None:
    """Load the start weights, if there are any; what is returned saves them for a run that is resumed at once."""
    from dfrestore.training.checkpoints import save_state
    from dfrestore.training.finetune import keep_start

    start = job.start
    if start is None:
        return None
    trainer.load_weights(start.tensors)
    if job.floor:
        return lambda: keep_start(trainer, job.folder, start.tensors, start.spec)
    return lambda: save_state(trainer, job.folder)


def _show(record: Record, bar: Any, quiet: bool) -> None:
    from dfrestore.training.finetune import Settled
    from dfrestore.training.trainer import StepRecord, ValidationRecord

    if isinstance(record, StepRecord):
        bar.set_postfix_str(f"{record.stage} loss {record.loss:.4f} lr {record.lr:.1e}", refresh=False)
        bar.update(1)
        if record.skipped:
            bar.write(f"{record.stage} {record.iteration}: loss or gradient not finite; skipped", file=sys.stderr)
    elif isinstance(record, ValidationRecord) and not quiet:
        scores = ", ".join(f"{n} steps {value:.2f}" for n, value in record.psnr.items())
        best = " (best)" if record.best else "" if record.iteration else " (the start)"
        line = f"{record.stage} {record.iteration}: {scores} dB, input {record.psnr_input:.2f} dB{best}"
        bar.write(line, file=sys.stderr)
    elif isinstance(record, Settled) and not (quiet and record.improved):
        bar.write(str(record), file=sys.stderr)


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


def overrides(settings: list[str]) -> dict[str, Any]:
    """``["fine.lr=1e-4"]`` -> ``{"fine": {"lr": 1e-4}}``; values are TOML, bare words are text."""
    out: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting}: expected KEY=VALUE, e.g. fine.lr=1e-4")
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except (ValueError, RecursionError):
            value = text
        *tables, name = key.strip().split(".")
        table = out
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {setting}: {part} is a value, not a table")
        table[name] = value
    return out
