"""The run folder: what a training writes, and how it is continued.

RUN/config.toml  log.jsonl  curves.png  samples/STAGE-ITERATION.png  checkpoints/  model.safetensors  RESULT.json
start.safetensors where a model is finetuned
tensorboard/ where that is installed, bad-batch.pt where a run did not stay finite
"""

from __future__ import annotations

import platform
import time
import tomllib
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dfrestore import strict_json
from dfrestore.errors import StartError
from dfrestore.files import atomic_file, barrier
from dfrestore.methods import stored_names
from dfrestore.training.checkpoints import save_best, save_state, state_path
from dfrestore.training.config import TrainConfig
from dfrestore.training.curves import plot
from dfrestore.training.floor import START, Settled, is_unscored, score_start, settle
from dfrestore.training.old_config import modern_run
from dfrestore.training.records import Diverged, StepRecord, Validation
from dfrestore.training.scalars import open_scalars
from dfrestore.training.settings import configure
from dfrestore.training.toml import to_toml
from dfrestore.training.trainer import Trainer
from dfrestore.training.validation import shown
from dfrestore.weights import save_checkpoint


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written at this place."""

    path: Path


Record = StepRecord | Validation | Saved | Settled


def require_free(folder: Path, *, finetuning: bool = False) -> None:
    """Raise :class:`StartError` when the folder holds a run already, or the start model of a finetuning, or takes no
    files.

    finetuning: the new run writes a start model of its own over an old one.
    """
    if (folder / "config.toml").exists():
        raise StartError(
            f"{folder}: holds a run already; continue it with --resume {quote(str(folder))}, or name another folder"
        )
    if (folder / START).exists() and not finetuning:
        raise StartError(
            f"{folder}: holds the {START} of a finetuning that was stopped before its first save; run finetune again, "
            "or name another folder"
        )
    if (barred := barrier(folder)) is not None:
        raise StartError(f"{folder}: nothing can be written here ({barred.strerror}); name another folder")


def open_run(folder: Path, config: TrainConfig, begin: Callable[[], object] | None = None) -> None:
    """Make a new run folder; ``begin`` saves the start of the run into it. Raises :class:`StartError`.

    config.toml is written last: a folder that has it is a run and can be resumed. If the process is killed earlier,
    the folder holds no run, and the same command starts over.
    """
    require_free(folder, finetuning=begin is not None)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "samples").mkdir(exist_ok=True)
    state_path(folder, 0).unlink(missing_ok=True)  # from a process that was killed before it wrote config.toml
    if begin is not None:
        begin()
    try:
        text = to_toml(config).encode()
    except UnicodeEncodeError as error:
        raise StartError(f"{folder}: a folder to train on has a name that is not Unicode text; rename it") from error
    with atomic_file(folder / "config.toml", overwrite=True) as file:
        file.write(text)


def read_run(folder: Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The configuration of a run folder, also of earlier versions, with ``overrides`` on top. Raises StartError."""
    file = folder / "config.toml"
    try:
        if file.exists() and not file.is_file():
            raise ValueError("config.toml is not a regular file")
        values = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML, a number too long
        raise StartError(f"{folder}: not a run folder that can be resumed ({error})") from error
    return configure(str(file), modern_run(values), overrides or {})


def train(trainer: Trainer, folder: Path, *, minutes_between_saves: float = 5.0) -> Generator[Record, None, None]:
    """Run the trainer, keep the folder up to date, and yield its records and each save.

    When the consumer closes the generator (Ctrl-C, SIGTERM), the state is saved first. Raises :class:`Diverged` after
    repeated steps without a finite loss; the last batch is then in ``bad-batch.pt``. With several processes, only the
    first one writes.
    """
    if not trainer.world.first:
        yield from trainer.run()
        return
    last_save = started = time.monotonic()
    try:
        with (folder / "log.jsonl").open("a", encoding="utf-8") as log, open_scalars(folder, trainer.done) as scalars:
            for record in _records(trainer, folder):
                if isinstance(record, Validation):
                    _write(log, {"validation": asdict(record)})
                    _keep_validation(trainer, folder, record)
                    scalars(record, trainer.done)
                elif record.iteration % trainer.config.log_every == 0 or record.iteration == 1 or record.skipped:
                    _write(log, _flat(record))
                    scalars(record, trainer.done)
                yield record
                if time.monotonic() - last_save > minutes_between_saves * 60:
                    yield Saved(save_state(trainer, folder))
                    last_save = time.monotonic()
    except Diverged as error:
        path = _save_bad_batch(trainer, folder, error)
        raise Diverged(f"{error}; the last batch is in {path}", error.clean, error.degraded) from error
    finally:
        if not trainer.torn:
            save_state(trainer, folder)
    if not trainer.held_out.photos.names:  # else every validation draws them
        plot(folder)
    if not model_path(trainer, folder).exists():
        save_model(trainer, model_path(trainer, folder))
    settled = settle(trainer, folder)
    _write_result(trainer, folder, time.monotonic() - started, settled)
    if settled:
        yield settled


def _records(trainer: Trainer, folder: Path) -> Generator[StepRecord | Validation, None, None]:
    """The trainer's records; before the first one of a finetuning, the start model's score."""
    if is_unscored(trainer, folder):
        yield score_start(trainer)
    yield from trainer.run()


def model_path(trainer: Trainer, folder: Path) -> Path:
    """Where the result of the present stage goes; a stage that makes no model to restore with has a file of its own."""
    return folder / f"{trainer.judged.own.made or 'model'}.safetensors"


def save_model(trainer: Trainer, path: Path) -> None:
    """What the present stage has made: the EMA network, its floating-point tensors as bf16, without its base's."""
    spec = replace(trainer.spec, stage=trainer.judged.own.made)
    state = trainer.ema.state_dict()
    own = trainer.own_part({name: state[name] for name in stored_names(spec)})
    tensors = {name: tensor.detach().cpu() for name, tensor in own.items()}
    half = {n: t.to(torch.bfloat16) if t.is_floating_point() else t for n, t in tensors.items()}
    save_checkpoint(path, {name: tensor.contiguous() for name, tensor in half.items()}, spec)


def write_strips(trainer: Trainer, path: Path, count: int = 4) -> None:
    """Before | restored | target of the first validation photos, one row each, as PNG.

    Nothing is written of a stage that restores nothing.
    """
    if not trainer.judged.own.restores:
        return
    clean, degraded = trainer.held_out.pairs()
    rows: list[Tensor] = []
    for i in range(min(count, len(clean))):
        restored = trainer.restore(i, trainer.config.model.default_steps)
        rows.append(torch.cat([shown(degraded[i], clean[i]), restored, clean[i]], dim=2))
    if rows:
        width = min(r.shape[2] for r in rows)
        sheet = torch.cat([r[:, :, :width] for r in rows], dim=1)
        array = (sheet.nan_to_num().permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(array).save(path)


def _flat(record: StepRecord) -> dict[str, Any]:
    """A record's fields, its parts among them."""
    values = asdict(record)
    parts: dict[str, float] = values.pop("parts")
    return values | parts


def _write(log: Any, record: dict[str, Any]) -> None:
    log.write(strict_json.dumps(record) + "\n")
    log.flush()


def _keep_validation(trainer: Trainer, folder: Path, record: Validation) -> None:
    if record.best:
        save_model(trainer, model_path(trainer, folder))
        save_best(trainer, folder)
    write_strips(trainer, folder / "samples" / f"{record.stage}-{record.iteration:07d}.png")
    plot(folder)


def _save_bad_batch(trainer: Trainer, folder: Path, error: Diverged) -> Path:
    """Save the batch, its place in the run and the network, to find out what went wrong."""
    path = folder / "bad-batch.pt"
    state = {
        "clean": error.clean,
        "degraded": error.degraded,
        "stage": trainer.stage,
        "iteration": trainer.iteration,
        "network": trainer.network.state_dict(),
    }
    with atomic_file(path, overwrite=True) as file:
        torch.save(state, file)
    return path


def _write_result(trainer: Trainer, folder: Path, seconds: float, settled: Settled | None) -> None:
    best = (settled.result if settled.kept else settled.start) if settled else trainer.best
    result = {
        "task": trainer.config.task,
        "best_psnr" if trainer.judged.own.restores else "best_score": best,
        "paired": trainer.train_photos.paired,
        "training_photos": len(trainer.train_photos.names),
        "validation_photos": len(trainer.held_out.photos.names),
        "seconds": round(seconds, 1),
        "parameters": trainer.parameters,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "precision": str(trainer.dtype).removeprefix("torch."),
    }
    if settled:
        result |= {"start_psnr": settled.start, "improved": settled.improved}
    (folder / "RESULT.json").write_text(strict_json.dumps(result, indent=1) + "\n", "utf-8")
