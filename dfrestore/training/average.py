"""The averaged network (EMA): what is validated and saved."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from dfrestore.methods import Network


class Average:
    """A copy of a network whose trained parameters are averages over the steps, and whose buffers follow.

    Parameters that no stage trains are not copied: both networks share them.
    """

    def __init__(self, network: Network, trained: Iterable[nn.Parameter]) -> None:
        ids = {id(p) for p in trained}
        shared = {id(p): p for p in network.parameters() if id(p) not in ids}
        self._source = network
        self.network: Network = copy.deepcopy(network, shared).requires_grad_(False)
        averages = dict(self.network.named_parameters())
        pairs = [(name, averages[name], p) for name, p in network.named_parameters() if id(p) in ids]
        self._averages = {name: average for name, average, _ in pairs}
        self._parameters = [parameter for *_, parameter in pairs]

    def update(self, decay: float) -> None:
        """After a step: ``decay`` times the averages, and the rest of the new parameters."""
        with torch.no_grad():
            _lerp(list(self._averages.values()), self._parameters, 1 - decay)
            for buffer, new in zip(self.network.buffers(), self._source.buffers(), strict=True):
                buffer.copy_(new)

    def start_over(self) -> None:
        """The averages become the network's parameters."""
        self.network.load_state_dict(self._source.state_dict())

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the names of their parameters."""
        return dict(self._averages)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Averages as :meth:`state_dict` gives them, once the network has its own state.

        Earlier versions saved all of the network; what is no average is passed over. One that is not there, as no
        stage trained it then, begins at the network's value.
        """
        self.start_over()
        with torch.no_grad():
            for name, average in self._averages.items():
                if name in state:
                    average.copy_(state[name])


def _lerp(averages: Sequence[Tensor], new: Sequence[Tensor], weight: float) -> None:
    if not averages:
        return
    together = getattr(torch, "_foreach_lerp_", None)  # a private name of torch: where it is gone, one by one
    if together is not None:
        together(list(averages), list(new), weight)
        return
    for average, parameter in zip(averages, new, strict=True):
        average.lerp_(parameter, weight)
