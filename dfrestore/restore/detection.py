"""How badly a photo is damaged, and by what: the detector over a photo, and two measures that need no network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from dfrestore.engine import choose_device, is_out_of_memory
from dfrestore.errors import OutOfMemoryFailure, WeightsError
from dfrestore.methods import load_network
from dfrestore.methods.detector import Detector
from dfrestore.metrics import blockiness, noise_sigma
from dfrestore.metrics.blockiness import SIDE
from dfrestore.photo import Photo
from dfrestore.severities import DAMAGES, NOTICED
from dfrestore.tasks import DETECT
from dfrestore.weights import Resolved, resolve

MEASURED = 1024  # pixels: side of the middle that the two measures look at


@dataclass(frozen=True)
class Findings:
    """What was found in one photo.

    severities: 0 to 1 by the names of :data:`dfrestore.severities.DAMAGES`. noise_sigma: of luma, in levels of 255.
    blockiness: of JPEG's 8x8 blocks, 0 for none. jpeg_quality: by the file's own tables, None where it is no JPEG.
    seconds: that looking took.
    """

    severities: Mapping[str, float]
    noise_sigma: float
    blockiness: float
    jpeg_quality: int | None
    seconds: float

    @property
    def found(self) -> tuple[str, ...]:
        """Names of the kinds that are noticed, the most severe first."""
        noticed = [name for name, severity in self.severities.items() if severity >= NOTICED]
        return tuple(sorted(noticed, key=lambda name: -self.severities[name]))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those that take away what was found, in the same order."""
        return tuple(DAMAGES[name].task for name in self.found)


class Detection:
    """A detector that is ready to look at photos. name: of the model, for people."""

    def __init__(self, network: Detector, name: str, device: torch.device) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.name = name
        self.device = device

    @classmethod
    def load(cls, model: str | Path | None = None, device: str = "auto") -> Self:
        """By name or file; None: the one that ships. Raises :class:`UsageError`, WeightsError and DeviceError."""
        return cls.from_resolved(resolve(model, task=DETECT), device)

    @classmethod
    def from_resolved(cls, resolved: Resolved, device: str = "auto") -> Self:
        """:meth:`load` for a model that has been found already."""
        place = choose_device(device).torch_device
        network, spec = load_network(resolved.path)
        if not isinstance(network, Detector):
            raise WeightsError(f"{resolved.label}: says that it is for {DETECT}, but its method is {spec.method}")
        return cls(network, resolved.label, place)

    def look(self, photo: Photo) -> Findings:
        """Raises :class:`OutOfMemoryFailure`."""
        started = time.perf_counter()
        severities = self.severities(photo.rgb)
        with _memory_failing():
            middle = _middle(photo.rgb) * np.float32(255)
            sigma, blocks = noise_sigma(middle), blockiness(middle).strength
        return Findings(severities, sigma, blocks, photo.origin.quality, time.perf_counter() - started)

    def severities(self, rgb: NDArray[Any]) -> dict[str, float]:
        """Of a picture (H, W, 3) in [0, 1], each 0 to 1, in the order of the network's kinds.

        Raises :class:`OutOfMemoryFailure`.
        """
        with _memory_failing(), torch.inference_mode():
            picture = torch.from_numpy(np.asarray(rgb, np.float32)).permute(2, 0, 1)[None]
            crops, views = self.network.look(picture)
            told = self.network(crops.to(self.device), views.to(self.device))[0].tolist()
        return dict(zip(self.network.config.kinds, told, strict=True))


@contextmanager
def _memory_failing() -> Iterator[None]:
    """Where memory runs out in the block, that is a failure of this photo."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryFailure("not enough memory to look at this photo") from error


def _middle(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most :data:`MEASURED` pixels a side, beginning where a block of 8 does."""
    top, left = (max(0, side - MEASURED) // 2 // SIDE * SIDE for side in rgb.shape[:2])
    return rgb[top : top + MEASURED, left : left + MEASURED]
