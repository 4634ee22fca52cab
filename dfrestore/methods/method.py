"""What a method is: how its network is built, and the stages that it is trained in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from dfrestore.weights.spec import ModelSpec

# ``call(*pictures)`` evaluates the network in the form that training takes: differentiable, in its precision.
Call = Callable[..., Tensor]


@dataclass(frozen=True)
class Batch:
    """One part of an iteration's batch.

    clean, degraded: (b, 3, P, P) float32 in [0, 1] on the training device, this part's samples. part: which samples
    of the whole batch they are; size: how many that has.
    """

    clean: Tensor
    degraded: Tensor
    part: slice
    size: int


class Stage(Protocol):
    """A stage of a method's training: a frozen dataclass whose fields are its own settings in ``[stages.NAME]``.

    Impossible settings raise ValueError. Everything random comes from ``draw``, so a resumed run goes on bit for bit.
    """

    name: ClassVar[str]

    def resolved(self, default_steps: int) -> Self:
        """The same with what its settings leave open taken from the model."""

    def trains(self, network: Any) -> list[nn.Parameter]:
        """The parameters that it optimises, in the network's order. Raises ValueError for a network it cannot train."""

    def extras(self, network: Any) -> dict[str, nn.Module]:
        """Modules beside the network (teachers, discriminators): saved for resuming, not averaged, not in the model."""

    def losses(self, network: Any, call: Call, batch: Batch, draw: torch.Generator) -> dict[str, Tensor]:
        """Means over this part; ``loss`` is optimised, the rest is logged.

        draw: a generator on the CPU, in the same state for each part of a batch. A stage draws for the whole batch
        (``batch.size`` samples) and takes ``batch.part`` of it, so that the parts together are the batch.
        """

    def step_counts(self) -> tuple[int, ...]:
        """The sampler's step counts that validation should look at; () where there are none."""

    def variants(self) -> list[tuple[Self, int]]:
        """This stage held to each kind of step that it draws, and how often it draws it: for measuring time."""


@dataclass(frozen=True)
class Method:
    """One paper. build: an untrained network of a spec, ValueError for impossible settings. stages: in their order."""

    name: str
    build: Callable[[ModelSpec], Any]
    stages: tuple[type[Stage], ...]


__all__ = ["Batch", "Call", "Method", "Stage"]
