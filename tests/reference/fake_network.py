"""A network without parameters worth the name, for tests of what goes on around one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dfrestore.methods.method import Estimate, Footprint, Given, Network, Run


class FakeNetwork(Network):
    """It returns its picture, enlarged pixel by pixel where ``scale`` says so; a test overrides :meth:`evaluate`."""

    multiple = 8
    default_steps = 1
    footprint = Footprint(kept=32, widest=64)

    def __init__(self, *, scale: int = 1, mask: bool = False, steps: Sequence[int] = range(1, 1001)) -> None:
        super().__init__()
        self.scale, self.mask, self.steps = scale, mask, steps
        self.unused = nn.Parameter(torch.zeros(1))

    def parts(self, steps: int) -> list[float]:
        return [1.0] * steps

    def restore(self, given: Given, run: Run, steps: int) -> Iterator[Estimate | None]:
        for _ in range(steps):
            yield Estimate((yield from run(self.evaluate, given.planes, scale=self.scale)))

    def evaluate(self, how: Any, planes: Tensor) -> Tensor:
        return planes[:, :3].repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
