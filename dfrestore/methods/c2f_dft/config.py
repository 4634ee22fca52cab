"""The settings of a C2F-DFT network and of its sampling, and their check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args

from dfrestore.diffusion import SAMPLERS, Prediction
from dfrestore.errors import did_you_mean
from dfrestore.nn.norm import Norm

PREDICTIONS: tuple[str, ...] = get_args(Prediction)
MAX_STEPS = 1000


@dataclass(frozen=True)
class C2FDFTConfig:
    """Defaults are the paper's (25.4 M parameters).

    dim: width of level 1 (each level doubles it). blocks, heads: levels 1 to 3, then the latent. norm: layer norm;
    the authors use WithBias for rain and blur, BiasFree for noise. dual_pixel: their unused variant with
    ``skip_conv`` and no outer residual. stem: 1 is the paper's; 2 and 4 are ours, the network working on the
    pixel-unshuffled picture (so many times fewer rows and columns, its square more channels at input and output).
    time_embedding: False leaves it out, as in the paper's ablation.
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

    def __post_init__(self) -> None:
        if not 4 <= self.dim <= 1024 or self.dim % 2:
            raise ValueError(f"dim {self.dim} is not an even number from 4 to 1024")
        if len(self.blocks) != 4 or not all(0 < n <= 64 for n in self.blocks):
            raise ValueError(f"blocks {list(self.blocks)} are not four numbers from 1 to 64")
        if len(self.heads) != 4 or not all(h > 0 and (self.dim << i) % h == 0 for i, h in enumerate(self.heads)):
            raise ValueError(f"heads {list(self.heads)} do not divide the widths {[self.dim << i for i in range(4)]}")
        if (self.dim * 2) % self.heads[0]:
            raise ValueError(f"heads {self.heads[0]} do not divide the last stage's width {self.dim * 2}")
        if not 0.25 <= self.ffn_factor <= 16:
            raise ValueError(f"ffn_factor {self.ffn_factor} is not from 0.25 to 16")
        if self.norm not in ("WithBias", "BiasFree"):
            raise ValueError(f"norm {self.norm!r} is neither 'WithBias' nor 'BiasFree'")
        if self.stem not in (1, 2, 4):
            raise ValueError(f"stem {self.stem} is not 1, 2 or 4")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> C2FDFTConfig:
        """From a checkpoint's or a preset's plain values. Raises ValueError on unknown or impossible ones."""
        known = {f.name for f in fields(cls)}
        for key in values:
            if key not in known:
                raise ValueError(f"unknown setting '{key}' of a c2f-dft network{did_you_mean(key, known)}")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        _check_types(plain)
        return cls(**plain)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


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
        known = ("prediction", "sampler", "schedule", "timesteps")
        for key in values:
            if key not in known:
                raise ValueError(f"unknown setting '{key}' of c2f-dft's sampling{did_you_mean(key, known)}")
        total, betas = _schedule(values.get("schedule", {}))
        return cls(
            prediction=_one_of(values.get("prediction", "epsilon"), PREDICTIONS, "prediction"),
            train_timesteps=total,
            betas=betas,
            timesteps=_lists(values.get("timesteps", {}), total),
            sampler=_one_of(values.get("sampler", "ddim"), tuple(SAMPLERS), "sampler"),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back, nothing left out."""
        return {
            "prediction": self.prediction,
            "sampler": self.sampler,
            "schedule": {"timesteps": self.train_timesteps, "betas": list(self.betas)},
            "timesteps": {str(count): list(points) for count, points in self.timesteps.items()},
        }


def _one_of(value: object, known: tuple[str, ...], what: str) -> Any:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{what} {value!r} is not one of {', '.join(known)}{did_you_mean(str(value), known)}")
    return value


def _schedule(values: Any) -> tuple[int, tuple[float, float]]:
    """The number of timesteps and the betas of a ``schedule``."""
    if not isinstance(values, Mapping) or not {"timesteps", "betas"} >= set(values):
        raise ValueError(f"schedule {values!r} does not hold timesteps and betas")
    total = _integer(values.get("timesteps", 1000), "schedule.timesteps", 2, 100_000)
    betas = values.get("betas", [1e-4, 2e-2])
    numbers = [float(b) for b in betas if type(b) in (int, float)] if isinstance(betas, list | tuple) else []
    if len(numbers) != 2 or len(betas) != 2 or not 0 < numbers[0] <= numbers[1] < 1:
        raise ValueError(f"betas {betas!r} are not two numbers with 0 < first <= last < 1")
    return total, (numbers[0], numbers[1])


def _lists(values: Any, total: int) -> dict[int, tuple[int, ...]]:
    """``timesteps``, their counts as numbers: each list falls and has as many points as its count says."""
    if not isinstance(values, Mapping) or not all(isinstance(points, list | tuple) for points in values.values()):
        raise ValueError(f"timesteps {values!r} are not a list for each of some step counts")
    lists = {}
    for key, points in values.items():
        count = _integer(int(key), "timesteps", 1, MAX_STEPS)
        found = tuple(_integer(t, "timestep", 0, total - 1) for t in points)
        if len(found) != count or sorted(set(found), reverse=True) != list(found):
            raise ValueError(f"timestep list for {count} steps is not {count} falling values: {list(found)}")
        lists[count] = found
    return lists


def _integer(value: object, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} {value!r} is not a whole number from {low} to {high}")
    return value


def _check_types(values: dict[str, Any]) -> None:
    for key in ("dim", "stem"):
        if key in values and (isinstance(values[key], bool) or not isinstance(values[key], int)):
            raise ValueError(f"{key} {values[key]!r} is not a whole number")
    for key in ("bias", "dual_pixel", "time_embedding"):
        if key in values and not isinstance(values[key], bool):
            raise ValueError(f"{key} {values[key]!r} is neither true nor false")
    for key in ("blocks", "heads"):
        if key in values and not (isinstance(values[key], tuple) and all(type(n) is int for n in values[key])):
            raise ValueError(f"{key} {values[key]!r} is not a list of whole numbers")
    if "ffn_factor" in values and type(values["ffn_factor"]) not in (int, float):
        raise ValueError(f"ffn_factor {values['ffn_factor']!r} is not a number")
