"""DTPM (Learning Diffusion Texture Priors for Image Restoration, CVPR 2024): configuration, network and stages.

One diffusion model of texture, trained once; small adapters and a predictor make it restore. There is no public code of
it: what the paper leaves open is our choice, marked so in the configuration and in cards.
"""

from __future__ import annotations

from dfrestore.methods.differences import Shapes
from dfrestore.methods.dtpm.config import DTPMConfig, DTPMSampling
from dfrestore.methods.dtpm.network import DTPM
from dfrestore.methods.dtpm.stages import STAGES, Adapt
from dfrestore.methods.method import Method, Recognised
from dfrestore.weights.spec import ModelSpec


def _build(spec: ModelSpec) -> DTPM:
    return DTPM(DTPMConfig.from_mapping(spec.network), DTPMSampling.from_mapping(spec.sampling), spec.default_steps)


def _read(shapes: Shapes, name: str) -> Recognised | None:
    """There are no files of the authors'."""
    return None


METHOD = Method("dtpm", _build, read=_read, stages=STAGES, finetunes=Adapt.name)

__all__ = ["DTPM", "METHOD", "DTPMConfig", "DTPMSampling"]
