"""Detectors for tests that tell what a script says, whatever the picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dfrestore.engine import choose_device
from dfrestore.methods.detector import Detector, DetectorConfig
from dfrestore.restore import Detection
from dfrestore.severities import DAMAGES
from dfrestore.weights import ModelSpec, save_checkpoint

Told = dict[str, float]
CONFIG = DetectorConfig(widths=(8, 8), blocks=(0, 1), hidden=8, crop=32, crops=4, view=32)
RAIN_FALLS: tuple[Told, ...] = ({"rain": 0.8}, {"rain": 0.1})


def save_detector(path: Path, **told: float) -> Path:
    """The file of a detector that tells the same of every picture: logits by kind, the others -5."""
    network = Detector(CONFIG)
    with torch.no_grad():
        network.severities.weight.zero_()
        network.severities.bias.copy_(torch.tensor([told.get(name, -5.0) for name in DAMAGES]))
    save_checkpoint(path, network.state_dict(), ModelSpec("detect", "detector", CONFIG.to_mapping(), default_steps=1))
    return path


class Script:
    """severities(picture): each call gives the next of ``told``, the last one again and again. Kinds left out are 0."""

    def __init__(self, told: Sequence[Told]) -> None:
        self.told = list(told)
        self.pictures: list[Any] = []

    def severities(self, rgb: Any) -> Told:
        self.pictures.append(rgb)
        told = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        return {name: told.get(name, 0.0) for name in DAMAGES}


def scripted(*told: Told) -> Detection:
    """A detection that tells what the script says."""
    detection = Detection(Detector(CONFIG), "scripted", choose_device("cpu").torch_device)
    detection.severities = Script(told).severities  # type: ignore[method-assign]
    return detection
