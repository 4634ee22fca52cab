"""The settings of a DTPM network and of its sampling, and their check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from dfrestore.diffusion import Prediction
from dfrestore.methods.dtpm.semantic import Semantic
from dfrestore.methods.dtpm.unet import Shape
from dfrestore.methods.sampling_settings import noise_schedule, point_lists
from dfrestore.methods.settings import check_known, check_range, from_plain, one_of, to_plain

PREDICTIONS: tuple[str, ...] = get_args(Prediction)
SEMANTICS: tuple[str, ...] = get_args(Semantic)
GRIDS = ("even", "weather")
GAMMAS = ("discrete", "continuous")
CONDITIONS = ("degraded", "predictor")
CLIP = 2.0  # the range of a difference of two pictures in [-1, 1]


@dataclass(frozen=True)
class DTPMConfig:
    """Defaults are the facts' "compact A" as a texture prior. The paper states no widths and no block counts: all of
    them are our choice, and so are the position of the adapters and their width.

    width, encoder, middle, decoder: the denoiser's channels and blocks. time_features, semantic_features: lengths of
    its vectors. semantic: where the semantic code comes from, ``resnet18`` (the paper's), ``tiny``, ``null`` or
    ``none``. predictor, adapters: what a task adds to the prior; condition: the picture beside x_t, the degraded one
    (the paper's) or the predictor's. predictor_width ...: of the predictor. adapter_ratio: an adapter's channels for
    each channel of the features. stem, predictor_stem: 1 is the paper's; 2 and 4 are ours, a pixel-unshuffled picture.
    """

    width: int = 24
    encoder: tuple[int, ...] = (1, 2, 2)
    middle: int = 4
    decoder: tuple[int, ...] = (1, 1, 1)
    stem: int = 1
    time_features: int = 96
    semantic: str = "null"
    semantic_features: int = 96
    predictor: bool = False
    predictor_width: int = 16
    predictor_encoder: tuple[int, ...] = (1, 1, 1)
    predictor_middle: int = 1
    predictor_decoder: tuple[int, ...] = (1, 1, 1)
    predictor_stem: int = 1
    adapters: bool = False
    adapter_ratio: float = 0.25
    condition: str = "degraded"

    def __post_init__(self) -> None:
        _ = self.shape, self.predictor_shape  # which check themselves
        check_range("time_features", self.time_features, 1, 4096)
        check_range("semantic_features", self.semantic_features, 1, 4096)
        one_of(self.semantic, SEMANTICS, "semantic")
        one_of(self.condition, CONDITIONS, "condition")
        if not 0 < self.adapter_ratio <= 4:
            raise ValueError(f"adapter_ratio {self.adapter_ratio} is not above 0 and at most 4")

    @property
    def shape(self) -> Shape:
        """Of the denoiser."""
        return Shape(self.width, self.encoder, self.middle, self.decoder, self.stem)

    @property
    def predictor_shape(self) -> Shape:
        return Shape(
            self.predictor_width,
            self.predictor_encoder,
            self.predictor_middle,
            self.predictor_decoder,
            self.predictor_stem,
        )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DTPMConfig:
        """From a checkpoint's or a preset's plain values. Raises ValueError on unknown or impossible ones."""
        return from_plain(cls, values, "a dtpm network")

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back."""
        return to_plain(self)


@dataclass(frozen=True)
class DTPMSampling:
    """How it is sampled; the defaults are the facts' (sections 2 and 3.2).

    prediction: what the network's output is, the noise (``epsilon``, the paper's) or the residual (``sample``, ours).
    residual_scale: the residual is diffused so many times larger. grid: ``even`` points from the last step on, or
    ``weather``, WeatherDiffusion's. gamma: the network is told t (``discrete``), or the root of gamma (``continuous``,
    drawn between two steps in training, as in SR3). timesteps: the model's own points for some step counts.
    """

    prediction: Prediction = "epsilon"
    train_timesteps: int = 1000
    betas: tuple[float, float] = (1e-4, 2e-2)
    residual_scale: float = 1.0
    grid: str = "even"
    gamma: str = "discrete"
    timesteps: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DTPMSampling:
        """From the ``sampling`` of a checkpoint's header; each value may be left out.

        Raises ValueError on unknown or impossible ones.
        """
        known = ("prediction", "schedule", "residual_scale", "grid", "gamma", "timesteps")
        check_known(values, known, "dtpm's sampling")
        total, betas = noise_schedule(values.get("schedule", {}))
        scale = values.get("residual_scale", 1.0)
        if type(scale) not in (int, float) or not 0 < scale <= 100:
            raise ValueError(f"residual_scale {scale!r} is not a number above 0 and at most 100")
        return cls(
            prediction=one_of(values.get("prediction", "epsilon"), PREDICTIONS, "prediction"),
            train_timesteps=total,
            betas=betas,
            residual_scale=float(scale),
            grid=one_of(values.get("grid", "even"), GRIDS, "grid"),
            gamma=one_of(values.get("gamma", "discrete"), GAMMAS, "gamma"),
            timesteps=point_lists(values.get("timesteps", {}), total),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back, nothing left out."""
        return {
            "prediction": self.prediction,
            "schedule": {"timesteps": self.train_timesteps, "betas": list(self.betas)},
            "residual_scale": self.residual_scale,
            "grid": self.grid,
            "gamma": self.gamma,
            "timesteps": {str(count): list(points) for count, points in self.timesteps.items()},
        }

    def points(self, steps: int) -> list[int]:
        """The falling evaluation points for so many steps. Raises ValueError outside 1..train_timesteps."""
        total = self.train_timesteps
        if not 1 <= steps <= total:
            raise ValueError(f"steps must be from 1 to {total}, got {steps}")
        if steps in self.timesteps:
            return list(self.timesteps[steps])
        if self.grid == "weather":
            return [i * (total // steps) for i in reversed(range(steps))]
        return [total * i // steps - 1 for i in range(steps, 0, -1)]
