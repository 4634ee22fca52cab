"""The C2F-DFT network (paper, Fig. 2; differences between paper and authors' code follow the code).

A U-shaped Transformer of four levels without a refinement stage; attention between channels; the time embedding
has no parameters. Tensor names and shapes are the authors', so that their files load strictly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.diffusion import advance_, linear_alpha_bars, steps_of, timesteps
from dfrestore.diffusion.samplers import Previous
from dfrestore.methods.c2f_dft.blocks import TransformerBlock, time_embedding
from dfrestore.methods.c2f_dft.config import C2FDFTConfig, Sampling
from dfrestore.methods.method import Estimate, Footprint, Given, Network, Run
from dfrestore.nn import LEVELS, Downsample, How, Literal, PatchEmbed, Upsample, walk_levels
from dfrestore.nn.fill import without_holes


class C2FDFT(Network):
    """network(y, x_t, t) -> prediction.

    y, x_t: (B, 3, H, W) in [-1, 1], H and W multiples of :attr:`multiple`; t: (B,) in 0..999. Of a network that fills
    holes, y has a fourth plane, the mask, 1 = hole (:meth:`seen` makes it).
    The output is the noise (prediction ``epsilon``, the paper's) or the clean picture (``sample``, ours): the picture
    x_t or y is added to the last convolution. The dual-pixel variant adds nothing.
    """

    from_noise = True

    def __init__(self, config: C2FDFTConfig, sampling: Sampling | None = None, default_steps: int = 4) -> None:
        super().__init__()
        self.config = config
        self.sampling = sampling or Sampling()
        self.default_steps = default_steps
        self.steps = range(1, self.sampling.train_timesteps + 1)
        self.multiple = 8 * config.stem
        self.mask = config.mask
        dim, blocks, heads = config.dim, config.blocks, config.heads
        unshuffled = config.stem**2

        def stage(level: int, width: int) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerBlock(width, heads[level], config.ffn_factor, config.bias, config.norm)
                for _ in range(blocks[level])
            )

        self.patch_embed = PatchEmbed((config.planes + 3) * unshuffled, dim)
        self.encoder_level1 = stage(0, dim)
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = stage(1, dim * 2)
        self.down2_3 = Downsample(dim * 2)
        self.encoder_level3 = stage(2, dim * 4)
        self.down3_4 = Downsample(dim * 4)
        self.latent = stage(3, dim * 8)
        self.up4_3 = Upsample(dim * 8)
        self.reduce_chan_level3 = nn.Conv2d(dim * 8, dim * 4, 1, bias=config.bias)
        self.decoder_level3 = stage(2, dim * 4)
        self.up3_2 = Upsample(dim * 4)
        self.reduce_chan_level2 = nn.Conv2d(dim * 4, dim * 2, 1, bias=config.bias)
        self.decoder_level2 = stage(1, dim * 2)
        self.up2_1 = Upsample(dim * 2)
        self.decoder_level1 = stage(0, dim * 2)
        if config.dual_pixel:
            self.skip_conv = nn.Conv2d(dim, dim * 2, 1, bias=config.bias)
        self.output = nn.Conv2d(dim * 2, 3 * unshuffled, 3, padding=1, bias=config.bias)

    def forward(self, y: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The network as the paper writes it: convolutions and matrix products on (B, C, H, W)."""
        stem = self.config.stem
        embedded = self.patch_embed(F.pixel_unshuffle(torch.cat([y, x_t], dim=1), stem))  # (B, C, H, W)
        out1 = self._stage("encoder_level1", embedded, t)  # (B, C, H, W)
        out2 = self._stage("encoder_level2", self.down1_2(out1), t)  # (B, 2C, H/2, W/2)
        out3 = self._stage("encoder_level3", self.down2_3(out2), t)  # (B, 4C, H/4, W/4)
        latent = self._stage("latent", self.down3_4(out3), t)  # (B, 8C, H/8, W/8)
        x = self.reduce_chan_level3(torch.cat([self.up4_3(latent), out3], dim=1))
        x = self._stage("decoder_level3", x, t)  # (B, 4C, H/4, W/4)
        x = self.reduce_chan_level2(torch.cat([self.up3_2(x), out2], dim=1))
        x = self._stage("decoder_level2", x, t)  # (B, 2C, H/2, W/2)
        x = torch.cat([self.up2_1(x), out1], dim=1)  # no 1x1 convolution here: the last stage is twice as wide
        x = self._stage("decoder_level1", x, t)  # (B, 2C, H, W)
        if self.config.dual_pixel:
            dual: Tensor = F.pixel_shuffle(self.output(x + self.skip_conv(embedded)), stem)
            return dual
        return F.pixel_shuffle(self.output(x), stem) + self._residual(y, x_t)

    def walk(self, how: How, y: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """:meth:`forward` with the verbs of ``how``, within rounding; (B, 3, H, W) of y's type."""
        config, height = self.config, y.shape[2]

        def blocks(name: str, x: Tensor) -> Tensor:
            e = self.embedding(t, x.shape[3]).to(how.dtype)
            cells = how.cells(LEVELS[name], x, height)
            for block in getattr(self, name):
                x = how.block(x, block.branches(e), cells)
            return x

        first = [how.read((y, x_t), self.patch_embed.proj, config.stem)]
        embedded = how.copy(first[0]) if config.dual_pixel else None
        x = walk_levels(how, self, first.pop(), blocks)
        if embedded is not None:
            x = how.add(x, embedded, self.skip_conv)
            return how.write(x, self.output, config.stem, None).to(y.dtype)
        return how.write(x, self.output, config.stem, self._residual(y, x_t))

    # -- sampling -----------------------------------------------------------------------------------------------

    @property
    def footprint(self) -> Footprint:
        dim = self.config.dim
        states = Footprint.states + (5 if self.mask else 0)  # the planes stay beside what is seen of them
        widest = dim * 2 * max(3.0, self.config.ffn_factor)
        return Footprint(kept=4 * dim, widest=widest, stride=self.config.stem, states=states)

    def parts(self, steps: int) -> list[float]:
        return [1.0] * steps

    def restore(self, given: Given, run: Run, steps: int) -> Iterator[Estimate | None]:
        """y is the degraded picture, x_T noise; each evaluation is a step (paper, Fig. 1 and Algorithm 1)."""
        sampling = self.sampling
        y, x = self.seen(given.planes[None])[0], given.noise()
        alpha_bar = self.alpha_bars(x.device)
        previous: Previous | None = None
        for t, following in steps_of(self.timesteps(steps)):
            output = yield from run(partial(self.predict, t=t), y, x)
            previous = advance_(sampling.sampler, sampling.prediction, output, x, alpha_bar, t, following, previous)
            yield Estimate(output.add_(1).div_(2), x)
            del output

    def seen(self, planes: Tensor) -> Tensor:
        """What the network is given, y, of planes (B, 3 or 4, H, W) in [0, 1], which may be overwritten.

        Where there is a mask, holes are filled smoothly: what is to be replaced at all is a hole.
        """
        if not self.mask:
            return planes.mul_(2).sub_(1)
        planes = without_holes(planes)
        planes[:, :3].mul_(2).sub_(1)
        return planes

    def predict(self, how: How | Literal, y: Tensor, x_t: Tensor, *, t: int) -> Tensor:
        """The prediction at one t for the whole batch, computed as ``how`` says."""
        time = torch.full((1,), float(t), device=y.device)
        prediction: Tensor = self(y, x_t, time) if isinstance(how, Literal) else self.walk(how, y, x_t, time)
        return prediction

    def timesteps(self, steps: int) -> list[int]:
        """The falling evaluation points for so many steps."""
        return timesteps(self.sampling.train_timesteps, steps, self.sampling.timesteps)

    def alpha_bars(self, device: torch.device) -> Tensor:
        """The noise schedule that the network was trained with, float32 (T,)."""
        return linear_alpha_bars(self.sampling.train_timesteps, *self.sampling.betas).to(device)

    def begun_from(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A network with a mask can begin as one without: what it makes of the mask is 0 at first."""
        name, planes = "patch_embed.proj.weight", self.config.stem**2
        weight = tensors.get(name)
        if not self.mask or weight is None or weight.dim() != 4 or weight.shape[1] != 6 * planes:
            return tensors
        of_mask = weight.new_zeros(len(weight), planes, *weight.shape[2:])
        of_y, of_x = weight[:, : 3 * planes], weight[:, 3 * planes :]
        return {**tensors, name: torch.cat([of_y, of_mask, of_x], dim=1)}

    def ends(self) -> tuple[nn.Module, ...]:
        return self.patch_embed.proj, self.output

    # -- parts --------------------------------------------------------------------------------------------------

    def _stage(self, name: str, x: Tensor, t: Tensor) -> Tensor:
        # As in the authors' code: one embedding per stage of the network, in fp32.
        e = self.embedding(t, x.shape[1]).to(x.dtype)[:, :, None, None]
        for block in getattr(self, name):
            x = block(x, e)
        return x

    def embedding(self, t: Tensor, channels: int) -> Tensor:
        """The time embedding of a stage of this width: t (B,) -> (B or 1, channels) float32."""
        return time_embedding(t, channels) if self.config.time_embedding else t.new_zeros(1, channels)

    def _residual(self, y: Tensor, x_t: Tensor) -> Tensor:
        """What is added to the last convolution."""
        return x_t if self.sampling.prediction == "epsilon" else y[:, :3]
