"""The detector: a small network, ours, that tells how severe each kind of damage of a photo is. It restores nothing.

It is a method like the papers', although :meth:`Network.restore` is not for it: as one it has presets, run folders,
exact resuming, averages, ``--minutes``, headers and checks of its files without a line of its own. What it lacks is
said in two places that any method can use: its stage judges itself (:attr:`Stage.restores`), and its task draws its
own damage from clean photos (:attr:`dfrestore.tasks.Task.draws`), for the severities come with the drawing.
"""

from __future__ import annotations

from dfrestore.methods.detector.config import DetectorConfig
from dfrestore.methods.detector.looks import look
from dfrestore.methods.detector.network import Detector
from dfrestore.methods.detector.stages import Detect
from dfrestore.methods.differences import Shapes
from dfrestore.methods.method import Method, Recognised
from dfrestore.weights.spec import ModelSpec


def _build(spec: ModelSpec) -> Detector:
    return Detector(DetectorConfig.from_mapping(spec.network))


def _read(shapes: Shapes, name: str) -> Recognised | None:
    """There are no files of others."""
    return None


METHOD = Method("detector", _build, read=_read, stages=(Detect,), finetunes=Detect.name)

__all__ = ["METHOD", "Detect", "Detector", "DetectorConfig", "look"]
