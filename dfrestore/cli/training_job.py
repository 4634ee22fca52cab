"""What ``train`` and ``finetune`` share: settings from options, the data, and a run with its progress and signals."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import typer

from dfrestore.cli.ending import Terminated
from dfrestore.errors import UsageError
from dfrestore.tasks import restoring_tasks

if TYPE_CHECKING:
    from torch import Tensor

    from dfrestore.training.base import RunBase
    from dfrestore.training.config import TrainConfig
    from dfrestore.training.data import Degrade
    from dfrestore.training.distributed import World
    from dfrestore.training.photos import Photos
    from dfrestore.training.records import VerdictRecord
    from dfrestore.training.run import Record
    from dfrestore.training.trainer import Trainer
    from dfrestore.weights.spec import ModelSpec


@dataclass(frozen=True)
class Start:
    """Weights to start from: their file's own tensors, and the base that the file names."""

    tensors: Mapping[str, Tensor]
    spec: ModelSpec
    base: RunBase | None = None

    @property
    def whole(self) -> dict[str, Tensor]:
        """The tensors of both; the file's own ones count."""
        return {**(self.base.tensors if self.base else {}), **self.tensors}


@dataclass(frozen=True)
class Job:
    """A training run: its settings, folder, data and start."""

    config: TrainConfig
    folder: Path
    photos: Photos
    degrade: Degrade | None
    device: str
    quiet: bool
    start: Start | None
    base: RunBase | None = None  # what the run builds on
    floor: bool = False  # the start model is scored, and kept unless training makes a better one
    world: World | None = None  # the processes that train together; None: alone

    def torch_device(self) -> str:
        from dfrestore.training.distributed import SOLO

        return (self.world or SOLO).device(self.device)


def option_settings(
    clean: list[Path] | None,
    pairs: list[Path] | None,
    input_: Path | None,
    target: Path | None,
    licence: str,
    trained_on: str,
) -> dict[str, Any]:
    """The settings that have options of their own, if they are used."""
    data: dict[str, Any] = {}
    data |= {"clean": [str(folder.resolve()) for folder in clean]} if clean else {}
    data |= {"pairs": [str(folder.resolve()) for folder in pairs]} if pairs else {}
    data |= {"input": str(input_.resolve())} if input_ else {}
    data |= {"target": str(target.resolve())} if target else {}
    out: dict[str, Any] = {"data": data} if data else {}
    out |= {"licence": licence} if licence else {}
    return out | ({"trained_on": trained_on} if trained_on else {})


def start_weights(name: str | None, settings: Mapping[str, Any], base: RunBase | None = None) -> Start | None:
    """The named model. A bare name (``compact``) is looked up for the settings' task; others may be of any task.

    base: the one that ``--base`` names.
    """
    if name is None:
        return None
    from dfrestore.methods import empty_network
    from dfrestore.training.base import base_of_model
    from dfrestore.training.config import TrainConfig
    from dfrestore.weights import load_checkpoint, resolve

    task = settings.get("task", TrainConfig.task)
    bare = "/" not in name and not Path(name).is_file()
    found = resolve(name, task=task if bare else None, restoring=False)
    for line in found.warnings:
        print(line, file=sys.stderr)
    tensors, spec = load_checkpoint(found.path, sha256=found.sha256)
    if spec.task not in restoring_tasks() and spec.task != task:
        raise UsageError(f"{found.label} is a base for other models; name it with --base, not with --init-from")
    start = Start(tensors, spec, base_of_model(spec, found.path, known=base) if spec.base else None)
    empty_network(spec, start.whole, str(found.path))  # refuses what does not fit, before a network gets memory
    return start


def new_run(
    preset: str, task: str | None, user_settings: Mapping[str, Any], init_from: str | None
) -> tuple[TrainConfig, Start | None, RunBase | None]:
    """The settings of a new run, the model that it starts from, and what it builds on.

    That is the base that the user names, else the start model's, else the preset's.
    """
    from dfrestore.training.base import named_base, with_base
    from dfrestore.training.old_config import modern
    from dfrestore.training.settings import load_preset, preset_values
    from dfrestore.training.toml import merge

    values = merge(preset_values(preset, task), user_settings)
    model = modern(user_settings).get("model")
    model = model if isinstance(model, Mapping) else {}
    named = model.get("base")
    base = named_base(named) if named and isinstance(named, str) else None
    start = start_weights(init_from, values, base)
    config = load_preset(preset, task, user_settings, start.spec if start else None)
    if named is None and start is not None and start.base is not None:
        base = start.base
    elif named is None and config.model.base:
        base = named_base(config.model.base)
    if base is None:
        return config, start, None
    for line in base.warnings:
        print(line, file=sys.stderr)
    return with_base(config, base, None if start else model), start, base


def resumed_run(
    folder: Path, user_settings: Mapping[str, Any], base: str | Path | None
) -> tuple[TrainConfig, RunBase | None]:
    """The settings of the run in ``folder``, and what it builds on. base: where that is, if the user says so."""
    from dfrestore.training.base import base_of_run
    from dfrestore.training.run import read_run
    from dfrestore.weights import resolve

    model = user_settings.get("model")
    if isinstance(model, Mapping) and any(key.startswith("base") for key in model):
        raise UsageError(f"{folder}: a run keeps the base that it was begun on; --base says where that is now")
    config = read_run(folder, user_settings)
    return config, base_of_run(config, folder, None if base is None else resolve(base, restoring=False).path)


def degradation_of(config: TrainConfig) -> Degrade | None:
    from dfrestore.training.data import degradation

    unneeded = config.data.paired and not config.data.mix
    return None if unneeded else degradation(config.task, config.data.preset)


def look_at_data(config: TrainConfig, quiet: bool, stream: TextIO, world: World | None = None) -> Photos:
    """All the data, decoded; prints the findings. Raises :class:`StartError` if there is nothing to train on."""
    from tqdm import tqdm

    from dfrestore.methods import outline
    from dfrestore.training.check import describe, load_data, report, require
    from dfrestore.training.config import spec_of

    with tqdm(desc="reading", unit="file", disable=quiet or not sys.stderr.isatty(), leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        # processes on one machine map the same file instead of each holding all photos
        mapped = world is not None and world.shares_machine and config.data.memory == "auto"
        data, network = replace(config.data, memory="0") if mapped else config.data, outline(spec_of(config))
        photos = load_data(data, progress, scale=network.scale, masks=network.mask, multiple=network.multiple)
    for line in report(photos):
        print(line, file=stream)
    require(photos, config.data)
    if not quiet or stream is sys.stdout:
        print(f"data: {describe(photos)}", file=stream)
    return photos


def fitted_to(job: Job, seconds: float, shares: Mapping[str, float]) -> TrainConfig:
    """The settings with iterations that fit into what is left of ``seconds`` once the speed is measured.

    shares: the parts of stages, where the user sets them.
    """
    from dfrestore.training.budget import all_shares, describe, fit, measure
    from dfrestore.training.distributed import SOLO

    all_shares(job.config, shares)  # impossible ones are refused before the speed is measured
    started = time.monotonic()
    world = job.world or SOLO
    speed = measure(job.config, job.photos, job.degrade, job.torch_device(), seconds, world, shares)
    spent = time.monotonic() - started + (3 * speed.validation if job.floor else 0)  # at the start, twice at the end
    config = world.from_first(lambda: fit(job.config, speed, seconds - spent, shares))
    if not job.quiet:
        print(f"schedule: {describe(config, speed)}", file=sys.stderr)
    return config


def run_job(job: Job, resumed: bool) -> None:
    """Train, show the progress, and print the model's path; a signal stops after the step and saves."""
    from tqdm import tqdm

    from dfrestore.training.distributed import SOLO
    from dfrestore.training.floor import resume
    from dfrestore.training.records import StepRecord
    from dfrestore.training.run import model_path, open_run
    from dfrestore.training.run import train as records
    from dfrestore.training.start import prepare, require_start
    from dfrestore.training.trainer import Trainer

    config, folder, quiet, world = job.config, job.folder, job.quiet, job.world or SOLO
    base = job.base.tensors if job.base else None
    trainer = Trainer(config, job.photos, job.degrade, device=job.torch_device(), world=world, base=base)
    if resumed and world.first:
        for line in resume(trainer, folder):
            print(line, file=sys.stderr)
    elif world.first:
        begin = _beginning(job, trainer)
        prepare(trainer)
        require_start(trainer)
        open_run(folder, config, begin)
    trainer.take_state_of_first()
    if not quiet:
        print(f"train {config.task}: {trainer.describe()}", file=sys.stderr)
        for line in config.remarks:
            print(line, file=sys.stderr)
        if config.optim.compile:
            print(f"{config.optim.compile} compiles the network first: minutes for each size of crop", file=sys.stderr)
    if config.optim.compile:
        warnings.filterwarnings("ignore", module=r"torch\.(_dynamo|_inductor)")  # of its own workings
    bar = tqdm(total=config.iterations, unit="it", disable=quiet or not sys.stderr.isatty(), smoothing=0.05)
    bar.update(trainer.done)
    stream, stop = records(trainer, folder), 0
    with signals_after_the_step() as arrived:  # and after what saves: torchrun sends one where a neighbour is gone
        try:
            for record in stream:
                _show(record, bar, quiet)
                # only records of steps come in every process, so all processes stop after the same step
                stop = world.agree(arrived) if world.size == 1 or isinstance(record, StepRecord) else 0
                if stop:
                    break
        finally:
            stream.close()  # saves
            bar.close()
    if stop:
        print(f"saved; continue with: dfrestore train --resume {quote(str(folder))}", file=sys.stderr)
        raise KeyboardInterrupt if stop == signal.SIGINT else Terminated
    made = model_path(trainer, folder)
    if job.base is not None and not quiet and not job.base.is_found_by(made):
        print(f"it needs its base: --base {job.base.path.absolute()}, or that file beside it", file=sys.stderr)
    typer.echo(str(made))


def _beginning(job: Job, trainer: Trainer) -> Callable[[], object] | None:
    """Load the start weights, if there are any. Returns what saves them into the new run folder."""
    from dfrestore.training.checkpoints import save_state
    from dfrestore.training.floor import keep_start

    start = job.start
    if start is None:
        return None
    trainer.load_weights(start.whole, start.spec.stage)
    if job.floor:
        return lambda: keep_start(trainer, job.folder, start.tensors, start.spec)
    return lambda: save_state(trainer, job.folder)


def _show(record: Record, bar: Any, quiet: bool) -> None:
    from dfrestore.training.floor import Settled
    from dfrestore.training.records import StepRecord, ValidationRecord, VerdictRecord

    if isinstance(record, StepRecord):
        bar.set_postfix_str(f"{record.stage} loss {record.loss:.4f} lr {record.lr:.1e}", refresh=False)
        bar.update(1)
        if record.skipped:
            bar.write(f"{record.stage} {record.iteration}: loss or gradient not finite; skipped", file=sys.stderr)
    elif isinstance(record, ValidationRecord) and not quiet:
        scores = ", ".join(f"{n} step{'s' if n > 1 else ''} {value:.2f}" for n, value in record.psnr.items())
        best = " (best)" if record.best else "" if record.iteration else " (the start)"
        line = f"{record.stage} {record.iteration}: {scores} dB, input {record.psnr_input:.2f} dB{best}"
        bar.write(line, file=sys.stderr)
    elif isinstance(record, VerdictRecord) and not quiet:
        for line in _table(record):
            bar.write(line, file=sys.stderr)
    elif isinstance(record, Settled) and not (quiet and record.improved):
        bar.write(str(record), file=sys.stderr)


def _table(record: VerdictRecord) -> Iterator[str]:
    """``detect 500: score 0.84 (best)``, and a line a row."""
    yield f"{record.stage} {record.iteration}: score {record.score:.3f}{' (best)' if record.best else ''}"
    for row, numbers in record.rows.items():
        yield f"  {row:13} " + ", ".join(f"{name} {value:.2f}" for name, value in numbers.items())


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
