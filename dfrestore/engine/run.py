"""A network on a whole picture: padding, noise, sampling, tiles; one generator that reports every evaluation."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.diffusion import Prediction, alpha_bars, ddim_step, initial_noise, timesteps
from dfrestore.engine.device import Device, Precision
from dfrestore.engine.memory import is_out_of_memory
from dfrestore.engine.padding import pad
from dfrestore.engine.plan import Plan, strips_of
from dfrestore.engine.tiles import Spans, spans, tight, tiles
from dfrestore.errors import OutOfMemoryFailure
from dfrestore.methods import Network
from dfrestore.methods.c2f_dft import Sampling
from dfrestore.nn.strips import Strips
from dfrestore.weights.spec import ModelSpec

_STRIP = 256  # rows


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` network evaluations (a tile is one).

    x0: at the end of a sampling step its clean estimate, float32 (H, W, 3) clamped to [0, 1]; the last is the result.
    """

    done: int
    total: int
    x0: NDArray[np.float32] | None = None

    @property
    def result(self) -> NDArray[np.float32] | None:
        """The restored picture, on the last record only."""
        return self.x0 if self.done == self.total else None


def restore_array(
    network: Network,
    spec: ModelSpec,
    rgb: NDArray[np.float32],
    *,
    steps: int,
    seed: int,
    plan: Plan,
    device: Device,
    precision: Precision,
) -> Iterator[Progress]:
    """Restore ``rgb``, float32 (H, W, 3) in [0, 1] of any size, in ``steps`` DDIM steps: a record an evaluation.

    The noise follows from size and seed alone. The network is moved to the device; sampling states are float32 in every
    precision. A result that is not finite is handed on as it is: judging it is the caller's. Raises ValueError for
    impossible steps or arrays, :class:`OutOfMemoryFailure`.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"expected an array (H, W, 3), got {rgb.shape}")
    sampling = Sampling.from_mapping(spec.sampling)
    times = timesteps(sampling.train_timesteps, steps, sampling.timesteps)
    try:
        yield from _restore(network, spec, rgb, times, seed, plan, device, precision)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        height, width = rgb.shape[:2]
        smaller = max(64, min(plan.tile or 1024, max(height, width)) // 2)
        raise OutOfMemoryFailure(
            f"{width}x{height} pixels do not fit into the memory of {device.name} ({plan.describe()}); "
            f"try --tile {smaller}"
        ) from error


@torch.inference_mode()
def _restore(
    network: Network,
    spec: ModelSpec,
    rgb: NDArray[np.float32],
    times: list[int],
    seed: int,
    plan: Plan,
    device: Device,
    precision: Precision,
) -> Iterator[Progress]:
    height, width, _ = rgb.shape
    network.to(device.torch_device)
    # Tiles leave the whole picture in main memory: only a tile at a time is on the device.
    home = device.torch_device if plan.kind == "whole" else torch.device("cpu")
    y = pad(_to_planes(rgb), network.multiple).to(home)
    x = pad(initial_noise(height, width, seed), network.multiple).to(home)
    walk = _Walk.of(plan, y.shape[1], y.shape[2], network.multiple)
    strips = strips_of(plan, spec, precision, device)
    total = len(times) * walk.evaluations
    sampling = Sampling.from_mapping(spec.sampling)
    alpha_bar = alpha_bars(sampling.train_timesteps, sampling.betas).to(home)
    done = 0
    for t, following in zip(times, [*times[1:], None], strict=True):
        evaluation = _evaluate(network, y, x, t, walk, device, strips)
        output = yield from _counted(evaluation, done, walk.evaluations, total)
        done += walk.evaluations
        _step(sampling.prediction, output, x, alpha_bar, t, following)
        estimate = _to_pixels(output[:, :height, :width])
        del output  # not held while the caller looks, nor through the next step
        yield Progress(done, total, estimate)


def _step(prediction: Prediction, output: Tensor, x: Tensor, alpha_bar: Tensor, t: int, following: int | None) -> None:
    """One DDIM step in place, (3, H, W): x becomes the next x, output the clean estimate.

    A few rows at a time, so that its temporaries do not count in a large picture.
    """
    for top in range(0, x.shape[1], _STRIP):
        rows = slice(top, top + _STRIP)
        x[:, rows], output[:, rows] = ddim_step(prediction, output[:, rows], x[:, rows], alpha_bar, t, following)


@dataclass(frozen=True)
class _Walk:
    """The grid of a plan over one picture; whole pictures are a grid of one."""

    rows: Spans
    columns: Spans

    @classmethod
    def of(cls, plan: Plan, height: int, width: int, multiple: int) -> _Walk:
        def axis(side: int) -> Spans:
            tile = plan.tile or side
            if not plan.explicit:
                tile = tight(side, tile, plan.overlap, multiple)
            return spans(side, tile, plan.overlap, multiple)

        return cls(axis(height), axis(width))

    @property
    def evaluations(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)


def _evaluate(
    network: Network, y: Tensor, x: Tensor, t: int, walk: _Walk, device: Device, strips: Strips
) -> Generator[None, None, Tensor]:
    """The network's output for the whole picture at ``t``, (3, H, W) float32; pauses after each tile.

    Tiles are blended here, in every step: at a given x the clean estimate is linear in the output, so blending
    outputs is blending estimates.
    """
    if walk.evaluations == 1:
        output = _call(network, y, x, t, device, strips).to(x.device)
        yield
        return output
    blend = torch.zeros_like(x)
    for tile in tiles(walk.rows, walk.columns):
        output = _call(network, y[:, tile.rows, tile.columns], x[:, tile.rows, tile.columns], t, device, strips)
        blend[:, tile.rows, tile.columns] += output.to(blend.device) * tile.weight
        yield
    return blend


def _call(network: Network, y: Tensor, x: Tensor, t: int, device: Device, strips: Strips) -> Tensor:
    """One evaluation of one (3, h, w) picture on the device."""
    place = device.torch_device
    time = torch.full((1,), float(t), device=place)
    with _same_bytes(place):
        return network.forward_strips(y.to(place), x.to(place), time, strips)


def _counted(
    evaluation: Generator[None, None, Tensor], done: int, parts: int, total: int
) -> Generator[Progress, None, Tensor]:
    """Number the pauses of one evaluation; its last part is left to the record that carries the estimate."""
    part = 0
    while True:
        try:
            next(evaluation)
        except StopIteration as end:
            output: Tensor = end.value
            return output
        part += 1
        if part < parts:
            yield Progress(done + part, total)


def _same_bytes(device: torch.device) -> AbstractContextManager[None]:
    """On CUDA: convolutions that repeat bit for bit, and in fp32 instead of TF32 (which torch allows)."""
    if device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags


def _to_planes(rgb: NDArray[np.float32]) -> Tensor:
    """(H, W, 3) in [0, 1] -> (3, H, W) in [-1, 1], float32, a copy."""
    return torch.from_numpy(np.array(rgb.transpose(2, 0, 1), dtype=np.float32, order="C")).mul_(2).sub_(1)


def _to_pixels(x: Tensor) -> NDArray[np.float32]:
    """(3, H, W) in [-1, 1] -> (H, W, 3) in [0, 1], clamped, float32, a copy; infinities become NaN, not 0 or 1."""
    copy = x.cpu().permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
    copy.nan_to_num_(nan=math.nan, posinf=math.nan, neginf=math.nan)
    pixels: NDArray[np.float32] = copy.add_(1).div_(2).clamp_(0, 1).numpy()
    return pixels
