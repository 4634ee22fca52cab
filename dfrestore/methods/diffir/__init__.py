"""DiffIR (Xia et al., ICCV 2023): configuration, network, stages, and the reading of the authors' files.

A prior vector, guessed by a tiny diffusion, guides one evaluation of a Transformer.
"""

from __future__ import annotations

from dfrestore.methods.diffir.config import OFFICIAL, DiffIRConfig, IPRSampling
from dfrestore.methods.diffir.network import DiffIR, DiffIRS1, DiffIRTraining
from dfrestore.methods.diffir.read import STAGE_1, read
from dfrestore.methods.diffir.stages import STAGES, Joint
from dfrestore.methods.method import Method, Network
from dfrestore.weights.spec import ModelSpec


def _build(spec: ModelSpec) -> Network:
    config, sampling = DiffIRConfig.from_mapping(spec.network), _sampling(spec)
    if spec.stage not in ("", STAGE_1):
        raise ValueError(f"stage {spec.stage!r} is not '{STAGE_1}'")
    return DiffIRS1(config, sampling) if spec.stage else DiffIR(config, sampling)


def _build_for_training(spec: ModelSpec) -> Network:
    return DiffIRTraining(DiffIRConfig.from_mapping(spec.network), _sampling(spec))


def _sampling(spec: ModelSpec) -> IPRSampling:
    sampling = IPRSampling.from_mapping(spec.sampling)
    if spec.default_steps != sampling.timesteps:
        raise ValueError(f"default_steps {spec.default_steps} is not the {sampling.timesteps} of its sampling")
    return sampling


METHOD = Method(
    "diffir", _build, read=read, stages=STAGES, finetunes=Joint.name, build_for_training=_build_for_training
)

__all__ = ["METHOD", "OFFICIAL", "DiffIR", "DiffIRConfig", "DiffIRS1", "IPRSampling"]
