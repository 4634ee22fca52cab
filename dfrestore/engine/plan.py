"""How a picture is run through a network: whole, in strips of rows, or in tiles where memory does not hold it whole.

The plan follows from size and model alone, unless the memory forbids it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch

from dfrestore.engine.device import Device, Precision
from dfrestore.engine.memory import available_memory
from dfrestore.engine.tiles import tight
from dfrestore.errors import OutOfMemoryFailure, UsageError
from dfrestore.methods import Network
from dfrestore.nn import Strips
from dfrestore.nn.padding import round_up
from dfrestore.nn.rows import VALUES
from dfrestore.windows import Windows

TILE_SIZES = (4096, 2048, 1024, 512, 256)
# Part of the free memory that a plan may count on: the rest is for decoding, encoding and other programs.
_SHARE = 0.8
# What libraries take whatever the size, and maps of a strip that exist at once (measured, see network_bytes).
_FIXED, _STRIP_MAPS = 64 << 20, 7
# A GPU wants fewer and larger strips: values of the widest map.
_GPU_VALUES = 64_000_000


@dataclass(frozen=True)
class Beside:
    """What a CPU's memory holds besides the evaluations, in bytes; nothing of it is on a GPU.

    held: before, during and after them: the process itself, and the picture. finishing: what is added at the peak
    after them, while the result is made of their output and written.
    """

    held: int = 0
    finishing: int = 0


NOTHING = Beside()


@dataclass(frozen=True)
class Plan:
    """kind: ``whole`` or ``tiles`` of side ``tile`` that overlap by at least ``overlap`` (0, 0 when whole).

    explicit: the user gave the tile. precision: its name. predicted_bytes: of the evaluations on the computing device,
    at the peak. half_features: features are kept in 16 bit between the strips, though computed in fp32. beside: what
    else is in that memory.
    """

    kind: Literal["whole", "tiles"]
    tile: int
    overlap: int
    explicit: bool
    precision: str
    predicted_bytes: int
    half_features: bool = False
    beside: Beside = NOTHING

    @property
    def peak_bytes(self) -> int:
        """The most that there is at once in the computing device's memory: on a CPU, of the whole process."""
        return self.beside.held + max(self.predicted_bytes, self.beside.finishing)

    def describe(self) -> str:
        """A few words for the start line: ``whole image, about 0.9 GB``."""
        how = "whole image" if self.kind == "whole" else f"{self._tiles()} overlapping by {self.overlap}"
        how += ", features kept in 16 bit" if self.half_features else ""
        return f"{how}, about {_gigabytes(self.peak_bytes)}"

    def _tiles(self) -> str:
        # A side that the user did not give is a limit: tiles shrink until they fit the picture with the least overlap.
        return f"tiles of {self.tile}" if self.explicit else f"tiles of {self.tile} or less"


def make_plan(
    height: int,
    width: int,
    network: Network,
    *,
    tile: int | None = None,
    memory: int | None = None,
    precision: Precision,
    device: Device,
    beside: Beside = NOTHING,
) -> Plan:
    """Whole as long as that fits, else the largest of :data:`TILE_SIZES` that does.

    tile: the side to use instead, rounded up to the network's multiple, whatever memory it needs; 0: the whole image.
    memory: budget in bytes on ``device``, on a CPU of the whole process; None: most of what is free beyond what is held
    already. Raises :class:`UsageError` for an impossible tile, and :class:`OutOfMemoryFailure` when nothing fits.
    """
    if height < 1 or width < 1:
        raise UsageError(f"a picture of {width}x{height} pixels has nothing to restore")
    if tile is not None and tile < 0:
        raise UsageError(f"a tile of {tile} pixels is not possible; use a side in pixels, or 0 for the whole image")
    if device.torch_device.type == "cuda":
        beside = NOTHING
    if tile is not None:
        return _plan(height, width, network, tile, precision, device, explicit=True, beside=beside)
    budget = memory
    if budget is None and (free := free_memory(device)) is not None:
        budget = free + beside.held
    plan = _plan(height, width, network, 0, precision, device, beside=beside)
    while budget is not None and plan.peak_bytes > budget:
        smaller = smaller_plan(plan, height, width, network, precision=precision, device=device)
        if smaller is None:
            way = "raise --memory" if memory is not None else "close other programs"
            raise OutOfMemoryFailure(
                f"{width}x{height} pixels need about {_gigabytes(plan.peak_bytes, math.ceil)} of memory on "
                f"{device.name} even in the smallest plan, and {_gigabytes(budget, math.floor)} may be used; {way}, or "
                "give a smaller picture"
            )
        plan = smaller
    return plan


def smaller_plan(
    plan: Plan, height: int, width: int, network: Network, *, precision: Precision, device: Device
) -> Plan | None:
    """The plan to try when memory ran out with ``plan``: the next one that needs less; None after the last."""
    side, beside = plan.tile or max(height, width), plan.beside
    candidates = [_plan(height, width, network, size, precision, device, beside=beside) for size in TILE_SIZES]
    candidates = [candidate for candidate in candidates if candidate.tile < side]
    if plan.kind == "whole" and not plan.half_features and precision.name == "fp32":
        half = _plan(height, width, network, 0, precision, device, half_features=True, beside=beside)
        candidates = [half] * (half.predicted_bytes < 0.9 * plan.predicted_bytes) + candidates
    return next((c for c in candidates if c.predicted_bytes < plan.predicted_bytes), None)


def strips_of(plan: Plan, windows: Windows | None, precision: Precision, device: Device) -> Strips:
    """How the network walks a picture or tile of this plan."""
    values = VALUES if device.torch_device.type == "cpu" else _GPU_VALUES
    features = torch.bfloat16 if plan.half_features else None
    return Strips(precision.dtype, features, windows, values)


def with_precision(plan: Plan, precision: Precision) -> Plan:
    """The same walk over the picture in another precision (after an overflow in half precision)."""
    if precision.name == plan.precision:
        return plan
    factor = 2.0 if precision.name == "fp32" else 0.5 if plan.precision == "fp32" else 1.0
    half = plan.half_features and precision.name == "fp32"
    return replace(
        plan, precision=precision.name, predicted_bytes=int(plan.predicted_bytes * factor), half_features=half
    )


def network_bytes(height: int, width: int, network: Network, precision: Precision, half_features: bool = False) -> int:
    """Peak of one evaluation in strips on a (padded) image on a CPU, in bytes.

    What is kept, and some maps of one strip. For C2F-DFT up to a quarter above the resident memory measured from
    512x512 to 2048x2048 for dim 16, 32, 48, both stems and precisions.
    """
    footprint = network.footprint
    stride = footprint.stride
    kept = footprint.kept * (height * width // stride**2) * (2 if half_features else precision.dtype.itemsize)
    row = width // stride * footprint.widest
    strip = _STRIP_MAPS * max(min(VALUES, row * height // stride), 2 * row) * precision.dtype.itemsize
    return int(kept + strip) + _FIXED


def tile_shape(tile: int, multiple: int) -> tuple[int, int]:
    """(side, overlap) for a requested side: rounded up, at least two multiples; an eighth overlaps, at least 16."""
    side = max(round_up(tile, multiple), 2 * multiple)
    overlap = min(round_up(max(16, side // 8), multiple), side // 2 // multiple * multiple)
    return side, overlap


def _plan(
    height: int,
    width: int,
    network: Network,
    tile: int,
    precision: Precision,
    device: Device,
    explicit: bool = False,
    half_features: bool = False,
    beside: Beside = NOTHING,
) -> Plan:
    height, width = round_up(height, network.multiple), round_up(width, network.multiple)
    states = network.footprint.states * 4 * height * width
    if tile == 0:
        need = network_bytes(height, width, network, precision, half_features) + states
        return Plan("whole", 0, 0, explicit, precision.name, need, half_features, beside)
    side, overlap = tile_shape(tile, network.multiple)
    if explicit:
        rows, columns = min(side, height), min(side, width)
    else:
        rows, columns = (tight(length, side, overlap, network.multiple) for length in (height, width))
    need = network_bytes(rows, columns, network, precision)
    if device.torch_device.type != "cuda":  # elsewhere the device's memory also holds the picture
        need += states
    return Plan("tiles", side, overlap, explicit, precision.name, need, beside=beside)


def free_memory(device: Device) -> int | None:
    """Bytes on ``device`` that a plan may take unless the user says how many: most of what is free."""
    free = available_memory(device.torch_device)
    return None if free is None else int(_SHARE * free)


def _gigabytes(count: int, to_whole: Callable[[float], int] = round) -> str:
    return f"{to_whole(count / 1e8) / 10:.1f} GB" if count >= 1e8 else f"{max(1, to_whole(count / 1e6))} MB"
