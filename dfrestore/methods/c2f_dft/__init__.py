"""C2F-DFT (Wang et al., CVIU 248, 2024): configuration, network, stages, reading of its authors' files."""

from __future__ import annotations

from dfrestore.methods.c2f_dft.config import C2FDFTConfig, Sampling
from dfrestore.methods.c2f_dft.network import C2FDFT
from dfrestore.methods.c2f_dft.read import read
from dfrestore.methods.c2f_dft.stages import STAGES
from dfrestore.methods.method import Method
from dfrestore.weights.spec import ModelSpec


def _build(spec: ModelSpec) -> C2FDFT:
    config, sampling = C2FDFTConfig.from_mapping(spec.network), Sampling.from_mapping(spec.sampling)
    return C2FDFT(config, sampling, spec.default_steps)


METHOD = Method("c2f-dft", _build, read=read, stages=STAGES, finetunes=STAGES[-1].name)

__all__ = ["C2FDFT", "METHOD", "C2FDFTConfig", "Sampling"]
