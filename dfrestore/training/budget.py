"""A schedule that ends in time: measure each kind of step, then fix the iterations of both stages."""

from __future__ import annotations

import gc
import math
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dfrestore.errors import StartError, UsageError
from dfrestore.training.checkpoints import save_best
from dfrestore.training.config import StageConfig, TrainConfig, scaled
from dfrestore.training.data import Degrade
from dfrestore.training.distributed import SOLO, World
from dfrestore.training.photos import Photos
from dfrestore.training.run import save_model, write_strips
from dfrestore.training.schedules import patch_counts
from dfrestore.training.trainer import STAGES, StepRecord, Trainer

RESERVE = 0.05  # of the time: for the machine's moods
LAST_SECONDS = 3.0  # saving, curves
MEASURING = 0.05  # of the time goes to measuring, beyond one step of each kind
VALIDATING = 0.1  # of the time goes to validations, beyond one at the end of each stage
VALIDATIONS = 10  # in a run, at least, where there is time
WARM, TIMED = 1, 4  # steps of each kind: passed over, measured at most
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
) -> Speed:
    """The speed of this run's steps here, data included, from at most about ``MEASURING`` of ``seconds``."""

    def trainer(part: TrainConfig) -> Trainer:
        return Trainer(part, photos, degrade, device=device, world=world)

    kinds = [
        (name, patch, batch)
        for name, stage in _stages(config)
        for patch, batch in dict.fromkeys(zip(stage.patches, stage.batches, strict=True))
    ]
    if not kinds:
        raise StartError("nothing to train: both stages have no iterations")
    steps = {}
    for kind in kinds:
        counts = Counter(config.fine_steps if kind[0] == "fine" else (0,))
        limit = seconds * MEASURING / len(kinds) / len(counts)
        times = {n: _step_seconds(trainer(_only(config, kind, n)), limit) for n in counts}
        steps[kind] = sum(times[n] * share for n, share in counts.items()) / counts.total()
    return Speed(steps, _validation_seconds(trainer(config)))


def fit(config: TrainConfig, speed: Speed, seconds: float, coarse_share: float | None = None) -> TrainConfig:
    """The run with as many iterations as fit into ``seconds``, its schedule stretched to them, and validations.

    coarse_share: the coarse stage's part of the iterations; by default as in ``config``. Raises :class:`StartError`
    when there is not time for ten iterations.
    """
    planned = config.coarse.iterations + config.fine.iterations
    share = config.coarse.iterations / planned if coarse_share is None else coarse_share
    if not 0 <= share <= 1:
        raise UsageError(f"the coarse share {share:g} is not from 0 to 1")
    usable = seconds * (1 - RESERVE) - LAST_SECONDS
    count = max(0.0, usable) * VALIDATING / speed.validation if speed.validation else math.inf
    total = float(planned)
    for _ in range(12):  # patch cycles make the time a little uneven, so step by step
        fitted = _with_iterations(config, int(total), share, count)
        needed = run_seconds(fitted, speed)
        if 0.99 * usable <= needed <= usable:
            break
        total = max(1.0, total * 0.995 * usable / needed)
    while needed > usable and total > 1:
        total *= 0.98
        fitted = _with_iterations(config, int(total), share, count)
        needed = run_seconds(fitted, speed)
    if total < 10 or needed > usable:
        raise StartError(
            f"--minutes: {seconds:.0f} s are left to train in, too few where an iteration takes up to "
            f"{max(speed.steps.values()):.2g} s and a validation {speed.validation:.2g} s; give more"
        )
    return fitted


def run_seconds(config: TrainConfig, speed: Speed) -> float:
    """What the run will take: its steps, a validation each ``validate_every`` and at the end of each stage."""
    total = 0.0
    for name, stage in _stages(config):
        total += sum(speed.steps[(name, *kind)] * count for kind, count in patch_counts(stage).items())
        total += speed.validation * (-(-stage.iterations // config.validate_every))
    return total


def describe(config: TrainConfig, speed: Speed) -> str:
    """One phrase: what was measured and fixed."""
    each = ", ".join(f"{name} {patch}px {seconds:.2g} s" for (name, patch, _), seconds in speed.steps.items())
    counts = f"{config.coarse.iterations} coarse + {config.fine.iterations} fine iterations"
    return f"{counts}, a validation every {config.validate_every} ({each}; validation {speed.validation:.2g} s)"


def _stages(config: TrainConfig) -> list[tuple[str, StageConfig]]:
    return [(name, stage) for name in STAGES if (stage := getattr(config, name)).iterations]


def _with_iterations(config: TrainConfig, total: int, share: float, validations: float) -> TrainConfig:
    """``total`` iterations; validations as often as the preset says or ten times, at most ``validations`` times."""
    coarse = round(total * share)
    wanted = int(min(validations, max(VALIDATIONS, total // config.validate_every)))
    every = -(-total // wanted) if wanted else max(1, total)
    return replace(scaled(config, coarse, total - coarse), validate_every=every)


def _only(config: TrainConfig, kind: Step, count: int) -> TrainConfig:
    """A run of this kind of step alone, without validation; ``count``: of sampler steps."""
    name, patch, batch = kind
    stage = replace(getattr(config, name), iterations=WARM + TIMED, patches=(patch,), batches=(batch,))
    stages = {other: replace(getattr(config, other), iterations=0) for other in STAGES} | {name: stage}
    if count:
        stages["fine"] = replace(stages["fine"], steps=(count,))
    return replace(config, **stages, data=replace(config.data, validation=0))


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
    if not trainer.validation_photos.names:
        return 0.0
    trainer.validation_pairs()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer.validate()
        write_strips(trainer, Path(folder) / "strips.png")
        (Path(folder) / "checkpoints").mkdir()
        save_model(trainer, Path(folder) / "model.safetensors")
        save_best(trainer, Path(folder))
    return time.perf_counter() - started + 0.5  # and the curves
