"""What a method is, and how a checkpoint becomes a network that can be called; each paper has a folder of its own.

A method owns its network, its sampler, its training stages and the reading of its authors' files. How an evaluation
goes over a whole picture is up to the engine.
"""

from dfrestore.methods.build import (
    METHODS,
    build_for_training,
    build_network,
    empty_network,
    load_network,
    outline,
    stored_names,
)
from dfrestore.methods.method import Method, Network

__all__ = [
    "METHODS",
    "Method",
    "Network",
    "build_for_training",
    "build_network",
    "empty_network",
    "load_network",
    "outline",
    "stored_names",
]
