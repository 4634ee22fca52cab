"""The settings of a C2F-DFT network and of its sampling, and their check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from dfrestore.diffusion import SAMPLERS, Prediction
from dfrestore.methods.sampling_settings import noise_schedule, point_lists
from dfrestore.methods.settings import (
    check_ffn_factor,
    check_known,
    check_levels,
    check_norm,
    check_stem,
    from_plain,
    one_of,
    to_plain,
)
from dfrestore.nn.norm import Norm

PREDICTIONS: tuple[str, ...] = get_args(Prediction)


@dataclass(frozen=True)
class C2FDFTConfig:
    """Defaults are the paper's (25.4 M parameters).

    dim: width of level 1 (each level doubles it). blocks, heads: levels 1 to 3, then the latent. norm: layer norm;
    the authors use WithBias for rain and blur, BiasFree for noise. dual_pixel: their unused variant with
    ``skip_conv`` and no outer residual. stem: 1 is the paper's; 2 and 4 are ours, the network working on the
    pixel-unshuffled picture (so many times fewer rows and columns, its square more channels at input and output).
    time_embedding: False leaves it out, as in the paper's ablation. mask: ours; it takes a fourth plane, 1 = hole, and
    sees holes filled smoothly.
    """

    dim: int = 48
    blocks: tuple[int, int, int, int] = (4, 6, 6, 8)
    heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    ffn_factor: float = 4.0
    bias: bool = False
    norm: Norm = "WithBias"
    dual_pixel: bool = False
    stem: int = 1
    time_embedding: bool = True
    mask: bool = False

    def __post_init__(self) -> None:
        check_levels(self.dim, 4, self.blocks, self.heads)
        if (self.dim * 2) % self.heads[0]:
            raise ValueError(f"heads {self.heads[0]} do not divide the last stage's width {self.dim * 2}")
        check_ffn_factor(self.ffn_factor, self.dim)
        check_norm(self.norm)
        check_stem("stem", self.stem)

    @property
    def planes(self) -> int:
        """Planes of the degraded picture: with the mask, 4."""
        return 4 if self.mask else 3

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> C2FDFTConfig:
        """From a checkpoint's or a preset's plain values. Raises ValueError on unknown or impossible ones."""
        return from_plain(cls, values, "a c2f-dft network")

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back."""
        return to_plain(self)


@dataclass(frozen=True)
class Sampling:
    """How a C2F-DFT network is sampled; the defaults are the paper's.

    prediction: what its output is, the noise (``epsilon``) or the clean picture (``sample``). betas: first and last of
    the linear schedule of ``train_timesteps`` steps. timesteps: the model's own evaluation points for some step
    counts, each list from high to low; other counts are spread evenly. sampler: one of
    :data:`dfrestore.diffusion.SAMPLERS`.
    """

    prediction: Prediction = "epsilon"
    train_timesteps: int = 1000
    betas: tuple[float, float] = (1e-4, 2e-2)
    timesteps: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    sampler: str = "ddim"

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Sampling:
        """From the ``sampling`` of a checkpoint's header. Raises ValueError on unknown or impossible values.

        ``prediction``, ``sampler``, ``schedule`` ({"timesteps": 1000, "betas": [0.0001, 0.02]}) and ``timesteps``
        ({"2": [999, 250]}); each may be left out.
        """
        check_known(values, ("prediction", "sampler", "schedule", "timesteps"), "c2f-dft's sampling")
        total, betas = noise_schedule(values.get("schedule", {}))
        return cls(
            prediction=one_of(values.get("prediction", "epsilon"), PREDICTIONS, "prediction"),
            train_timesteps=total,
            betas=betas,
            timesteps=point_lists(values.get("timesteps", {}), total),
            sampler=one_of(values.get("sampler", "ddim"), tuple(SAMPLERS), "sampler"),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back, nothing left out."""
        return {
            "prediction": self.prediction,
            "sampler": self.sampler,
            "schedule": {"timesteps": self.train_timesteps, "betas": list(self.betas)},
            "timesteps": {str(count): list(points) for count, points in self.timesteps.items()},
        }
