"""One folder a paper; here, what a method is and how a checkpoint becomes a network that can be called.

A method owns its network, its sampler, its training stages and the reading of its authors' files; how an evaluation
goes over a whole picture is the engine's.
"""

from dfrestore.methods.build import METHODS, build_network, empty_network, load_network
from dfrestore.methods.method import Method, Network

__all__ = ["METHODS", "Method", "Network", "build_network", "empty_network", "load_network"]
