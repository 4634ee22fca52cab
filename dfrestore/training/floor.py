"""The floor of a finetuning: its start model is scored first, and the result is never worse.

A run folder that holds ``start.safetensors`` is a finetuning: that model is scored on the held-out part before the
first step, and it stays ``model.safetensors`` unless training makes a better one. Against a discriminator, which costs
dB, the last state is the result whatever its score.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dfrestore.methods import Network
from dfrestore.training.checkpoints import load_state, save_state
from dfrestore.training.distributed import SOLO
from dfrestore.training.records import ValidationRecord
from dfrestore.training.trainer import Trainer
from dfrestore.weights import load_checkpoint, save_checkpoint
from dfrestore.weights.checkpoint import as_float32
from dfrestore.weights.spec import ModelSpec

START, MODEL = "start.safetensors", "model.safetensors"


@dataclass(frozen=True)
class Settled:
    """The end of a finetuning: PSNR (dB) on the held-out part of the start model and of what training made of it.

    by_psnr: whether PSNR decides between the two; else what training made is the result.
    """

    start: float
    result: float
    held_out: int
    noun: str  # pairs or photos
    by_psnr: bool = True

    @property
    def improved(self) -> bool:
        """Whether training gained dB."""
        return self.result > self.start

    @property
    def kept(self) -> bool:
        """Whether ``model.safetensors`` is what training made, not the start."""
        return self.improved or not self.by_psnr

    def __str__(self) -> str:
        one = self.held_out == 1
        held_out = (
            f"the one held-out {self.noun.removesuffix('s')}" if one else f"the {self.held_out} held-out {self.noun}"
        )
        if self.kept:
            why = "" if self.by_psnr else "; a discriminator costs dB, so the last state is kept all the same"
            return f"{self.start:.2f} -> {self.result:.2f} dB ({self.result - self.start:+.3f}) on {held_out}{why}"
        return f"no improvement on {held_out}: the model is the one it started from"


def keep_start(trainer: Trainer, folder: Path, tensors: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Load the start model, save it in the new run folder as the start and as the result so far, and save the state.

    tensors: its own, without those of its base, which is the run's.
    """
    trainer.load_weights({**trainer.base, **tensors}, spec.stage)
    save_checkpoint(folder / START, tensors, spec)
    save_checkpoint(folder / MODEL, tensors, spec)
    save_state(trainer, folder)


def resume(trainer: Trainer, folder: Path) -> list[str]:
    """:func:`load_state`; a finetuning without any checkpoint starts over from its start model."""
    if (folder / START).exists():
        tensors, spec = load_checkpoint(folder / START)
        trainer.load_weights({**trainer.base, **tensors}, spec.stage)
    return load_state(trainer, folder)


def is_unscored(trainer: Trainer, folder: Path) -> bool:
    """Whether this is a finetuning before its first step whose start model has no score yet."""
    judged = bool(trainer.held_out.photos.names)
    return judged and trainer.done == 0 and trainer.best == -math.inf and (folder / START).exists()


def score_start(trainer: Trainer) -> ValidationRecord:
    """The start model's score on the held-out part, as iteration 0; from here on only better models are kept."""
    scores, inputs = _alone(trainer)
    trainer.best = scores[trainer.config.model.default_steps]
    stage = next(iter(trainer.config.running or trainer.config.stages))
    return ValidationRecord(stage, 0, scores, inputs, False)


def settle(trainer: Trainer, folder: Path) -> Settled | None:
    """Compare the two models as their files hold them; unless the result is kept, the start model replaces it.

    None where the run is no finetuning, or nothing is held out.
    """
    if not (folder / START).exists() or not trainer.held_out.photos.names:
        return None
    tensors, spec = load_checkpoint(folder / START)
    start = _score(trainer, tensors)
    result = _score(trainer, load_checkpoint(folder / MODEL)[0])
    held_out = trainer.held_out.photos
    settled = Settled(start, result, len(held_out.names), held_out.noun, trainer.judged.own.by_psnr)
    if not settled.kept:
        save_checkpoint(folder / MODEL, tensors, spec)
    return settled


def _score(trainer: Trainer, tensors: Mapping[str, Tensor]) -> float:
    """PSNR of these weights on the held-out part; the trainer stays as it was."""
    network = copy.deepcopy(trainer.ema)
    network.load_state_dict({**network.state_dict(), **as_float32({**trainer.base, **tensors})})
    return _alone(trainer, network)[0][trainer.config.model.default_steps]


def _alone(trainer: Trainer, network: Network | None = None) -> tuple[dict[int, float], float]:
    """A validation by this process alone: of several, only the first one holds the run folder."""
    world, trainer.world = trainer.world, SOLO
    try:
        return trainer.validate(network)
    finally:
        trainer.world = world
