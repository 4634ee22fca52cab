"""The discriminator of a stage: what it is shown, and its optimiser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dfrestore.errors import StartError
from dfrestore.methods.differences import compare_tensors
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


def load_extras(state: Mapping[str, Any], extras: Extras, critic: Critic | None) -> None:
    """The extras and the discriminator's optimiser as a trainer's state holds them.

    Raises :class:`StartError` for another discriminator; an extra that is not trained may be new, or not be there.
    """
    saved = {name: tensors for name, tensors in state.get("extras", {}).items() if name in extras}
    fits = all(not compare_tensors(tensors, extras[name].state_dict()) for name, tensors in saved.items())
    if ("critic" in state) != (critic is not None) or not fits:
        raise StartError("its discriminator is another one; a stage keeps critic.kind and critic.features to its end")
    for name, tensors in saved.items():
        extras[name].load_state_dict(tensors)
    if critic is not None:
        critic.load_state_dict(state["critic"])
