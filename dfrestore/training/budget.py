"""A schedule that ends in time: measure each kind of step, then fix the iterations of all stages."""

from __future__ import annotations

import gc
import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dfrestore.errors import StartError, UsageError
from dfrestore.methods.method import Stage
from dfrestore.training.base import without_base
from dfrestore.training.checkpoints import save_best
from dfrestore.training.config import TrainConfig, require_stage, scaled
from dfrestore.training.data import Degrade
from dfrestore.training.distributed import SOLO, World
from dfrestore.training.photos import Photos
from dfrestore.training.records import StepRecord
from dfrestore.training.run import save_model, write_strips
from dfrestore.training.schedules import patch_counts
from dfrestore.training.trainer import Trainer

RESERVE = 0.05  # of the time is kept back, for a machine that becomes slower
LAST_SECONDS = 3.0  # saving, curves
MEASURING = 0.05  # of the time goes to measuring, beyond one step of each kind
VALIDATING = 0.1  # of the time goes to validations, beyond one at the end of each stage
VALIDATIONS = 10  # in a run, at least, where there is time
WARM, TIMED = 1, 4  # steps of each kind: not counted, then measured at most
Step = tuple[str, int, int]  # stage, patch, batch


@dataclass(frozen=True)
class Speed:
    """Seconds of one iteration of each kind, and of a validation with what is saved and drawn after it."""

    steps: Mapping[Step, float]
    validation: float


def measure(
    config: TrainConfig,
    photos: Photos,
    degrade: Degrade | None,
    device: str,
    seconds: float,
    world: World = SOLO,
    shares: Mapping[str, float] | None = None,
) -> Speed:
    """The speed of this run's steps here, data included, from at most about ``MEASURING`` of ``seconds``.

    shares: see :func:`all_shares`; a stage without a share is not measured.
    """

    def trainer(part: TrainConfig) -> Trainer:
        return Trainer(without_base(part), photos, degrade, device=device, world=world)

    if not config.iterations and not shares:
        raise StartError("nothing to train: no stage has any iterations")
    kinds = [
        (name, patch, batch)
        for name, share in all_shares(config, shares or {}).items()
        for patch, batch in dict.fromkeys(zip(config.stages[name].patches, config.stages[name].batches, strict=True))
        if share
    ]
    steps = {}
    for kind in kinds:
        variants = config.stages[kind[0]].own.resolved(config.model.default_steps).variants()
        limit = seconds * MEASURING / len(kinds) / len(variants)
        times = [_step_seconds(trainer(_only(config, kind, own)), limit) * often for own, often in variants]
        steps[kind] = sum(times) / sum(often for _, often in variants)
    return Speed(steps, _validation_seconds(trainer(config)))


def fit(config: TrainConfig, speed: Speed, seconds: float, shares: Mapping[str, float] | None = None) -> TrainConfig:
    """The run with as many iterations as fit into ``seconds``, its schedule stretched to them, and validations.

    shares: see :func:`all_shares`. Raises :class:`StartError` when there is not time for ten iterations.
    """
    parts = all_shares(config, shares or {})
    usable = seconds * (1 - RESERVE) - LAST_SECONDS
    count = max(0.0, usable) * VALIDATING / speed.validation if speed.validation else math.inf
    total = float(max(1, config.iterations))
    for _ in range(12):  # in steps: patch cycles make the time a little uneven
        fitted = _with_iterations(config, int(total), parts, count)
        needed = run_seconds(fitted, speed)
        if 0.99 * usable <= needed <= usable:
            break
        total = max(1.0, total * 0.995 * usable / max(needed, 1e-9))
    while needed > usable and total > 1:
        total *= 0.98
        fitted = _with_iterations(config, int(total), parts, count)
        needed = run_seconds(fitted, speed)
    if total < 10 or needed > usable:
        raise StartError(
            f"--minutes: {seconds:.0f} s are left to train in, too few where an iteration takes up to "
            f"{max(speed.steps.values()):.2g} s and a validation {speed.validation:.2g} s; give more"
        )
    return fitted


def all_shares(config: TrainConfig, shares: Mapping[str, float]) -> dict[str, float]:
    """Each stage's part of the iterations, 0 to 1, together 1.

    shares: the parts of some stages. The others divide the rest as in ``config``, or equally if none of them has
    iterations there. Raises :class:`UsageError`.
    """
    for name, share in shares.items():
        require_stage(name, config.model.method)
        if not 0 <= share <= 1:
            raise UsageError(f"the share of the stage {name}, {share:g}, is not from 0 to 1")
    others = [name for name in config.stages if name not in shares]
    rest = 1 - sum(shares.values())
    if rest < -1e-9 or (not others and rest > 1e-9):
        raise UsageError(f"the shares of the stages are {1 - rest:g} together, not 1")
    planned = sum(config.stages[name].iterations for name in others)
    parts = dict(shares)
    for name in others:
        parts[name] = rest * (config.stages[name].iterations / planned if planned else 1 / len(others))
    return {name: parts[name] for name in config.stages}


def run_seconds(config: TrainConfig, speed: Speed) -> float:
    """What the run will take: its steps, a validation each ``validate_every`` and at the end of each stage."""
    total = 0.0
    for name, stage in config.running.items():
        total += sum(speed.steps[(name, *kind)] * count for kind, count in patch_counts(stage).items())
        total += speed.validation * (-(-stage.iterations // config.validate_every))
    return total


def describe(config: TrainConfig, speed: Speed) -> str:
    """One phrase: what was measured and fixed."""
    each = ", ".join(f"{name} {patch}px {seconds:.2g} s" for (name, patch, _), seconds in speed.steps.items())
    counts = config.described_iterations()
    return f"{counts}, a validation every {config.validate_every} ({each}; validation {speed.validation:.2g} s)"


def _with_iterations(config: TrainConfig, total: int, shares: Mapping[str, float], validations: float) -> TrainConfig:
    """``total`` iterations, with validations as often as the preset says, at least ten, at most ``validations``."""
    ends = [round(total * share) for share in itertools.accumulate(shares.values())]
    counts = [end - start for start, end in zip([0, *ends[:-1]], [*ends[:-1], total], strict=True)]
    wanted = int(min(validations, max(VALIDATIONS, total // config.validate_every)))
    every = -(-total // wanted) if wanted else max(1, total)
    return replace(scaled(config, dict(zip(shares, counts, strict=True))), validate_every=every)


def _only(config: TrainConfig, kind: Step, own: Stage) -> TrainConfig:
    """A run of this kind of step alone, without validation; ``own``: the stage's settings for it."""
    name, patch, batch = kind
    stages = {other: replace(stage, iterations=0) for other, stage in config.stages.items()}
    stages[name] = replace(stages[name], iterations=WARM + TIMED, patches=(patch,), batches=(batch,), own=own)
    return replace(config, stages=stages, data=replace(config.data, validation=0))


def _step_seconds(trainer: Trainer, limit: float) -> float:
    times: list[float] = []
    started = time.perf_counter()
    stream = trainer.run()
    for record in stream:
        if isinstance(record, StepRecord):
            times.append(record.seconds)
        late = len(times) > WARM and time.perf_counter() - started > limit
        if trainer.world.agree([1] if late else []):
            break
    stream.close()
    del trainer, stream
    gc.collect()  # the next one needs the memory
    return statistics.median(times[WARM:])


def _validation_seconds(trainer: Trainer) -> float:
    if not trainer.held_out.photos.names:
        return 0.0
    trainer.held_out.pairs()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer.validated("")
        write_strips(trainer, Path(folder) / "strips.png")
        (Path(folder) / "checkpoints").mkdir()
        save_model(trainer, Path(folder) / "model.safetensors")
        save_best(trainer, Path(folder))
    return time.perf_counter() - started + 0.5  # and the curves
