"""The run folder: what a training writes, and how it is continued.

RUN/config.toml  log.jsonl  curves.png  samples/ITERATION.png  checkpoints/  model.safetensors  RESULT.json
"""

from __future__ import annotations

import json
import platform
import time
import tomllib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dfrestore.errors import StartError
from dfrestore.files import atomic_file
from dfrestore.training.config import TrainConfig, from_mapping, merge, to_toml
from dfrestore.training.trainer import StepRecord, Trainer, ValidationRecord
from dfrestore.weights import save_checkpoint

CHECKPOINT = "last.pt"


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written at this place."""

    path: Path


Record = StepRecord | ValidationRecord | Saved


def open_run(folder: Path, config: TrainConfig) -> None:
    """Make a new run folder. Raises :class:`StartError` when there is a run already."""
    if (folder / "config.toml").exists():
        raise StartError(f"{folder}: holds a run already; continue it with --resume {folder}, or name another folder")
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "samples").mkdir(exist_ok=True)
    (folder / "config.toml").write_text(to_toml(config), "utf-8")


def read_run(folder: Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The resolved configuration of a run folder, with ``overrides`` on top. Raises :class:`StartError`."""
    file = folder / "config.toml"
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"{folder}: not a run folder that can be resumed ({error})") from error
    return from_mapping(merge(values, overrides or {}), str(file))


def train(trainer: Trainer, folder: Path, *, minutes_between_saves: float = 5.0) -> Generator[Record, None, None]:
    """Run the trainer, keep the folder up to date, and yield its records and each save.

    When the consumer closes the generator (Ctrl-C, SIGTERM) the state is saved first.
    """
    config = trainer.config
    last_save = time.monotonic()
    started = time.monotonic()
    try:
        with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
            for record in trainer.run():
                if isinstance(record, ValidationRecord):
                    _write(log, {"validation": asdict(record)})
                    if record.best:
                        save_model(trainer, folder / "model.safetensors")
                    write_strips(trainer, folder / "samples" / f"{record.stage}-{record.iteration:07d}.png")
                    plot(folder)
                elif record.iteration % config.log_every == 0 or record.iteration == 1:
                    _write(log, asdict(record))
                yield record
                if time.monotonic() - last_save > minutes_between_saves * 60:
                    yield Saved(save_state(trainer, folder))
                    last_save = time.monotonic()
    finally:
        if not trainer.torn:
            save_state(trainer, folder)
    if not (folder / "model.safetensors").exists():
        save_model(trainer, folder / "model.safetensors")
    _write_result(trainer, folder, time.monotonic() - started)


def save_model(trainer: Trainer, path: Path) -> None:
    """The EMA network as bf16, ready for ``--model``."""
    tensors = {k: v.detach().cpu().to(torch.bfloat16).contiguous() for k, v in trainer.ema.state_dict().items()}
    save_checkpoint(path, tensors, trainer.spec)


def save_state(trainer: Trainer, folder: Path) -> Path:
    """All that resuming needs, atomically: the previous checkpoint stays until the new one is whole on disk."""
    path = folder / "checkpoints" / CHECKPOINT
    with atomic_file(path, overwrite=True) as file:
        torch.save(trainer.state_dict(), file)
    return path


def load_state(trainer: Trainer, folder: Path) -> None:
    """Continue from the folder's last checkpoint, bit for bit. Raises :class:`StartError`."""
    path = folder / "checkpoints" / CHECKPOINT
    if not path.exists():
        return  # stopped before the first save: start over with the same configuration
    try:
        trainer.load_state_dict(torch.load(path, map_location=trainer.device, weights_only=True))
    except Exception as error:
        raise StartError(f"{path}: this checkpoint cannot be read ({error}); remove it to start over") from error


def write_strips(trainer: Trainer, path: Path, count: int = 4) -> None:
    """Before | restored | target of the first validation photos, one row each, as PNG."""
    clean, degraded = trainer.validation_pairs()
    rows: list[Tensor] = []
    for i in range(min(count, len(clean))):
        restored = trainer.restore(degraded[i], trainer.config.model.default_steps, seed=i)
        rows.append(torch.cat([degraded[i], restored, clean[i]], dim=2))
    if rows:
        width = min(r.shape[2] for r in rows)
        sheet = torch.cat([r[:, :, :width] for r in rows], dim=1)
        array = (sheet.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(array).save(path)


def plot(folder: Path) -> None:
    """``curves.png`` from ``log.jsonl``: loss, validation PSNR and learning rate over the iterations of both stages."""
    from matplotlib.figure import Figure

    records = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines() if line]
    steps = [r for r in records if "loss" in r]
    validations = [r["validation"] for r in records if "validation" in r]
    coarse = max((r["iteration"] for r in steps if r["stage"] == "coarse"), default=0)

    def place(r: dict[str, Any]) -> int:
        return int(r["iteration"]) + (coarse if r["stage"] == "fine" else 0)

    figure = Figure(figsize=(8, 9), layout="constrained")
    loss, psnr, rate = figure.subplots(3, 1, sharex=True)
    loss.semilogy([place(r) for r in steps], [r["loss"] for r in steps], linewidth=0.7)
    loss.set_ylabel("loss")
    for n in sorted({int(n) for v in validations for n in v["psnr"]}):
        psnr.plot([place(v) for v in validations], [v["psnr"][str(n)] for v in validations], label=f"{n} steps")
    if validations:
        psnr.axhline(validations[0]["psnr_input"], color="grey", linestyle=":", label="input")
        psnr.legend()
    psnr.set_ylabel("validation PSNR (dB)")
    rate.plot([place(r) for r in steps], [r["lr"] for r in steps])
    rate.set_ylabel("learning rate")
    rate.set_xlabel("iteration (coarse, then fine)")
    figure.savefig(folder / "curves.png", dpi=100)


def describe(photos: Sequence[str], skipped: Sequence[str]) -> str:
    """One line for the start of a run."""
    left = f", {len(skipped)} files left out" if skipped else ""
    return f"{len(photos)} photos{left}"


def _write(log: Any, record: dict[str, Any]) -> None:
    log.write(json.dumps(record) + "\n")
    log.flush()


def _write_result(trainer: Trainer, folder: Path, seconds: float) -> None:
    result = {
        "task": trainer.config.task,
        "best_psnr": trainer.best,
        "training_photos": len(trainer.train_photos.names),
        "validation_photos": len(trainer.validation_photos.names),
        "seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "precision": str(trainer.dtype).removeprefix("torch."),
    }
    (folder / "RESULT.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
