"""The self-test: every device of this machine must compute what the papers' arithmetic gives on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from dfrestore.benchmark.measure import test_picture
from dfrestore.devices import PRECISIONS
from dfrestore.engine import choose_device, choose_precision
from dfrestore.errors import DeviceError, DfrestoreError
from dfrestore.methods import Network, build_network, load_network
from dfrestore.methods.method import restored_at_once
from dfrestore.restore.flow import drain
from dfrestore.restore.images import Rgb
from dfrestore.restore.restorer import Restorer
from dfrestore.weights import ModelSpec

SIDE = 64
LIMITS = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.05}
"""Largest difference, of values in [0, 1], that each precision may show."""


@dataclass(frozen=True)
class Check:
    """difference: the largest, of values in [0, 1]; None if there is an error."""

    device: str
    precision: str
    difference: float | None
    error: str | None = None

    @property
    def passed(self) -> bool:
        # A difference that is not a number fails too.
        return self.difference is not None and self.difference <= LIMITS[self.precision]


def self_test() -> Iterator[Check]:
    """Restore a small picture in the fewest steps on each device, in each precision it offers by itself; compare."""
    network, spec = _model()
    picture = test_picture(SIDE, SIDE)
    expected = _by_the_paper(network, picture)
    for device in devices():
        for precision in offered(device):
            try:
                restorer = Restorer(network, spec, device=device, precision=precision)
                result = drain(restorer.restore_rgb(picture, steps=network.steps[0])).rgb
            except (DfrestoreError, RuntimeError) as error:
                yield Check(device, precision, None, str(error))
                continue
            yield Check(device, precision, float(np.abs(result - expected).max()))


def devices() -> list[str]:
    """Every device that torch sees."""
    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def offered(device: str) -> list[str]:
    """fp32, and the other precisions that the device has without a warning."""
    names = []
    for name in PRECISIONS[1:]:
        try:
            precision = choose_precision(name, choose_device(device))
        except DeviceError:
            continue
        if precision.warning is None:
            names.append(name)
    return names


def _model() -> tuple[Network, ModelSpec]:
    """The default model; if there is none, an untrained one of the smoke preset."""
    try:
        return load_network(None, task="derain")
    except DfrestoreError:
        from dfrestore.training import load_preset, spec_of

        spec = spec_of(load_preset("smoke", "derain"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build_network(spec).eval(), spec


@torch.inference_mode()
def _by_the_paper(network: Network, picture: Rgb) -> Rgb:
    """One restoration with the network as it is written down, on the CPU in fp32."""
    planes = torch.from_numpy(picture).permute(2, 0, 1)
    restored = restored_at_once(network.cpu(), planes, network.steps[0])
    shown: Rgb = restored.clamp(0, 1).permute(1, 2, 0).numpy()
    return shown
