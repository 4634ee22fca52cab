"""The stages of DiffIR's training: S1 with the ground truth, the diffusion alone, all together, and a GAN phase.

In S1 a prior vector is taken from the ground truth, and G learns to use it. Stage 2 learns to guess that vector from
the degraded picture: ``warm`` by itself, ``joint`` together with G. (Paper, sections 3.2 and 3.3.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dfrestore.losses import l1
from dfrestore.methods.diffir.network import DiffIRTraining
from dfrestore.methods.diffir.objective import CriticConfig, Objective
from dfrestore.methods.diffir.read import STAGE_1
from dfrestore.methods.method import Batch, Call, Extras, Pair, Stage
from dfrestore.nn import How


@dataclass(frozen=True)
class S1(Objective):
    """G together with the CPEN that sees the ground truth."""

    name: ClassVar[str] = "s1"
    made: ClassVar[str] = STAGE_1

    def trains(self, network: DiffIRTraining) -> list[nn.Parameter]:
        return _parameters(network.G, network.E)

    def losses(
        self, network: DiffIRTraining, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        picture, _, _ = call(batch.degraded, batch.clean)
        return self.total(picture, batch, extras)

    def restored(self, network: DiffIRTraining, pair: Pair, steps: int, seed: int, how: How) -> Tensor:
        picture, _, _ = network.evaluated(how, pair.degraded[None], pair.clean[None])
        assert picture is not None
        return picture[0]


@dataclass(frozen=True)
class Warm(Stage):
    """The CPEN that sees the degraded picture, and the denoiser, by the L1 distance of their prior vector to S1's."""

    name: ClassVar[str] = "warm"
    averages_of: ClassVar[tuple[str, ...]] = (S1.name,)

    def trains(self, network: DiffIRTraining) -> list[nn.Parameter]:
        return _parameters(network.condition, network.denoise)

    def needs(self) -> tuple[str, ...]:
        return ("G.", "E.")

    def losses(
        self, network: DiffIRTraining, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        _, guessed, prior = call(batch.degraded, batch.clean, _noise(network, batch, draw), picture=False)
        return {"loss": l1(guessed, prior)}


@dataclass(frozen=True)
class Joint(Objective):
    """G, the CPEN of stage 2 and the denoiser together; S1's CPEN stays as it is.

    prior_weight: of the L1 distance of the prior vectors (paper: 1). At 0, S1's CPEN is not needed, and the diffusion
    starts from noise alone, as in restoring: so a finished model is trained on. unroll: ``all`` steps of the diffusion
    have a gradient (the paper's); ``one`` is drawn at random and trained alone, as other diffusion models are.
    """

    name: ClassVar[str] = "joint"
    averages_of: ClassVar[tuple[str, ...]] = (S1.name,)

    prior_weight: float = 0.0
    unroll: Literal["all", "one"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unroll == "one" and not self.prior_weight:
            raise ValueError("unroll 'one' starts from the ground truth's prior, so it needs a prior_weight")

    def needs(self) -> tuple[str, ...]:
        return ("E.",) if self.prior_weight else ()

    def trains(self, network: DiffIRTraining) -> list[nn.Parameter]:
        if self.unroll == "one" and not network.sampling.diffusion:
            raise ValueError("unroll 'one' trains a step of the diffusion, and this model has none")
        return _parameters(network.G, network.condition, network.denoise)

    def losses(
        self, network: DiffIRTraining, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        noise = _noise(network, batch, draw)
        truth, total = batch.clean if self.prior_weight else None, network.sampling.timesteps
        step = int(torch.randint(total, (1,), generator=draw)) if self.unroll == "one" else None
        picture, guessed, prior = call(batch.degraded, truth, noise, step=step)
        others = {"prior": self.prior_weight * l1(guessed, prior)} if self.prior_weight else {}
        return self.total(picture, batch, extras, **others)


@dataclass(frozen=True)
class GAN(Joint):
    """:class:`Joint` once more, against a discriminator; it starts from the averages of what came before."""

    name: ClassVar[str] = "gan"
    averages_of: ClassVar[tuple[str, ...]] = (S1.name, Joint.name)

    critic: CriticConfig = field(default_factory=lambda: CriticConfig("unet"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.critic.kind == "none":
            raise ValueError("this stage is nothing without a discriminator: critic.kind is 'unet' or 'patch'")


STAGES = (S1, Warm, Joint, GAN)


def _noise(network: DiffIRTraining, batch: Batch, draw: torch.Generator) -> Tensor:
    """(b, code), drawn for the whole batch."""
    noise = torch.randn((batch.size, network.config.code), generator=draw)
    return noise[batch.part].to(batch.clean.device)


def _parameters(*modules: nn.Module) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]
