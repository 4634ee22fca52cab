"""How long a restoration will take here: measured once per network and machine, corrected by each large photo.

A speed is in seconds per pixel and evaluation of weight 1 (see ``Network.parts``). Speeds are kept in the cache folder
and are only shown to people: if that file is damaged or cannot be written, nothing else changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch

from dfrestore import strict_json
from dfrestore.engine.device import Device, Precision
from dfrestore.engine.plan import Plan, make_plan
from dfrestore.engine.run import restore_array
from dfrestore.files import atomic_file, cache_folder
from dfrestore.methods import Network
from dfrestore.windows import Windows

FILE_NAME = "speeds.json"
WORTH_MEASURING = 1.5e6
"""Pixels times evaluations from which a measurement pays: less work is done sooner than measured."""
MOST_KNOWN = 200
_SMALL, _LARGE = 256, 1024  # sides of the pictures that are measured
_PATIENCE = 2.0  # seconds that the large one may take


def amount(network: Network, height: int, width: int, steps: int, plan: Plan) -> float:
    """Pixels times evaluations of a restoration; what tiles compute twice counts twice."""
    twice = (plan.tile / (plan.tile - plan.overlap)) ** 2 if plan.tile and max(height, width) > plan.tile else 1.0
    return height * width * twice * sum(network.parts(steps))


class Speeds:
    """What is known of this network on this device in this precision, with these windows and threads.

    memory: the bytes that a measurement may use, None for most of what is free.
    """

    def __init__(
        self,
        network: Network,
        device: Device,
        precision: Precision,
        windows: Windows | None,
        memory: int | None = None,
    ) -> None:
        self._network, self._device, self._precision, self._windows = network, device, precision, windows
        self._memory = memory
        self._path = cache_folder() / FILE_NAME
        self._key = self._name()
        self._of_tiles: dict[int, float] = {}  # side -> speed

    def known(self) -> float | None:
        """The speed, if it has been measured before."""
        value = _read(self._path).get(self._key)
        return value if isinstance(value, float) and 0 < value < math.inf else None

    def learn(self, seconds: float, work: float) -> None:
        """Correct the speed by a restoration that took ``seconds``; work: its :func:`amount`.

        The new value is the geometric mean with the one before, since a machine may have been busy for once.
        """
        if work < WORTH_MEASURING or seconds <= 0:
            return
        earlier, latest = self.known(), seconds / work
        self._keep(latest if earlier is None else math.sqrt(earlier * latest))

    def measured(self) -> float:
        """The speed, measured now, in a second or two. Raises :class:`OutOfMemoryFailure`."""
        self._seconds(_SMALL)  # libraries load on first use
        seconds, side = self._seconds(_SMALL), _SMALL
        if seconds * (_LARGE / _SMALL) ** 2 < _PATIENCE:
            seconds, side = self._seconds(_LARGE), _LARGE
        speed = seconds / self._work(side)
        self._keep(speed)
        return speed

    def of_tile(self, side: int) -> float:
        """The speed within tiles of this side, measured once a run: the smaller, the slower. It is not kept.

        Of large ones it is the whole picture's speed. Raises :class:`OutOfMemoryFailure`.
        """
        whole = self.known() or self.measured()
        if side >= _LARGE:
            return whole
        if side not in self._of_tiles:
            self._seconds(side)  # libraries load on first use
            self._of_tiles[side] = self._seconds(side) / self._work(side)
        return max(whole, self._of_tiles[side])

    def _work(self, side: int) -> float:
        return side**2 * sum(self._network.parts(self._network.steps[0]))

    def _seconds(self, side: int) -> float:
        picture = np.random.default_rng(0).random((side, side, 3), dtype=np.float32)
        plan = make_plan(side, side, self._network, memory=self._memory, precision=self._precision, device=self._device)
        begin = time.perf_counter()
        for _ in restore_array(
            self._network,
            picture,
            mask=np.zeros((side, side), np.float32) if self._network.mask else None,
            steps=self._network.steps[0],
            seed=0,
            plan=plan,
            device=self._device,
            precision=self._precision,
            windows=self._windows,
        ):
            pass
        return time.perf_counter() - begin

    def _name(self) -> str:
        shapes = [tuple(parameter.shape) for parameter in self._network.parameters()]
        window = None if self._windows is None else self._windows.setting
        threads = torch.get_num_threads() if self._device.torch_device.type == "cpu" else 0
        about: tuple[object, ...] = (type(self._network).__name__, shapes, self._device.name)
        about += (self._precision.name, window, threads)
        if self._device.torch_device.type == "cuda":  # another GPU may come into the same machine
            about += (torch.cuda.get_device_name(self._device.torch_device),)
        return hashlib.sha256(repr((about, torch.__version__)).encode()).hexdigest()[:16]

    def _keep(self, speed: float) -> None:
        known = _read(self._path)
        known.pop(self._key, None)
        known = dict(list(known.items())[-MOST_KNOWN + 1 :]) | {self._key: speed}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self._path, overwrite=True) as file:
                file.write(strict_json.dumps(known).encode())


def _read(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
