"""DTPM: a diffusion model of texture, and what turns it into one that restores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dfrestore.diffusion import linear_alpha_bars, steps_of
from dfrestore.diffusion.samplers import advance_
from dfrestore.methods.dtpm.config import CLIP, DTPMConfig, DTPMSampling
from dfrestore.methods.dtpm.denoiser import Adapters, Denoiser, DenoiserBlock, Predictor
from dfrestore.methods.dtpm.semantic import SemanticBranch
from dfrestore.methods.method import Estimate, Footprint, Given, Network, Run
from dfrestore.nn import How, Literal

OF_SQRT_GAMMA = 1000.0  # the embedding of the root of gamma sees values as large as those of t


class DTPM(Network):
    """network(y, x_t, t, y_eps) -> the noise or the residual, (B, 3, H, W), unclamped.

    y, y_eps: (B, 3, H, W) in [-1, 1], H and W multiples of :attr:`multiple`; x_t the noised residual; t (B,) in 0..999.
    A task's network restores y: the residual is that of ``network.predictor(y)``. A prior's has no predictor; y is the
    smoothed picture, and the residual its texture; y_eps is y then.
    """

    from_noise = True

    def __init__(self, config: DTPMConfig, sampling: DTPMSampling | None = None, default_steps: int = 4) -> None:
        super().__init__()
        self.config = config
        self.sampling = sampling or DTPMSampling()
        self.default_steps = default_steps
        self.steps = range(1, self.sampling.train_timesteps + 1)
        self.multiple = max(config.shape.multiple, config.predictor_shape.multiple if config.predictor else 1)
        self.levels = range(1, config.shape.levels + 2)
        features = config.semantic_features if config.semantic != "none" else 0
        self.denoiser = Denoiser(config.shape, config.time_features, features)
        if features:
            self.semantic = SemanticBranch(config.semantic, features)  # type: ignore[arg-type]
        if config.predictor:
            self.predictor = Predictor(config.predictor_shape)
        if config.adapters:
            self.adapters = Adapters(config.shape, config.adapter_ratio)

    def forward(self, y: Tensor, x_t: Tensor, t: Tensor, y_eps: Tensor, code: Tensor | None = None) -> Tensor:
        """The adapted denoiser as the facts write it. (Paper, Eqs. 5 and 6.) code: None: that of y_eps."""
        time, code = self._time(t), self.coded(y_eps) if code is None else code
        guided = self.adapters.literal(y_eps) if self.config.adapters else None

        def blocks(place: str, x: Tensor) -> Tensor:
            for index, block in enumerate(self.denoiser.blocks(place)):
                x = block(x, *block.affines(time, code))
                x = x if guided is None else guided(place, index, x)
            return x

        return self.denoiser.literal(torch.cat([self.condition(y, y_eps), x_t], dim=1), blocks)

    def walk(self, how: How, y: Tensor, x_t: Tensor, t: Tensor, y_eps: Tensor) -> Tensor:
        """:meth:`forward` with the verbs of ``how``, within rounding."""
        return self.denoised(how, y, x_t, y_eps, t=t, code=self.coded(y_eps))

    # -- parts --------------------------------------------------------------------------------------------------

    def predicted(self, how: How | Literal, y: Tensor) -> Tensor:
        """y_eps, the first guess of the clean picture (B, 3, H, W); y itself without a predictor."""
        if not self.config.predictor:
            return y
        if isinstance(how, Literal):
            guess: Tensor = self.predictor(y)
            return guess
        return self.predictor.predicted(how, y)

    def coded(self, y_eps: Tensor) -> Tensor | None:
        """The semantic vector (B or 1, features) of whole pictures; None without that branch."""
        if self.config.semantic == "none":
            return None
        code: Tensor = self.semantic(y_eps)
        return code

    def condition(self, y: Tensor, y_eps: Tensor) -> Tensor:
        """What stands beside x_t."""
        return y if self.config.condition == "degraded" else y_eps

    def denoised(
        self, how: How | Literal, y: Tensor, x_t: Tensor, y_eps: Tensor, *, t: Tensor, code: Tensor | None
    ) -> Tensor:
        """The denoiser's output; code: the semantic vector, which is of the whole picture even where y is a tile."""
        if isinstance(how, Literal):
            return self.forward(y, x_t, t, y_eps, code)
        time = self._time(t)

        def affines(block: DenoiserBlock) -> Any:
            return block.affines(time, code)

        after = self.adapters.walk(how, y_eps) if self.config.adapters else None
        return self.denoiser.walk(how, (self.condition(y, y_eps), x_t), affines, after)

    def _time(self, t: Tensor) -> Tensor:
        time: Tensor = self.denoiser.embed(t)
        return time

    # -- sampling -----------------------------------------------------------------------------------------------

    @property
    def footprint(self) -> Footprint:
        config = self.config
        widest = max(2 * config.width, 6 * config.stem**2)
        guess = config.predictor_width / config.predictor_stem**2 * config.stem**2 if config.predictor else 0
        return Footprint(2.5 * max(config.width, guess), widest, config.stem, states=18)

    def parts(self, steps: int) -> list[float]:
        evaluation = self.config.shape.products(6)
        if not self.config.predictor:
            return [1.0] * steps
        guess = self.config.predictor_shape.products(3)
        return [guess / evaluation, *[1.0] * steps]

    def restore(self, given: Given, run: Run, steps: int) -> Iterator[Estimate | None]:
        """The predictor once, the semantic code once, then DDIM on the residual. (Facts, section 2.)"""
        sampling, height, width = self.sampling, given.height, given.width
        y, x = given.planes.mul_(2).sub_(1), given.noise()
        del given
        if self.config.predictor:
            y_eps = yield from run(self.predicted, y)
            yield None
        else:
            y_eps = y
        device = next(self.parameters()).device
        code = self.coded(y_eps[None, :, :height, :width].to(device))
        alpha_bar, clip = self.alpha_bars(x.device), CLIP * sampling.residual_scale
        for t, following in steps_of(sampling.points(steps)):
            time = self.told(torch.tensor([t])).to(device)
            output = yield from run(partial(self.denoised, t=time, code=code), y, x, y_eps)
            advance_("ddim", sampling.prediction, output, x, alpha_bar, t, following, None, clip=clip)
            yield Estimate(output.div_(sampling.residual_scale).add_(y_eps).clamp_(-1, 1).add_(1).div_(2), x)
            del output

    def told(self, t: Tensor) -> Tensor:
        """What the network is told at the steps t (B,) int64: t itself, or the root of gamma."""
        if self.sampling.gamma == "discrete":
            return t.float()
        return OF_SQRT_GAMMA * self.alpha_bars(t.device)[t].sqrt()

    def alpha_bars(self, device: torch.device) -> Tensor:
        """The noise schedule, float32 (T,)."""
        return linear_alpha_bars(self.sampling.train_timesteps, *self.sampling.betas).to(device)

    # -- training -----------------------------------------------------------------------------------------------

    def evaluated(
        self, how: How, y: Tensor, noise: Tensor, t: Tensor, gamma: Tensor | None = None, clean: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(output, y_eps) of one evaluation in training, t (B,) as the network is told it.

        x_t is ``noise`` itself, or, where gamma (B, 1, 1, 1) and clean are given, the noised residual of clean.
        """
        y_eps = self.predicted(how, y)
        x_t = noise
        if gamma is not None and clean is not None:
            residual = self.sampling.residual_scale * (clean - y_eps)
            x_t = gamma.sqrt() * residual + (1 - gamma).sqrt() * noise
        return self.denoised(how, y, x_t, y_eps, t=t, code=self.coded(y_eps)), y_eps

    @property
    def training_form(self) -> Callable[..., Any]:
        return self.evaluated

    def ends(self) -> tuple[nn.Module, ...]:
        nets: list[Any] = [self.denoiser, *([self.predictor] if self.config.predictor else [])]
        return tuple(layer for net in nets for layer in (net.intro, net.ending))
