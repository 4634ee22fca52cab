"""C2F-DFT (Wang et al., CVIU 248, 2024): configuration, network, stages, conversion of its authors' files.

Schedules, samplers and losses are not here: they are pure functions that other methods take too.
"""

from dfrestore.methods.c2f_dft.config import C2FDFTConfig, Sampling
from dfrestore.methods.c2f_dft.network import C2FDFT
from dfrestore.methods.c2f_dft.stages import STAGES
from dfrestore.methods.method import Method
from dfrestore.weights.spec import ModelSpec


def _build(spec: ModelSpec) -> C2FDFT:
    config, sampling = C2FDFTConfig.from_mapping(spec.network), Sampling.from_mapping(spec.sampling)
    network = C2FDFT(config, skip="x_t" if sampling.prediction == "epsilon" else "y")
    network.sampling = sampling
    return network


METHOD = Method("c2f-dft", _build, STAGES)

__all__ = ["C2FDFT", "METHOD", "C2FDFTConfig", "Sampling"]
