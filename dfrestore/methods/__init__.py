"""One folder a paper; here, how a checkpoint becomes a network that can be called.

``network(y, x_t, t)`` is the same for every method; sampling and whole-image execution are not here.
"""

from dfrestore.methods.build import METHODS, Network, build_network, empty_network, load_network

__all__ = ["METHODS", "Network", "build_network", "empty_network", "load_network"]
