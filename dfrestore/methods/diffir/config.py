"""The settings of a DiffIR network and of its sampling, and their check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfrestore.methods.settings import (
    check_ffn_factor,
    check_known,
    check_levels,
    check_norm,
    check_range,
    check_stem,
    from_plain,
    to_plain,
    true_or_false,
    two_betas,
    whole_number,
)
from dfrestore.nn.norm import Norm

TAIL_SCALE = 4  # of the authors' upsampler, whatever the result's scale
MAX_STEPS = 1000


@dataclass(frozen=True)
class DiffIRConfig:
    """Defaults are the authors' for motion deblurring (26.9 M parameters); their other tasks are in :data:`OFFICIAL`.

    dim: width of level 1 of G (each level doubles it). blocks, heads: levels 1 to 3, then the latent. refinement:
    blocks of the last stage, 0 where there is none. mask: takes a fourth plane, 1 = hole. scale: the result is so many
    times larger. prefill: holes are given to the network filled smoothly, not black (ours). stem: G works on the
    pixel-unshuffled picture. tail: the authors' upsampler for super-resolution, two doublings and a convolution; else
    one convolution. residual: adds the picture, enlarged pixel by pixel.
    prior_stem, prior_blocks, prior_features: of CPEN, which sees the picture pixel-unshuffled by prior_stem (and, in
    stage 1, the ground truth by prior_stem * scale) and makes a vector of 4 * prior_features values.
    denoiser_layers: hidden ones. bias: of the convolutions in G.
    """

    dim: int = 48
    blocks: tuple[int, int, int, int] = (3, 5, 6, 6)
    refinement: int = 4
    heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    ffn_factor: float = 2.0
    bias: bool = False
    norm: Norm = "WithBias"
    mask: bool = False
    prefill: bool = False
    scale: int = 1
    stem: int = 1
    tail: bool = False
    residual: bool = True
    prior_stem: int = 4
    prior_blocks: int = 5
    prior_features: int = 64
    denoiser_layers: int = 1

    def __post_init__(self) -> None:
        check_levels(self.dim, 2, self.blocks, self.heads)
        check_ffn_factor(self.ffn_factor, self.dim)
        check_norm(self.norm)
        check_range("refinement", self.refinement, 0, 64)
        check_range("scale", self.scale, 1, 8)
        check_range("prior_blocks", self.prior_blocks, 0, 64)
        check_range("prior_features", self.prior_features, 1, 1024)
        check_range("denoiser_layers", self.denoiser_layers, 0, 64)
        check_stem("stem", self.stem)
        check_stem("prior_stem", self.prior_stem)
        if self.prefill and not self.mask:
            raise ValueError("prefill fills holes, so it needs mask = true")
        if self.tail and self.stem * self.scale != TAIL_SCALE:
            raise ValueError(f"a tail enlarges by {TAIL_SCALE}, so scale {self.scale} needs a stem of 4 / scale")

    @property
    def planes(self) -> int:
        """Planes of the picture: with the mask, 4."""
        return 4 if self.mask else 3

    @property
    def code(self) -> int:
        """Length of the prior vector z."""
        return 4 * self.prior_features

    @property
    def truth_stem(self) -> int:
        """By how much the ground truth is pixel-unshuffled for CPEN in stage 1."""
        return self.prior_stem * self.scale

    @property
    def truth_inputs(self) -> int:
        """Channels that CPEN sees in stage 1: the picture's and the ground truth's, unshuffled."""
        return self.planes * self.prior_stem**2 + 3 * self.truth_stem**2

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DiffIRConfig:
        """From a checkpoint's or a preset's plain values. Raises ValueError on unknown or impossible ones."""
        return from_plain(cls, values, "a diffir network")

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back."""
        return to_plain(self)


def _super_resolution(scale: int) -> DiffIRConfig:
    stem = TAIL_SCALE // scale
    shape: dict[str, Any] = {"blocks": (13, 1, 1, 1), "refinement": 13, "ffn_factor": 2.2, "norm": "BiasFree"}
    return DiffIRConfig(dim=64, scale=scale, stem=stem, tail=True, prior_stem=stem, prior_blocks=9, **shape)


def _inpainting(latent: int, prior_blocks: int) -> DiffIRConfig:
    shape: dict[str, Any] = {"blocks": (1, 1, 1, latent), "refinement": 0, "ffn_factor": 1.8}
    return DiffIRConfig(dim=52, mask=True, residual=False, prior_blocks=prior_blocks, **shape)


OFFICIAL: Mapping[str, DiffIRConfig] = {
    "deblur": DiffIRConfig(),
    "sr_x4": _super_resolution(4),  # also the real-world one
    "realsr_x2": _super_resolution(2),
    "realsr_x1": _super_resolution(1),
    "inpaint": _inpainting(9, 5),
    "inpaint_big": _inpainting(20, 8),
}
"""The authors' option files."""


@dataclass(frozen=True)
class IPRSampling:
    """The diffusion on the prior vector: T steps, and the range whose square roots are spaced evenly to make betas.

    diffusion: without it, the prior is what CPEN makes of the degraded picture (the paper's ablation); T is then 1.
    """

    timesteps: int = 4
    betas: tuple[float, float] = (0.1, 0.99)
    diffusion: bool = True

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> IPRSampling:
        """From the ``sampling`` of a header: ``timesteps``, ``betas``, ``diffusion``; each may be left out.

        Raises ValueError on unknown or impossible values.
        """
        check_known(values, ("timesteps", "betas", "diffusion"), "diffir's sampling")
        steps = whole_number(values.get("timesteps", 4), "timesteps", 1, MAX_STEPS)
        betas = two_betas(values.get("betas", (0.1, 0.99)))
        diffusion = true_or_false(values.get("diffusion", True), "diffusion")
        if not diffusion and steps != 1:
            raise ValueError(f"without diffusion timesteps is 1, not {steps}")
        return cls(steps, betas, diffusion)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back."""
        plain = {"timesteps": self.timesteps, "betas": list(self.betas)}
        return plain if self.diffusion else plain | {"diffusion": False}
