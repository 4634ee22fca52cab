"""A network's restoration of a whole picture: padding, tiles, devices; one generator that reports every evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfrestore.engine.device import Device, Precision
from dfrestore.engine.memory import is_out_of_memory
from dfrestore.engine.plan import Plan, strips_of
from dfrestore.engine.tiles import Spans, spans, tight, tiles
from dfrestore.engine.work import values_a_pixel
from dfrestore.errors import OutOfMemoryFailure
from dfrestore.methods import Network
from dfrestore.methods.method import Evaluate, Given
from dfrestore.nn import Strips
from dfrestore.windows import Windows

Watch = Callable[[float, float], object]
"""watch(done, total): called many times during an evaluation, between two :class:`Progress` records."""


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` network evaluations (each tile is one; the parts of a network are weighted by their cost).

    estimate: at the end of a sampling step, float32 (sH, sW, 3) clamped to [0, 1]; the last one is the result. x_t: the
    sampler's state then, where there is one, (3, H, W); it is overwritten when the work goes on.
    """

    done: float
    total: float
    estimate: NDArray[np.float32] | None = None
    x_t: Tensor | None = None

    @property
    def result(self) -> NDArray[np.float32] | None:
        """The restored picture, on the last record only."""
        return self.estimate if self.done == self.total else None


def restore_array(
    network: Network,
    rgb: NDArray[np.float32],
    *,
    mask: NDArray[np.float32] | None = None,
    steps: int,
    seed: int,
    plan: Plan,
    device: Device,
    precision: Precision,
    windows: Windows | None = None,
    watch: Watch | None = None,
) -> Iterator[Progress]:
    """Restore ``rgb``, float32 (H, W, 3) in [0, 1] of any size, in ``steps`` steps; a record per evaluation.

    mask: (H, W), 1 in the hole, for networks that take one. The noise follows from size and seed alone. The network is
    moved to the device; sampling states are float32 in every precision. A result that is not finite is returned as it
    is: the caller judges it. Raises ValueError for impossible steps or arrays, and :class:`OutOfMemoryFailure`.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"expected an array (H, W, 3), got {rgb.shape}")
    if network.mask != (mask is not None):
        raise ValueError("this network needs a mask" if network.mask else "this network takes no mask")
    if steps not in network.steps:
        raise ValueError(f"this network cannot do {steps} steps")
    try:
        yield from _restore(network, rgb, mask, steps, seed, plan, device, precision, windows, watch)
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
    rgb: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    steps: int,
    seed: int,
    plan: Plan,
    device: Device,
    precision: Precision,
    windows: Windows | None,
    watch: Watch | None,
) -> Iterator[Progress]:
    network.to(device.torch_device)
    # Tiles leave the whole picture in main memory: only a tile at a time is on the device.
    home = device.torch_device if plan.kind == "whole" else torch.device("cpu")
    # Made here and not by the caller: arguments of a decorated generator live as long as it does.
    given = Given.of(_to_planes(rgb, mask), seed, network, home)
    run = _Evaluations(network, steps, plan, given, device, strips_of(plan, windows, precision, device), watch)
    height, width = given.height * network.scale, given.width * network.scale
    restoration = network.restore(given, run, steps)
    del given  # or it would be held through the whole restoration
    for estimate in restoration:
        if estimate is None:
            yield Progress(run.done, run.total)
            continue
        pixels = _to_pixels(estimate.image[:, :height, :width])
        x_t = estimate.x_t
        del estimate  # or it would be held while the caller looks, and through the next step
        yield Progress(run.done, run.total, pixels, x_t)


class _Evaluations:
    """The :class:`~dfrestore.methods.method.Run` of one restoration: each evaluation over the grid of the plan."""

    def __init__(
        self,
        network: Network,
        steps: int,
        plan: Plan,
        given: Given,
        device: Device,
        how: Strips,
        watch: Watch | None,
    ) -> None:
        self._plan, self._device, self._how, self._watch = plan, device, how, watch
        self._multiple = network.multiple
        self._tiles = _Grid.of(plan, given.planes.shape[1], given.planes.shape[2], network.multiple, 1).tiles
        self._ends = list(accumulate((part * self._tiles for part in network.parts(steps)), initial=0.0))
        self._part = 0  # of the network, in the order of its evaluations
        self.done = 0.0
        self.total = self._ends[-1]
        self._values = values_a_pixel(network) if watch is not None else 0.0

    def __call__(self, evaluate: Evaluate, *pictures: Tensor, scale: int = 1) -> Generator[None, None, Tensor]:
        """Tiles are blended after every evaluation, which is sound since a step is linear in the network's output."""
        height, width = pictures[0].shape[1:]
        walk = _Grid.of(self._plan, height, width, self._multiple, 1)
        if walk.tiles == 1:
            output = self._evaluated(evaluate, pictures)
        else:
            output = yield from self._blended(evaluate, pictures, walk, scale)
        self._finish_part()
        return output

    def whole(self, evaluate: Evaluate, *pictures: Tensor) -> Generator[None, None, Tensor]:
        yield from ()
        output = self._evaluated(evaluate, pictures, self._tiles)
        self._finish_part()
        return output

    def _blended(
        self, evaluate: Evaluate, pictures: tuple[Tensor, ...], walk: _Grid, scale: int
    ) -> Generator[None, None, Tensor]:
        height, width = pictures[0].shape[1:]
        enlarged = _Grid.of(self._plan, height, width, self._multiple, scale)
        blend: Tensor | None = None
        parts = zip(tiles(walk.rows, walk.columns), tiles(enlarged.rows, enlarged.columns), strict=True)
        for number, (tile, place) in enumerate(parts, 1):
            output = self._evaluated(evaluate, tuple(picture[:, tile.rows, tile.columns] for picture in pictures))
            if blend is None:
                blend = pictures[0].new_zeros(len(output), height * scale, width * scale)
            blend[:, place.rows, place.columns] += output * place.weight
            if number < walk.tiles:
                self.done = self._reached(number)
                yield
        assert blend is not None
        return blend

    def _evaluated(self, evaluate: Evaluate, pictures: tuple[Tensor, ...], count: int = 1) -> Tensor:
        """One evaluation of (C, h, w) pictures on the device; the output comes back to where they are.

        count: how many tiles of this part it makes up.
        """
        place, home = self._device.torch_device, pictures[0].device
        self._how.tick = self._ticker(pictures[0].shape[1] * pictures[0].shape[2], count)
        try:
            with _same_bytes(place):
                output = evaluate(self._how, *(picture.to(place)[None] for picture in pictures))[0]
        finally:
            self._how.tick = None  # it leads back here, and a circle would hold the buffers until garbage is collected
        return output.to(home)

    def _ticker(self, pixels: int, count: int) -> Callable[[int], object] | None:
        """What tells the watch how far this evaluation of ``count`` tiles is; it is called after each strip."""
        share = (self._ends[self._part + 1] - self._ends[self._part]) / self._tiles  # of this part, for one tile
        watch, expected, begin = self._watch, self._values * pixels * share, self.done
        if watch is None or not expected:
            return None
        weight = self._reached(count) - self._reached(0)
        seen = 0

        def tick(values: int) -> None:
            nonlocal seen
            seen += values
            watch(begin + weight * min(1.0, seen / expected), self.total)

        return tick

    def _reached(self, count: int) -> float:
        """What is done after ``count`` tiles of this part."""
        begin, end = self._ends[self._part], self._ends[self._part + 1]
        return begin + (end - begin) * count / self._tiles

    def _finish_part(self) -> None:
        self._part += 1
        self.done = self._ends[self._part]  # exactly: at the end it is compared with the total


@dataclass(frozen=True)
class _Grid:
    """The tiles of a plan over one picture, enlarged ``scale`` times; a whole picture is a grid of one."""

    rows: Spans
    columns: Spans

    @classmethod
    def of(cls, plan: Plan, height: int, width: int, multiple: int, scale: int) -> _Grid:
        def axis(side: int) -> Spans:
            tile = plan.tile or side
            if not plan.explicit:
                tile = tight(side, tile, plan.overlap, multiple)
            return spans(side * scale, tile * scale, plan.overlap * scale, multiple * scale)

        return cls(axis(height), axis(width))

    @property
    def tiles(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)


def _same_bytes(device: torch.device) -> AbstractContextManager[None]:
    """On CUDA: convolutions that repeat bit for bit, and in fp32 instead of TF32 (which torch allows)."""
    if device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags


def _to_planes(rgb: NDArray[np.float32], mask: NDArray[np.float32] | None) -> Tensor:
    """(H, W, 3) and a mask (H, W) -> (3 or 4, H, W), float32, a copy."""
    planes = np.array(rgb.transpose(2, 0, 1), dtype=np.float32, order="C")
    if mask is not None:
        planes = np.concatenate([planes, mask[None].astype(np.float32)])
    return torch.from_numpy(planes)


def _to_pixels(image: Tensor) -> NDArray[np.float32]:
    """(3, H, W) -> (H, W, 3) clamped to [0, 1], float32, a copy; infinities become NaN, not 0 or 1."""
    copy = image.cpu().permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
    copy.nan_to_num_(nan=math.nan, posinf=math.nan, neginf=math.nan)
    pixels: NDArray[np.float32] = copy.clamp_(0, 1).numpy()
    return pixels
