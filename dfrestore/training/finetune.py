"""Going on from a model on a little data: settings that fit it, and the start model as the floor of the result.

A run folder that holds ``start.safetensors`` is a finetuning: that model is scored on the held-out part before the
first step, and ``model.safetensors`` is never worse on it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from dfrestore.errors import StartError, UsageError
from dfrestore.training.checkpoints import load_state, save_state
from dfrestore.training.config import TrainConfig, load_preset, merge, with_model
from dfrestore.training.distributed import SOLO
from dfrestore.training.photos import Photos
from dfrestore.training.trainer import Trainer, ValidationRecord
from dfrestore.weights import load_checkpoint, save_checkpoint
from dfrestore.weights.spec import ModelSpec

START, MODEL = "start.safetensors", "model.safetensors"
LEAST, FEW = 2, 5  # pairs: fewer than these are refused, warned of
PATCHES = (64, 128)
CROP_PIXELS = 16 * 64 * 64  # in a batch
# Up to so many pairs: iterations, rate. A few pairs are soon learnt by heart, so less and gentler.
_BY_SIZE = ((20, 400, 3e-5), (200, 1500, 5e-5), (2000, 4000, 1e-4), (math.inf, 8000, 1e-4))


@dataclass(frozen=True)
class Settled:
    """The end of a finetuning: PSNR (dB) on the held-out part of the start model and of what training made of it."""

    start: float
    result: float
    held_out: int
    what: str  # pairs or photos

    @property
    def improved(self) -> bool:
        """Whether ``model.safetensors`` is another one than the start."""
        return self.result > self.start

    def __str__(self) -> str:
        one = self.held_out == 1
        held_out = (
            f"the one held-out {self.what.removesuffix('s')}" if one else f"the {self.held_out} held-out {self.what}"
        )
        if self.improved:
            return f"{self.start:.2f} -> {self.result:.2f} dB ({self.result - self.start:+.3f}) on {held_out}"
        return f"no improvement on {held_out}: the model is the one it started from"


# -- settings -------------------------------------------------------------------------------------------------------


def finetune_config(task: str, spec: ModelSpec, photos: Photos, given: Mapping[str, Any]) -> TrainConfig:
    """Preset ``finetune`` on the start model's network, fitted to the photos; ``given`` settings go before.

    Raises :class:`StartError` and :class:`UsageError` where model, photos and settings do not fit together.
    """
    require_trainable(spec)
    multiple = _multiple(spec)
    fitted = defaults(len(photos.names), usual_side(photos), multiple, given)
    config = load_preset("finetune", task, merge(fitted, given))
    config = with_model(config, spec, given.get("model"))
    if config.data.validation < 1:
        raise UsageError("data.validation: finetune needs at least one held out, to see whether anything gets better")
    for patch in (*config.coarse.patches, *config.fine.patches):
        if patch % multiple:
            raise UsageError(f"patches of {patch} pixels do not fit this model: it takes multiples of {multiple}")
    return config


def data_config(task: str, given: Mapping[str, Any]) -> TrainConfig:
    """What is known before the photos are read: which they are, and that the settings are ones."""
    return load_preset("finetune", task, merge(defaults(FEW, max(PATCHES), 8, given), given))


def defaults(count: int, side: int, multiple: int, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Settings for ``count`` pairs with sides of at least about ``side``, on a network of this ``multiple``.

    What depends on settings that are ``given`` follows them.
    """
    fine = (given or {}).get("fine")
    fine = fine if isinstance(fine, Mapping) else {}
    usual, rate = next((n, rate) for most, n, rate in _BY_SIZE if count <= most)
    iterations, lr = int(_number(fine, "iterations", usual)), _number(fine, "lr", rate)
    patches = fine.get("patches", patches_for(side, multiple))
    return {
        "validate_every": max(1, min(500, iterations // 10)),
        "log_every": max(1, min(20, iterations // 20)),
        "data": {"least_validation": 1},
        "fine": {
            "iterations": iterations,
            "lr": lr,
            "minima": [lr / 100],
            "patches": list(patches) if isinstance(patches, Sequence) else patches,
            "batches": batches_for(patches),
            "patch_period": max(1, min(250, iterations // 8)),
            "warmup": min(100, iterations // 10),
        },
        "optim": {"ema": ema_for(iterations)},
    }


def patches_for(side: int, multiple: int) -> list[int]:
    """Sides of training crops that pictures with this shorter side hold; one, as large as can be, in small ones."""
    return [patch for patch in PATCHES if patch <= side] or [max(multiple, side // multiple * multiple)]


def batches_for(patches: object) -> list[int]:
    """How many crops of each size make a batch."""
    listed = patches if isinstance(patches, Sequence) else [patches]
    sides = [n for n in listed if isinstance(n, int) and n > 0]
    return [max(1, min(16, CROP_PIXELS // side**2)) for side in sides] or [4]


def ema_for(iterations: int) -> float:
    """The decay of the averaged weights: over about a tenth of a run, so that little of the start stays in them."""
    return max(0.0, min(0.999, round(1 - 10 / max(1, iterations), 4)))


def with_time(config: TrainConfig, given: Mapping[str, Any]) -> TrainConfig:
    """The same run with averages over as many steps as a schedule fixed by time has; a given decay stays."""
    optim = given.get("optim")
    if isinstance(optim, Mapping) and "ema" in optim:
        return config
    return replace(config, optim=replace(config.optim, ema=ema_for(config.fine.iterations)))


def usual_side(photos: Photos) -> int:
    """The shorter side that nine in ten pictures have at least."""
    sides = sorted(min(pixels.shape[1:]) for pixels in photos.pixels)
    return sides[len(sides) // 10]


def with_origin(spec: ModelSpec, label: str, licence: str, trained_on: str) -> dict[str, str]:
    """Settings for what the result says of itself: the start model's words, with what was given."""
    parts = [part for part in (spec.trained_on, f"finetuned on {trained_on}" if trained_on else "") if part]
    return {
        "licence": licence or spec.licence,
        "trained_on": "; ".join(parts),
        "source": f"dfrestore finetune of {label}",
    }


# -- whether it all fits --------------------------------------------------------------------------------------------


def require_task(spec: ModelSpec, label: str, task: str) -> None:
    """Raise :class:`StartError` for a model of another task."""
    if spec.task != task:
        raise StartError(
            f"{label} is a model for {spec.task}, not for {task}: run 'dfrestore finetune {spec.task}' with it, "
            "or name another with --model"
        )


def require_trainable(spec: ModelSpec) -> None:
    """Raise :class:`StartError` for what a training run cannot keep: another noise schedule, two inputs."""
    from dfrestore.methods.c2f_dft import Sampling

    plain, found = Sampling(), Sampling.from_mapping(spec.sampling)
    own = [n for n in ("train_timesteps", "betas", "timesteps", "sampler") if getattr(found, n) != getattr(plain, n)]
    own += ["dual_pixel"] if spec.network.get("dual_pixel") else []
    if own:
        raise StartError(f"this model cannot be finetuned: training knows no {', '.join(own)} of a model's own")


def require_enough(photos: Photos) -> None:
    """Raise :class:`StartError` where there are too few to train on and to judge by."""
    if len(photos.names) < LEAST:
        raise StartError(
            f"finetune needs at least {LEAST} {_what(photos)}, better {FEW} and more: there is {len(photos.names)} "
            f"({photos.left_out} left out)"
        )


def remarks(photos: Photos, config: TrainConfig) -> list[str]:
    """A line each on what is unusual: few pairs, pictures smaller than the crops."""
    lines = []
    if len(photos.names) < FEW:
        lines.append(f"only {len(photos.names)} {_what(photos)}: what is learnt from so few may not hold on others")
    largest = max(config.fine.patches)
    small = sum(min(pixels.shape[1:]) < largest for pixels in photos.pixels)
    if small:
        lines.append(
            f"{small} of {len(photos.names)} {_what(photos)} are smaller than the patch of {largest} pixels "
            "and are mirrored at their edges"
        )
    return lines


# -- the run --------------------------------------------------------------------------------------------------------


def keep_start(trainer: Trainer, folder: Path, tensors: dict[str, Tensor], spec: ModelSpec) -> None:
    """Load the start model, put it into the new run folder, as what the result is so far, too, and save the state."""
    trainer.load_weights(tensors)
    save_checkpoint(folder / START, tensors, spec)
    save_checkpoint(folder / MODEL, tensors, spec)
    save_state(trainer, folder)


def resume(trainer: Trainer, folder: Path) -> list[str]:
    """:func:`load_state`; a finetuning without any checkpoint starts over from its start model."""
    if (folder / START).exists():
        trainer.load_weights(load_checkpoint(folder / START)[0])
    return load_state(trainer, folder)


def is_unscored(trainer: Trainer, folder: Path) -> bool:
    """Whether this is a finetuning before its first step whose start model has no score yet."""
    judged = bool(trainer.validation_photos.names)
    return judged and trainer.done == 0 and trainer.best == -math.inf and (folder / START).exists()


def score_start(trainer: Trainer) -> ValidationRecord:
    """The start model on the held-out part, as iteration 0; from here on only what is better is kept."""
    scores, inputs = _alone(trainer)
    trainer.best = scores[trainer.config.model.default_steps]
    stage = "coarse" if trainer.config.coarse.iterations else "fine"
    return ValidationRecord(stage, 0, scores, inputs, False)


def settle(trainer: Trainer, folder: Path) -> Settled | None:
    """Compare the files, rounded as they are; unless the result is better, the start model takes its place.

    None where the run is no finetuning, or nothing is held out.
    """
    if not (folder / START).exists() or not trainer.validation_photos.names:
        return None
    tensors, spec = load_checkpoint(folder / START)
    start = _score(trainer, tensors)
    result = _score(trainer, load_checkpoint(folder / MODEL)[0])
    settled = Settled(start, result, len(trainer.validation_photos.names), _what(trainer.validation_photos))
    if not settled.improved:
        save_checkpoint(folder / MODEL, tensors, spec)
    return settled


def _score(trainer: Trainer, tensors: dict[str, Tensor]) -> float:
    """PSNR of these weights on the held-out part; the trainer stays as it was."""
    kept, trainer.ema = trainer.ema, copy.deepcopy(trainer.ema)
    try:
        trainer.ema.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        return _alone(trainer)[0][trainer.config.model.default_steps]
    finally:
        trainer.ema = kept


def _alone(trainer: Trainer) -> tuple[dict[int, float], float]:
    """A validation by this process alone: of several, only the first one holds the run folder."""
    world, trainer.world = trainer.world, SOLO
    try:
        return trainer.validate()
    finally:
        trainer.world = world


def _multiple(spec: ModelSpec) -> int:
    from dfrestore.methods import build_network

    return build_network(spec).multiple


def _what(photos: Photos) -> str:
    return "pairs" if photos.paired else "photos"


def _number(table: Mapping[str, Any], key: str, otherwise: float) -> float:
    """A given number; whatever else was given is refused later, where all settings are checked."""
    value = table.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else otherwise
