"""Degraded inputs made on the fly, and the generators that everything random in a run is drawn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dfrestore.degrade import defocus
from dfrestore.degrade.jpeg import jpeg_round_trip
from dfrestore.errors import StartError, UsageError, did_you_mean
from dfrestore.tasks import TASKS
from dfrestore.training.config import DataConfig

Degrade = Callable[[Tensor, str, torch.Generator], Tensor]


def degradation(task: str, preset: str = "mixed") -> Degrade:
    """The synthetic degradation that a task undoes, once it knows this preset of it.

    Raises :class:`StartError` for a task without one, :class:`UsageError` for an unknown task or preset.
    """
    from dfrestore.degrade import KINDS

    if task in TASKS and TASKS[task].draws:
        if preset != "mixed":
            raise UsageError(f"data.preset: {task} draws every kind of damage itself, so it has no preset '{preset}'")
        return untouched
    known = {kind.task: kind for kind in KINDS.values() if kind.task in TASKS}
    if task not in known:
        raise (StartError if task in TASKS else UsageError)(
            f"no synthetic degradation for '{task}'{did_you_mean(task, known)} (known: {', '.join(known)}); "
            "train it on pairs with --data FOLDER"
        )
    kind = known[task]
    if preset not in kind.presets:
        near = did_you_mean(preset, kind.presets)
        raise UsageError(f"data.preset: no {kind.name} preset '{preset}'{near} (known: {', '.join(kind.presets)})")
    return kind.degrade_batch


def untouched(clean: Tensor, preset: str, generator: torch.Generator) -> Tensor:
    """For tasks that draw the damage themselves."""
    return clean.clone()


def generator_for(seed: int, *path: int) -> torch.Generator:
    """An independent CPU generator for a place in the run, e.g. (stage, iteration, rank)."""
    entropy = np.random.SeedSequence([seed, *path]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy & np.uint64(0x7FFF_FFFF_FFFF_FFFF)))


def soften(clean: Tensor, data: DataConfig, generator: torch.Generator) -> None:
    """Put a part of the clean crops (B, 3, P, P) out of focus, in place; what is drawn is as in ``degrade defocus``."""
    if not data.defocused:
        return
    soft = torch.rand(clean.shape[0], generator=generator) < data.defocused
    if soft.any():
        clean[soft] = (defocus.degrade_batch(clean[soft], "mixed", generator) * 255).round() / 255


def degrade_crops(clean: Tensor, degrade: Degrade, data: DataConfig, generator: torch.Generator) -> Tensor:
    """Degraded inputs for clean crops (B, 3, P, P): a part stays clean, a part is compressed as JPEG, all 8 bit.

    Where the degradation makes the crops smaller, or holes in them, there is neither.
    """
    degraded = degrade(clean, data.preset, generator)
    if degraded.shape != clean.shape:
        return (degraded * 255).round() / 255
    draws = torch.rand(clean.shape[0], 2, generator=generator)
    low, high = data.jpeg_quality
    qualities = torch.randint(low, high + 1, (clean.shape[0],), generator=generator).tolist()
    for i, (keep, compress) in enumerate(draws.tolist()):
        if keep < data.clean_fraction:
            degraded[i] = clean[i]
        elif compress < data.jpeg_fraction:
            degraded[i] = jpeg_round_trip(degraded[i], qualities[i])
    return (degraded * 255).round() / 255
