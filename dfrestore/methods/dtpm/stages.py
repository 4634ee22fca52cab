"""The stages of DTPM's training: the texture prior on clean photos, and a task's adapters and predictor on top of it.

Both learn a residual: stage I that of a photo and its smoothed form, stage II that of a photo and the predictor's
guess. (Paper, Eqs. 4 and 6.) Few-step training, ``objective = "result"``, is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dfrestore.diffusion import steps_of
from dfrestore.diffusion.samplers import ddim_step
from dfrestore.losses import PSNR_LEVEL, PictureLoss, l1, picture_loss
from dfrestore.methods.dtpm.config import CLIP
from dfrestore.methods.dtpm.network import DTPM, OF_SQRT_GAMMA
from dfrestore.methods.dtpm.semantic import load_resnet18
from dfrestore.methods.known_weights import local_file
from dfrestore.methods.method import Batch, Call, Extras, Stage

Objective = Literal["noise", "result"]
Trained = Literal["adapters", "encoder", "decoder", "both", "all"]


@dataclass(frozen=True)
class Texture(Stage):
    """What both stages have in common.

    objective: ``noise``, the network's prediction at every noise level (the paper's), or ``result``, a step of the
    sampler whose clean estimate is compared (ours). norm: of the first, ``l1`` or ``l2``. steps: of the second, step
    counts, drawn at random; empty: the model's default. loss, psnr_level: of pictures, see
    :func:`dfrestore.losses.picture_loss`.
    """

    objective: Objective = "noise"
    norm: Literal["l1", "l2"] = "l1"
    steps: tuple[int, ...] = ()
    loss: PictureLoss = "l1"
    psnr_level: float = PSNR_LEVEL

    def __post_init__(self) -> None:
        if any(count < 1 for count in self.steps):
            raise ValueError(f"steps {list(self.steps)} must be positive")

    def resolved(self, default_steps: int) -> Texture:
        return self if self.steps else replace(self, steps=(default_steps,))

    def step_counts(self) -> tuple[int, ...]:
        return self.steps if self.objective == "result" else ()

    def losses(
        self, network: DTPM, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        y, clean = batch.degraded * 2 - 1, batch.clean * 2 - 1
        noise = torch.randn((batch.size, *batch.clean.shape[1:]), generator=draw)[batch.part].to(clean.device)
        if self.objective == "noise":
            loss, y_eps = self._of_noise(network, call, y, clean, noise, batch, draw)
        else:
            loss, y_eps = self._of_result(network, call, y, clean, noise, draw)
        return self.total(loss, y_eps, clean)

    def total(self, loss: Tensor, y_eps: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """All losses, of the denoiser's and the predictor's guess."""
        return {"loss": loss}

    def picture(self, restored: Tensor, clean: Tensor) -> Tensor:
        """The distance of two pictures (b, 3, P, P) in [-1, 1]."""
        return picture_loss(self.loss, restored, clean, psnr_level=self.psnr_level)

    def _of_noise(
        self, network: DTPM, call: Call, y: Tensor, clean: Tensor, noise: Tensor, batch: Batch, draw: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        sampling = network.sampling
        t = torch.randint(sampling.train_timesteps, (batch.size,), generator=draw)[batch.part]
        gamma, told = network.alpha_bars(t.device)[t], t.float()
        if sampling.gamma == "continuous":  # between this step's and the one before it
            before = torch.cat([gamma.new_ones(1), network.alpha_bars(t.device)])[t]
            gamma = gamma + torch.rand(batch.size, generator=draw)[batch.part] * (before - gamma)
            told = OF_SQRT_GAMMA * gamma.sqrt()
        gamma = gamma[:, None, None, None].to(y.device)
        output, y_eps = call(y, noise, told.to(y.device), gamma, clean)
        wanted = noise if sampling.prediction == "epsilon" else sampling.residual_scale * (clean - y_eps)
        difference = output.float() - wanted
        return difference.abs().mean() if self.norm == "l1" else difference.square().mean(), y_eps

    def _of_result(
        self, network: DTPM, call: Call, y: Tensor, clean: Tensor, x: Tensor, draw: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The clean estimate of one evaluation, drawn at random among those of a step count; earlier ones only make
        its input.
        """
        sampling, alpha_bar = network.sampling, network.alpha_bars(y.device)
        count = self.steps[int(torch.randint(len(self.steps), (1,), generator=draw))]
        last = int(torch.randint(count, (1,), generator=draw)) if count > 1 else 0
        clip, y_eps, x0 = CLIP * sampling.residual_scale, y, x
        for index, (t, following) in enumerate(steps_of(sampling.points(count)[: last + 1])):
            told = network.told(torch.full((len(y),), t)).to(y.device)
            with torch.set_grad_enabled(index == last):
                output, y_eps = call(y, x, told)
                x, x0 = ddim_step(sampling.prediction, output.float(), x, alpha_bar, t, following, clip=clip)
        return self.picture(y_eps + x0 / sampling.residual_scale, clean), y_eps


@dataclass(frozen=True)
class Prior(Texture):
    """Stage I: the denoiser learns the texture of clean photos, from what smoothing left of them.

    resnet18: file of the semantic encoder's weights, in torchvision's layout, or an ``hf://`` address.
    """

    name: ClassVar[str] = "prior"

    resnet18: str = ""

    def prepare(self, network: DTPM) -> None:
        """Load the semantic encoder's weights."""
        if network.config.predictor or network.config.adapters:
            raise ValueError("a texture prior has neither predictor nor adapters; they belong to the stage adapt")
        if self.resnet18:
            if network.config.semantic != "resnet18":
                raise ValueError(f"resnet18 is for the semantic code 'resnet18', not '{network.config.semantic}'")
            network.semantic.encoder.load_state_dict(load_resnet18(local_file(self.resnet18)))

    def trains(self, network: DTPM) -> list[nn.Parameter]:
        return _parameters(
            network, [network.denoiser, *([network.semantic] if network.config.semantic != "none" else [])]
        )


@dataclass(frozen=True)
class Adapt(Texture):
    """Stage II: predictor, adapters and the denoiser's first convolution; the rest of the prior stays as it is.

    aux_weight: of the predictor's own distance to the clean picture (paper: 0). trained: besides the predictor,
    ``adapters`` and first convolution, or for the paper's ablations the denoiser's ``encoder``, ``decoder`` or
    ``both``; ``all``: everything, also without a prior.
    """

    name: ClassVar[str] = "adapt"

    aux_weight: float = 0.0
    trained: Trained = "adapters"

    def needs(self) -> tuple[str, ...]:
        return () if self.trained == "all" else ("denoiser.",)

    def trains(self, network: DTPM) -> list[nn.Parameter]:
        if self.trained == "all":
            return _parameters(network, [network])
        denoiser = network.denoiser
        parts: list[nn.Module] = [denoiser.intro]
        if network.config.predictor:
            parts.append(network.predictor)
        if network.config.adapters:
            parts.append(network.adapters)
        elif self.trained == "adapters":
            raise ValueError("this network has no adapters: trained is 'encoder', 'decoder', 'both' or 'all'")
        places = [name for name, _, _ in network.config.shape.places()]
        if self.trained in ("encoder", "both"):
            parts += [getattr(denoiser, name) for name in places if not name.startswith("decoder")]
            parts.append(denoiser.downs)
        if self.trained in ("decoder", "both"):
            parts += [getattr(denoiser, name) for name in places if name.startswith("decoder")]
            parts += [denoiser.ups, denoiser.ending]
        return _parameters(network, parts)

    def total(self, loss: Tensor, y_eps: Tensor, clean: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            guess = -10 * torch.log10((y_eps.detach().float() - clean).square().mean(dim=(1, 2, 3)) / 4).mean()
        if not self.aux_weight:
            return {"loss": loss, "psnr_of_guess": guess}
        auxiliary = self.aux_weight * (l1(y_eps, clean) if self.objective == "noise" else self.picture(y_eps, clean))
        return {"loss": loss + auxiliary, "auxiliary": auxiliary, "psnr_of_guess": guess}


STAGES = (Prior, Adapt)


def _parameters(network: DTPM, parts: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Of the parts, without those of a pretrained encoder, which nothing trains."""
    fixed = set(map(id, network.semantic.encoder.parameters())) if network.config.semantic == "resnet18" else set()
    return [parameter for part in parts for parameter in part.parameters() if id(parameter) not in fixed]
