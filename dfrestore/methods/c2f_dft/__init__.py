"""C2F-DFT (Wang et al., CVIU 248, 2024): configuration, network, and the conversion of the authors' files.

Sampling, schedules and losses are not here: they are the same for every method that predicts noise or image.
"""

from dfrestore.methods.c2f_dft.config import C2FDFTConfig, Sampling
from dfrestore.methods.c2f_dft.network import C2FDFT

__all__ = ["C2FDFT", "C2FDFTConfig", "Sampling"]
