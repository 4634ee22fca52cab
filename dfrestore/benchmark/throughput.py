"""How fast training is here: its step in each way to compute it, and the time that drawing batches adds."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from dfrestore.errors import UsageError
from dfrestore.methods.method import Call
from dfrestore.nn import Whole
from dfrestore.training.config import TrainConfig, with_stage
from dfrestore.training.data import Degrade
from dfrestore.training.photos import Photos
from dfrestore.training.trainer import Pictures, Trainer

ROUNDS, WARM = 7, 1  # of each way: measured, and not counted before them


@dataclass(frozen=True)
class Way:
    """A way to compute the step. function: the network's method, ``forward`` as the paper writes it (B, C, H, W), or
    ``walk``. training: whether training takes this one here.
    """

    function: str
    dtype: torch.dtype
    training: bool


@dataclass(frozen=True)
class WaySpeed:
    """seconds: forward and backward of one batch. ratio: how many times as fast as ``forward`` in float32."""

    function: str
    dtype: str
    training: bool
    seconds: float
    patches_per_second: float
    ratio: float


@dataclass(frozen=True)
class Throughput:
    """Medians for batches of one size. ways: forward and backward in each of them. The rest is of training's own way.

    update_seconds: clipping, optimiser and EMA. step_seconds: a step without its data. draw_seconds: drawing one
    batch while nothing else runs, in one thread, as training draws it. draw_share: draw_seconds / step_seconds.
    Training draws during the step: above 1 it waits for the rest, below 1 the two only slow each other down.
    iteration_seconds: a step and the drawing of the next batch at once, until both are done.
    """

    patch: int
    batch: int
    ways: tuple[WaySpeed, ...]
    update_seconds: float
    step_seconds: float
    draw_seconds: float
    draw_share: float
    iteration_seconds: float


def throughput(
    config: TrainConfig,
    photos: Photos,
    degrade: Degrade | None,
    sizes: Sequence[tuple[int, int]],
    *,
    device: str = "cpu",
    rounds: int = ROUNDS,
) -> Generator[Throughput, None, None]:
    """Measure steps of this run's first stage, in the first of its variants, for each (patch, batch) of ``sizes``.

    The ways take turns, so that other work on the machine slows all of them. Raises :class:`UsageError`
    for a patch that the network does not take.
    """
    for patch, batch in sizes:
        stepper = _Stepper(Trainer(_of_size(config, patch, batch), photos, degrade, device=device))
        multiple = stepper.trainer.network.multiple * stepper.trainer.network.scale
        if patch % multiple:
            raise UsageError(f"patches of {patch} pixels: this network takes multiples of {multiple}")
        yield _measure(stepper, patch, batch, rounds)
        del stepper
        gc.collect()  # the next one needs the memory


def sizes_of(config: TrainConfig) -> list[tuple[int, int]]:
    """Each (patch, batch) that the run's stages take, once."""
    stages = config.running.values()
    return list(dict.fromkeys(pair for s in stages for pair in zip(s.patches, s.batches, strict=True)))


def noise_photos(side: int, count: int = 8) -> Photos:
    """Photos of noise, ``side`` pixels square, where there are no others; the same every time."""
    rng = np.random.default_rng(0)
    pixels = [torch.from_numpy(rng.integers(0, 256, (3, side, side), dtype=np.uint8)) for _ in range(count)]
    return Photos(tuple(f"noise {number}" for number in range(count)), tuple(pixels))


class _Stepper:
    """Takes a trainer's steps in one way or another, and times them."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        trainer.begin_stage()

    def ways(self) -> list[Way]:
        chosen = self.trainer.dtype
        fast = [Way("walk", dtype, dtype == chosen) for dtype in dict.fromkeys((torch.float32, chosen))]
        network = self.trainer.network
        literal = [Way("forward", torch.float32, False)] if network.training_form == network.walk else []
        return [*literal, *fast]

    def step(self, way: Way, data: Pictures) -> tuple[float, float]:
        """Seconds of forward and backward, and of the whole step."""
        call, losses = self._call(way), {"loss": 0.0}
        backward = self._timed(lambda: losses.update(self.trainer.backward(call, *data)))
        update = self._timed(lambda: self.trainer.update(losses["loss"]))
        return backward, backward + update

    def draw(self) -> Pictures:
        """The batch of the iteration that comes next."""
        return self.trainer.draw(self.trainer.iteration)

    def _call(self, way: Way) -> Call:
        network = self.trainer.network
        if way.function == "forward":
            return network
        form = network.training_form
        return self.trainer.call() if way.training else partial(form, Whole(way.dtype, self.trainer.windows))

    def _timed(self, work: Callable[[], object]) -> float:
        device = self.trainer.device
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter() - started


def _measure(stepper: _Stepper, patch: int, batch: int, rounds: int) -> Throughput:
    ways = stepper.ways()
    chosen = next(way for way in ways if way.training)
    seconds: dict[Way, list[float]] = {way: [] for way in ways}
    steps, draws, iterations = [], [], []
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        for _ in range(WARM + rounds):
            started = time.perf_counter()
            data = pool.submit(stepper.draw).result()
            draws.append(time.perf_counter() - started)
            for way in ways:
                part, whole = stepper.step(way, data)
                seconds[way].append(part)
                if way == chosen:
                    steps.append(whole)
            started = time.perf_counter()
            beside = pool.submit(stepper.draw)
            stepper.step(chosen, data)
            beside.result()
            iterations.append(time.perf_counter() - started)
    updates = [whole - part for whole, part in zip(steps, seconds[chosen], strict=True)]
    step, draw = _median(steps), _median(draws)
    return Throughput(
        patch,
        batch,
        tuple(_speed(way, _median(seconds[way]), _median(seconds[ways[0]]), batch) for way in ways),
        _median(updates),
        step,
        draw,
        draw / step,
        _median(iterations),
    )


def _speed(way: Way, seconds: float, plain: float, batch: int) -> WaySpeed:
    dtype = str(way.dtype).removeprefix("torch.")
    return WaySpeed(way.function, dtype, way.training, seconds, batch / seconds, plain / seconds)


def _median(times: Sequence[float]) -> float:
    return statistics.median(times[WARM:])


def _of_size(config: TrainConfig, patch: int, batch: int) -> TrainConfig:
    """A run of the first stage with this size alone, which holds nothing out."""
    name, stage = next(iter(config.stages.items()))
    own, _ = stage.own.resolved(config.model.default_steps).variants()[0]
    config = with_stage(
        config, name, patches=(patch,), batches=(batch,), warmup=0, iterations=stage.iterations or 1, own=own
    )
    return replace(config, data=replace(config.data, validation=0, least_validation=0))
