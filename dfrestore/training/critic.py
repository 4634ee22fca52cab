"""The discriminator of a stage: what it is shown, and its optimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dfrestore.methods.method import Batch, Extras, Stage
from dfrestore.training.distributed import World


class Critic:
    """Trained after the network in each iteration, on the pictures that the iteration's losses made."""

    def __init__(
        self, stage: Stage, extras: Extras, parameters: Sequence[nn.Parameter], betas: tuple[float, float], decay: float
    ) -> None:
        self._stage, self._extras, self._parameters = stage, extras, list(parameters)
        self._made: list[tuple[Batch, Tensor]] = []
        self.loss = math.nan  # of the last step, this process's part
        self.optimizer = torch.optim.AdamW(self._parameters, lr=0.0, betas=betas, weight_decay=decay)

    @classmethod
    def of(cls, stage: Stage, extras: Extras, betas: tuple[float, float], decay: float) -> Critic | None:
        """None for a stage that has none."""
        parameters = stage.critic_parameters(extras)
        return cls(stage, extras, parameters, betas, decay) if parameters else None

    def forget(self) -> None:
        """Begin a new iteration."""
        self._made = []

    def show(self, batch: Batch, made: Tensor) -> None:
        """What the network has made of a part of the batch."""
        self._made.append((batch, made))

    def step(self, share: float, clip: float, world: World) -> None:
        """share: of the stage's base rate. clip: largest gradient norm, 0: none. What is not finite changes nothing."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss = 0.0
        for batch, made in self._made:
            loss = self._stage.critic_loss(batch, made, self._extras) * (len(batch.clean) / batch.size)
            loss.backward()  # type: ignore[no-untyped-call]
            self.loss += loss.item()
        self.forget()
        world.sum_gradients(self._parameters)
        norm = nn.utils.clip_grad_norm_(self._parameters, clip or math.inf)
        if not math.isfinite(norm.item()):
            return
        for group in self.optimizer.param_groups:
            group["lr"] = self._stage.critic_rate(share)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's; the discriminator itself is among the extras."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)
