"""Settings for training on from a model with few photos, fitted to these; and checks that model and photos fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dfrestore.errors import StartError, UsageError
from dfrestore.methods import METHODS, outline
from dfrestore.training.config import TrainConfig
from dfrestore.training.fit import preset_for, require_fit
from dfrestore.training.photos import Photos
from dfrestore.training.settings import LAST, last_stage, load_preset, model_values, named_stages
from dfrestore.training.toml import merge
from dfrestore.weights.spec import ModelSpec

LEAST, FEW = 2, 5  # pairs: fewer than LEAST are refused, fewer than FEW are warned of
PATCHES = (64, 128)  # of the network's input
CROP_PIXELS = 16 * 64 * 64  # of it, in a batch
# Up to so many pairs: iterations, rate. A few pairs are soon learnt by heart, so training is shorter and gentler.
_BY_SIZE = ((20, 400, 3e-5), (200, 1500, 5e-5), (2000, 4000, 1e-4), (math.inf, 8000, 1e-4))


def finetune_config(task: str, spec: ModelSpec, photos: Photos, user_settings: Mapping[str, Any]) -> TrainConfig:
    """Preset ``finetune`` on the start model's network, fitted to the photos; ``user_settings`` override both.

    It trains the last stage of the model's method. Raises :class:`StartError` and :class:`UsageError` where model,
    photos and settings do not fit together.
    """
    require_trainable(spec)
    config = _configured(task, spec, user_settings, len(photos.names), usual_side(photos))
    if config.data.validation < 1:
        raise UsageError("data.validation: finetune needs at least 1, a photo or pair to judge the result by")
    require_fit(config)
    return config


def data_config(task: str, spec: ModelSpec, user_settings: Mapping[str, Any]) -> TrainConfig:
    """The configuration before the photos are read, to learn which photos, and to check the other settings."""
    return _configured(task, spec, user_settings, FEW, max(PATCHES) * outline(spec).scale)


def _configured(task: str, spec: ModelSpec, user_settings: Mapping[str, Any], count: int, side: int) -> TrainConfig:
    model, settings = named_stages({"model": model_values(spec)}, user_settings)
    stages = settings.get("stages")
    last = stages.get(last_stage(model, settings)) if isinstance(stages, Mapping) else None
    network = outline(spec)
    fitted = defaults(count, side, network.multiple, settings | {"stages": {LAST: last or {}}}, scale=network.scale)
    fitted["data"]["preset"] = preset_for(task, network.scale)
    return load_preset("finetune", task, merge(fitted, settings), spec)


def defaults(
    count: int, side: int, multiple: int, user_settings: Mapping[str, Any] | None = None, *, scale: int = 1
) -> dict[str, Any]:
    """Settings for ``count`` pairs with sides of at least about ``side``, on a network of this ``multiple``.

    scale: how many times it enlarges; sides are those of the clean pictures. user_settings: nested plain values, those
    of the last stage in ``stages.last``; other settings are fitted to them.
    """
    stage = (user_settings or {}).get("stages", {}).get(LAST)
    stage = stage if isinstance(stage, Mapping) else {}
    usual, rate = next((n, rate) for most, n, rate in _BY_SIZE if count <= most)
    iterations, lr = int(_number(stage, "iterations", usual)), _number(stage, "lr", rate)
    patches = stage.get("patches", [scale * patch for patch in patches_for(side // scale, multiple)])
    return {
        "validate_every": max(1, min(500, iterations // 10)),
        "log_every": max(1, min(20, iterations // 20)),
        "data": {"least_validation": 1},
        "stages": {
            LAST: {
                "iterations": iterations,
                "lr": lr,
                "minima": [lr / 100],
                "patches": list(patches) if isinstance(patches, Sequence) else patches,
                "batches": batches_for(patches, scale),
                "patch_period": max(1, min(250, iterations // 8)),
                "warmup": min(100, iterations // 10),
            },
        },
        "optim": {"ema": ema_for(iterations)},
    }


def patches_for(side: int, multiple: int) -> list[int]:
    """Sides of training crops that pictures with this shorter side hold; one, as large as can be, in small ones."""
    return [patch for patch in PATCHES if patch <= side] or [max(multiple, side // multiple * multiple)]


def batches_for(patches: object, scale: int = 1) -> list[int]:
    """How many crops of each size make a batch, where the network's input is ``scale`` times smaller."""
    listed = patches if isinstance(patches, Sequence) else [patches]
    sides = [n for n in listed if isinstance(n, int) and n > 0]
    return [max(1, min(16, CROP_PIXELS * scale**2 // side**2)) for side in sides] or [4]


def ema_for(iterations: int) -> float:
    """The decay of the averaged weights: it spans about a tenth of a run, so that little of the start model remains."""
    return max(0.0, min(0.999, round(1 - 10 / max(1, iterations), 4)))


def with_time(config: TrainConfig, user_settings: Mapping[str, Any]) -> TrainConfig:
    """The same run, its averages over a tenth of the iterations that it has now, unless the user set their decay."""
    optim = user_settings.get("optim")
    if isinstance(optim, Mapping) and "ema" in optim:
        return config
    return replace(config, optim=replace(config.optim, ema=ema_for(config.iterations)))


def usual_side(photos: Photos) -> int:
    """The shorter side that nine in ten pictures have at least."""
    sides = sorted(min(pixels.shape[1:]) for pixels in photos.pixels)
    return sides[len(sides) // 10]


def with_origin(spec: ModelSpec, label: str, licence: str, trained_on: str) -> dict[str, str]:
    """Licence, data and source for the result's header, from the start model and the user's options."""
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
    """Raise :class:`StartError` where the model's method cannot train it on."""
    network = outline(spec)
    method = METHODS[spec.method]
    kind = next(kind for kind in method.stages if kind.name == method.finetunes)
    if not kind.restores:
        raise StartError(
            f"this model restores nothing that could be compared; train it on with 'dfrestore train {spec.task} "
            "--init-from MODEL'"
        )
    try:
        kind().trains(network)
    except ValueError as error:
        raise StartError(f"this model cannot be finetuned: {error}") from error


def require_enough(photos: Photos) -> None:
    """Raise :class:`StartError` where there are too few to train on and to judge by."""
    if len(photos.names) < LEAST:
        raise StartError(
            f"finetune needs at least {LEAST} {photos.noun}, better {FEW} and more: there is {len(photos.names)} "
            f"({photos.left_out} left out)"
        )


def remarks(photos: Photos, config: TrainConfig) -> list[str]:
    """A line on each thing that is unusual: few pairs, pictures smaller than the crops, a discriminator."""
    lines = []
    if len(photos.names) < FEW:
        lines.append(f"only {len(photos.names)} {photos.noun}: what is learnt from so few may not hold for others")
    largest = max((patch for stage in config.running.values() for patch in stage.patches), default=0)
    small = sum(min(pixels.shape[1:]) < largest for pixels in photos.pixels)
    if small:
        lines.append(
            f"{small} of {len(photos.names)} {photos.noun} are smaller than the patch of {largest} pixels "
            "and are mirrored at their edges"
        )
    if not all(stage.own.by_psnr for stage in config.running.values()):
        lines.append(
            "against a discriminator PSNR falls: the last state is kept, even where the start model has more dB"
        )
    return lines


def _number(table: Mapping[str, Any], key: str, otherwise: float) -> float:
    """A number that the user set, else ``otherwise``; wrong values are refused later, when all settings are checked."""
    value = table.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else otherwise
