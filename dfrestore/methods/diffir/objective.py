"""What DiffIR's G is trained for: the distance to the ground truth, a discriminator, perceptual distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dfrestore.losses import PSNR_LEVEL, PictureLoss, l1, picture_loss
from dfrestore.methods.diffir import adversarial as gan
from dfrestore.methods.diffir.critics import PatchDiscriminator, UNetDiscriminator, frozen
from dfrestore.methods.diffir.perceptual import (
    high_receptive_field_loss,
    load_resnet50_dilated,
    load_vgg19,
    perceptual_loss,
)
from dfrestore.methods.known_weights import local_file
from dfrestore.methods.method import MADE, Batch, Extras, Stage

Region = Literal["auto", "whole", "known", "hole"]
_OF_PIXELS = ("l1", "psnr")  # losses that are means over pixels
CRITIC, VGG, RESNET = "critic", "vgg", "resnet"  # names of the extras


@dataclass(frozen=True)
class CriticConfig:
    """The discriminator and its losses. kind: ``unet`` (of super-resolution: spectral norm, vanilla loss), ``patch``
    (of inpainting: LaMa's, non-saturating with R1), or ``none``.

    weight, matching: of the generator's loss, and of the distance between activations (``patch`` alone). features:
    channels of the first layer. lr: rate of the discriminator; rate: it falls as the stage's does (``stage``), or stays
    (``constant``).
    """

    kind: Literal["none", "unet", "patch"] = "none"
    weight: float = 1.0
    matching: float = 0.0
    features: int = 64
    lr: float = 1e-4
    rate: Literal["stage", "constant"] = "stage"

    def __post_init__(self) -> None:
        if self.matching and self.kind != "patch":
            raise ValueError("critic.matching compares the activations of the critic 'patch' alone")
        if min(self.weight, self.matching, self.lr) < 0 or self.features < 1:
            raise ValueError("critic: weight, matching and lr are not negative, and features is at least 1")


@dataclass(frozen=True)
class PerceptualConfig:
    """Files of networks whose features are compared, torchvision's VGG-19 and ADE20K's dilated ResNet-50: paths or
    ``hf://`` addresses, empty for none; and the weights of these losses.
    """

    vgg: str = ""
    vgg_weight: float = 1.0
    resnet: str = ""
    resnet_weight: float = 30.0


@dataclass(frozen=True)
class Objective(Stage):
    """What the stages that train G share.

    loss: ``l1`` (the paper's, of pictures in [0, 1]), or another of :func:`dfrestore.losses.picture_loss`; psnr_level:
    dB at which the loss ``psnr`` levels off. region: where pictures with a mask are compared: ``known`` is LaMa's L1,
    10 times, outside of the holes; ``hole`` compares inside alone; ``auto`` is ``hole`` for losses that can be.
    critic, perceptual: further losses.
    """

    loss: PictureLoss = "l1"
    psnr_level: float = PSNR_LEVEL
    region: Region = "auto"
    critic: CriticConfig = field(default_factory=CriticConfig)
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)

    def __post_init__(self) -> None:
        if self.region == "known" and self.loss != "l1":
            raise ValueError(f"region 'known' goes with the loss 'l1', not '{self.loss}'")
        if self.region == "hole" and self.loss not in _OF_PIXELS:
            raise ValueError(f"region 'hole' goes with the losses 'l1' and 'psnr', not '{self.loss}'")

    def remarks(self) -> tuple[str, ...]:
        if self.critic.kind == "none" or self.perceptual.vgg or self.perceptual.resnet:
            return ()
        return (
            f"no perceptual loss in the stage {self.name}: neither perceptual.vgg nor perceptual.resnet names a file",
        )

    def extras(self, network: Any) -> dict[str, nn.Module]:
        made: dict[str, nn.Module] = {}
        if self.critic.kind != "none":
            build = UNetDiscriminator if self.critic.kind == "unet" else PatchDiscriminator
            made[CRITIC] = build(self.critic.features)
        if self.perceptual.vgg:
            made[VGG] = load_vgg19(local_file(self.perceptual.vgg))
        if self.perceptual.resnet:
            made[RESNET] = load_resnet50_dilated(local_file(self.perceptual.resnet))
        return made

    def critic_parameters(self, extras: Extras) -> list[nn.Parameter]:
        return list(extras[CRITIC].parameters()) if CRITIC in extras else []

    def critic_rate(self, share: float) -> float:
        return self.critic.lr * (share if self.critic.rate == "stage" else 1.0)

    @property
    def by_psnr(self) -> bool:
        """A discriminator costs dB."""
        return self.critic.kind == "none"

    def total(self, picture: Tensor, batch: Batch, extras: Extras, **others: Tensor) -> dict[str, Tensor]:
        """All losses of a picture (b, 3, P, P) that G made of the batch; ``others`` are added to them."""
        picture = picture.float()
        parts = {"reconstruction": self.distance(picture, batch), **others, **self._of_extras(picture, batch, extras)}
        loss = torch.stack(list(parts.values())).sum()
        made = {MADE: picture.detach()} if CRITIC in extras else {}
        return {"loss": loss, **(parts if len(parts) > 1 else {}), **made}

    def distance(self, picture: Tensor, batch: Batch) -> Tensor:
        """The distance to the ground truth."""
        picture, clean, mask = picture.float(), batch.clean, batch.degraded[:, 3:]
        if self.region == "known":
            return gan.masked_l1(picture, clean, mask)
        in_hole = self.region == "hole" or (self.region == "auto" and self.loss in _OF_PIXELS)
        inside = mask if in_hole and mask.shape[1] else None
        if self.loss == "l1":
            return l1(picture, clean, inside)
        return picture_loss(self.loss, picture * 2 - 1, clean * 2 - 1, psnr_level=self.psnr_level, weight=inside)

    def _of_extras(self, picture: Tensor, batch: Batch, extras: Extras) -> Mapping[str, Tensor]:
        parts: dict[str, Tensor] = {}
        if CRITIC in extras:
            with frozen(extras[CRITIC]):
                judged = extras[CRITIC](picture)
                if self.critic.kind == "unet":
                    parts["adversarial"] = self.critic.weight * gan.vanilla_generator_loss(judged)
                else:
                    logits, activations = judged
                    parts["adversarial"] = self.critic.weight * gan.non_saturating_generator_loss(logits)
                    if self.critic.matching:
                        with torch.no_grad():
                            _, real = extras[CRITIC](batch.clean)
                        matching = gan.feature_matching_loss(activations, real)
                        parts["matching"] = self.critic.matching * matching
        if VGG in extras:
            parts["perceptual"] = self.perceptual.vgg_weight * perceptual_loss(extras[VGG], picture, batch.clean)  # type: ignore[arg-type]
        if RESNET in extras:
            distance = high_receptive_field_loss(extras[RESNET], picture, batch.clean)  # type: ignore[arg-type]
            parts["perceptual_wide"] = self.perceptual.resnet_weight * distance
        return parts

    def critic_loss(self, batch: Batch, made: Tensor, extras: Extras) -> Tensor:
        critic = extras[CRITIC]
        if self.critic.kind == "unet":
            return gan.vanilla_discriminator_loss(critic(batch.clean), critic(made))
        real = batch.clean.clone().requires_grad_()
        mask = batch.degraded[:, 3:] if batch.degraded.shape[1] > 3 else torch.ones_like(made[:, :1])
        logits, (of_made, _) = critic(real)[0], critic(made)
        loss = gan.non_saturating_discriminator_loss(logits, of_made, mask)
        return loss + gan.R1_WEIGHT * gan.r1_penalty(logits, real)
