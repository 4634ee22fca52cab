"""The stages of DiffIR's training: S1 with the ground truth, then the diffusion alone, then all together.

In S1 a prior vector is taken from the ground truth, and G learns to use it. Stage 2 learns to guess that vector from
the degraded picture: ``warm`` by itself, ``joint`` together with G. (Paper, sections 3.2 and 3.3.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dfrestore.losses import PSNR_LEVEL, PictureLoss, l1, picture_loss
from dfrestore.methods.diffir.network import DiffIRTraining
from dfrestore.methods.diffir.read import STAGE_1
from dfrestore.methods.method import Batch, Call, Extras, Pair, Stage
from dfrestore.nn import How

Region = Literal["auto", "whole", "known", "hole"]
KNOWN_WEIGHT = 10.0  # LaMa's, of the known region
_OF_PIXELS = ("l1", "psnr")  # losses that are means over pixels


@dataclass(frozen=True)
class Reconstruction(Stage):
    """What S1 and ``joint`` share: the loss between the network's picture and the ground truth.

    loss: ``l1`` (the paper's, of pictures in [0, 1]), or another of :func:`dfrestore.losses.picture_loss`; psnr_level:
    dB at which the loss ``psnr`` levels off. region: where pictures with a mask are compared: ``known`` is LaMa's L1,
    10 times, outside of the holes; ``hole`` compares inside alone; ``auto`` is ``hole`` for losses that can be.
    """

    loss: PictureLoss = "l1"
    psnr_level: float = PSNR_LEVEL
    region: Region = "auto"

    def __post_init__(self) -> None:
        if self.region == "known" and self.loss != "l1":
            raise ValueError(f"region 'known' goes with the loss 'l1', not '{self.loss}'")
        if self.region == "hole" and self.loss not in _OF_PIXELS:
            raise ValueError(f"region 'hole' goes with the losses 'l1' and 'psnr', not '{self.loss}'")

    def distance(self, picture: Tensor, batch: Batch) -> Tensor:
        """The loss of a picture (b, 3, P, P) that the network made of the batch."""
        picture, clean, mask = picture.float(), batch.clean, batch.degraded[:, 3:]
        if self.region == "known":
            return KNOWN_WEIGHT * l1(picture * (1 - mask), clean * (1 - mask))
        in_hole = self.region == "hole" or (self.region == "auto" and self.loss in _OF_PIXELS)
        inside = mask if in_hole and mask.shape[1] else None
        if self.loss == "l1":
            return l1(picture, clean, inside)
        return picture_loss(self.loss, picture * 2 - 1, clean * 2 - 1, psnr_level=self.psnr_level, weight=inside)


@dataclass(frozen=True)
class S1(Reconstruction):
    """G together with the CPEN that sees the ground truth."""

    name: ClassVar[str] = "s1"
    made: ClassVar[str] = STAGE_1

    def trains(self, network: DiffIRTraining) -> list[nn.Parameter]:
        return _parameters(network.G, network.E)

    def losses(
        self, network: DiffIRTraining, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        picture, _, _ = call(batch.degraded, batch.clean)
        return {"loss": self.distance(picture, batch)}

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
class Joint(Reconstruction):
    """G, the CPEN of stage 2 and the denoiser together; S1's CPEN stays as it is.

    prior_weight: of the L1 distance of the prior vectors (paper: 1). At 0, S1's CPEN is not needed, and the diffusion
    starts from noise alone, as in restoring: so a finished model is trained on.
    """

    name: ClassVar[str] = "joint"
    averages_of: ClassVar[tuple[str, ...]] = (S1.name,)

    prior_weight: float = 0.0

    def trains(self, network: DiffIRTraining) -> list[nn.Parameter]:
        return _parameters(network.G, network.condition, network.denoise)

    def needs(self) -> tuple[str, ...]:
        return ("E.",) if self.prior_weight else ()

    def losses(
        self, network: DiffIRTraining, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        noise = _noise(network, batch, draw)
        picture, guessed, prior = call(batch.degraded, batch.clean if self.prior_weight else None, noise)
        reconstruction = self.distance(picture, batch)
        if not self.prior_weight:
            return {"loss": reconstruction}
        apart = l1(guessed, prior)
        return {"loss": reconstruction + self.prior_weight * apart, "reconstruction": reconstruction, "prior": apart}


STAGES = (S1, Warm, Joint)


def _noise(network: DiffIRTraining, batch: Batch, draw: torch.Generator) -> Tensor:
    """(b, code), drawn for the whole batch."""
    noise = torch.randn((batch.size, network.config.code), generator=draw)
    return noise[batch.part].to(batch.clean.device)


def _parameters(*modules: nn.Module) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]
