"""How much work a network is: the values that its strips go through for one pixel of the picture."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch

from dfrestore.methods import Network
from dfrestore.methods.method import restored_at_once
from dfrestore.nn import Strips

_KNOWN: WeakKeyDictionary[Network, float] = WeakKeyDictionary()


@torch.inference_mode()
def values_a_pixel(network: Network) -> float:
    """Values of the widest maps that an evaluation of weight 1 walks through, per input pixel.

    It does not depend on the picture, so it is counted once, on the smallest possible one.
    """
    if network not in _KNOWN:
        side, values = network.multiple, [0]

        def count(more: int) -> None:
            values[0] += more

        steps = network.steps[0]
        planes = torch.full((4 if network.mask else 3, side, side), 0.5, device=next(network.parameters()).device)
        restored_at_once(network, planes, steps, how=Strips(tick=count))
        _KNOWN[network] = values[0] / side**2 / sum(network.parts(steps))
    return _KNOWN[network]
