"""DiffIR as it restores (stage 2), as its stage 1 has it, where CPEN sees the ground truth, and both in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.methods.diffir.config import DiffIRConfig, IPRSampling
from dfrestore.methods.diffir.cost import prior_share, values_kept, widest_map
from dfrestore.methods.diffir.dirformer import DIRformer
from dfrestore.methods.diffir.prior import CPEN, Denoiser, IPRDiffusion
from dfrestore.methods.method import Estimate, Footprint, Given, Network, Run
from dfrestore.nn import How, Literal
from dfrestore.nn.chains import enlarged
from dfrestore.nn.fill import without_holes


class _Both(Network):
    """What the two stages have in common: G, and how pictures go in and out."""

    def __init__(self, config: DiffIRConfig, sampling: IPRSampling | None = None) -> None:
        super().__init__()
        self.config = config
        self.sampling = sampling or IPRSampling()
        self.steps = (self.sampling.timesteps,)
        self.default_steps = self.sampling.timesteps
        self.multiple = 8 * config.stem
        self.scale = config.scale
        self.mask = config.mask
        self.padding = "symmetric" if config.mask else "reflect"
        self.G = DIRformer(config)

    @property
    def footprint(self) -> Footprint:
        config = self.config
        states = 2 * config.planes + 6 * config.scale**2  # the picture, padded and masked; the result, and its pixels
        return Footprint(values_kept(config), widest_map(config), config.stem, states)

    def parts(self, steps: int) -> list[float]:
        share = prior_share(self.config)
        return [share, 1 - share]

    def restored(self, how: How | Literal, lq: Tensor, *, z: Tensor) -> Tensor:
        """The picture that z (1, code) makes of lq."""
        return self.G(lq, z) if isinstance(how, Literal) else self.G.walk(how, lq, z)

    def seen(self, planes: Tensor) -> Tensor:
        """What the network is given of a picture: where there is a mask, holes are black. planes: (3 or 4, H, W).

        A mask may be softer at its borders: what is to be replaced at all is a hole, as in the authors' evaluation.
        """
        if not self.mask:
            return planes
        hole = (planes[3:] > 0).to(planes.dtype)
        return self.prepared(torch.cat([planes[:3] * (1 - hole), hole])[None])[0]

    def prepared(self, lq: Tensor) -> Tensor:
        """What G and CPEN see of lq (B, 3 or 4, H, W): where the configuration says so, holes are filled smoothly."""
        return without_holes(lq) if self.config.prefill else lq

    def ends(self) -> tuple[nn.Module, ...]:
        return self.G.ends()


class DiffIR(_Both):
    """network(lq, z_T) -> picture: lq (B, 3, H, W) in [0, 1], z_T (B, code) standard normal -> (B, 3, sH, sW).

    The picture is not clamped. H and W are multiples of :attr:`multiple`. For inpainting lq is (B, 4, H, W), the
    picture times (1 - mask) and the mask, 1 = hole; what is known is not put back. (Paper, Fig. 2, stage 2.)
    """

    def __init__(self, config: DiffIRConfig, sampling: IPRSampling | None = None) -> None:
        super().__init__(config, sampling)
        self.condition = CPEN(config.planes * config.prior_stem**2, config.prior_blocks, config.prior_features)
        self.denoise = Denoiser(config.code, config.denoiser_layers)
        self.diffusion = IPRDiffusion.of(self.sampling)

    def forward(self, lq: Tensor, z_T: Tensor) -> Tensor:
        lq = self.prepared(lq)
        picture: Tensor = self.G(lq, self.denoised(z_T, self.conditioned(Literal(), lq)))
        return picture

    def walk(self, how: How, lq: Tensor, z_T: Tensor) -> Tensor:
        """:meth:`forward` with the verbs of ``how``, within rounding."""
        lq = self.prepared(lq)
        return self.G.walk(how, lq, self.denoised(z_T, self.conditioned(how, lq)))

    def conditioned(self, how: How | Literal, lq: Tensor) -> Tensor:
        """D (B, code): what CPEN makes of lq."""
        stem = self.config.prior_stem
        if isinstance(how, Literal):
            condition: Tensor = self.condition(F.pixel_unshuffle(lq, stem))
            return condition
        return self.condition.walk(how, [(lq, stem)])

    def denoised(self, z_T: Tensor, condition: Tensor) -> Tensor:
        """The prior vector z (B, code), from noise and D."""
        if not self.sampling.diffusion:
            return condition
        return self.diffusion.reverse(self.denoise, z_T.to(condition.dtype), condition)[-1]

    def restore(self, given: Given, run: Run, steps: int) -> Iterator[Estimate | None]:
        """The prior is of the whole picture, even where G sees a tile at a time."""
        lq = self.seen(given.planes)
        noise = given.vector(self.config.code)
        del given
        condition = yield from run.whole(self.conditioned, lq)
        yield None
        device = next(self.denoise.parameters()).device
        z = self.denoised(noise[None].to(device), condition[None].to(device))
        yield Estimate((yield from run(partial(self.restored, z=z), lq, scale=self.scale)))


class DiffIRS1(_Both):
    """network(lq, gt) -> picture: as :class:`DiffIR`, its prior taken from the ground truth gt (B, 3, sH, sW).

    What stage 1 trains, and the teacher of stage 2; it restores nothing. (Paper, Fig. 2, stage 1.)
    """

    def __init__(self, config: DiffIRConfig, sampling: IPRSampling | None = None) -> None:
        super().__init__(config, sampling)
        self.E = CPEN(config.truth_inputs, config.prior_blocks, config.prior_features)

    def forward(self, lq: Tensor, gt: Tensor) -> Tensor:
        lq = self.prepared(lq)
        picture: Tensor = self.G(lq, self.encoded(Literal(), lq, gt))
        return picture

    def walk(self, how: How, lq: Tensor, gt: Tensor) -> Tensor:
        """:meth:`forward` with the verbs of ``how``, within rounding."""
        lq = self.prepared(lq)
        return self.G.walk(how, lq, self.encoded(how, lq, gt))

    def encoded(self, how: How | Literal, lq: Tensor, gt: Tensor) -> Tensor:
        """The prior vector z (B, code) of the picture and its ground truth, unshuffled apart, in this order."""
        pictures = [(lq, self.config.prior_stem), (gt, self.config.truth_stem)]
        if isinstance(how, Literal):
            z: Tensor = self.E(torch.cat([F.pixel_unshuffle(picture, stem) for picture, stem in pictures], dim=1))
            return z
        return self.E.walk(how, pictures)

    def restore(self, given: Given, run: Run, steps: int) -> Iterator[Estimate | None]:
        """A proof that it computes: the picture itself stands for its ground truth."""
        lq = self.seen(given.planes)
        truth = enlarged(given.planes[None, :3], lq.shape[1] * self.scale)[0]
        z = (yield from run.whole(self.encoded, lq, truth))[None]
        yield None
        z = z.to(next(self.parameters()).device)
        yield Estimate((yield from run(partial(self.restored, z=z), lq, scale=self.scale)))


class DiffIRTraining(DiffIR):
    """:class:`DiffIR` with the CPEN that sees the ground truth, ``E``: what all stages of training work on."""

    def __init__(self, config: DiffIRConfig, sampling: IPRSampling | None = None) -> None:
        super().__init__(config, sampling)
        self.E = CPEN(config.truth_inputs, config.prior_blocks, config.prior_features)

    def evaluated(
        self,
        how: How,
        lq: Tensor,
        gt: Tensor | None,
        noise: Tensor | None = None,
        picture: bool = True,
        step: int | None = None,
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """(picture, prior vector that made it, prior vector of the ground truth gt).

        Without noise, z is that of the ground truth. With noise (B, code), z is guessed: the diffusion begins at the
        noised z of the ground truth, whose gradient is stopped, or at the noise alone where gt is None. picture:
        whether one is made. step: z is guessed from the z noised up to this step of the diffusion, in one evaluation.
        """
        lq = self.prepared(lq)
        pictures = [(lq, self.config.prior_stem)]
        if noise is None:
            assert gt is not None
            z = true = self.E.walk(how, [*pictures, (gt, self.config.truth_stem)])
        else:
            true, begin, condition = None, noise, self.condition.walk(how, pictures)
            if gt is not None:
                with torch.no_grad():
                    true = self.E.walk(how, [*pictures, (gt, self.config.truth_stem)])
                begin = self.diffusion.diffused(true, noise, -1 if step is None else step)
            if step is None:
                z = self.denoised(begin, condition)
            else:
                z = self.diffusion.clean(self.denoise, begin, condition, step)
        return self.G.walk(how, lq, z) if picture else None, z, true

    @property
    def training_form(self) -> Callable[..., Any]:
        return self.evaluated
