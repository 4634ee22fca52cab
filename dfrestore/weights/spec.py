"""What a checkpoint says of itself: :class:`ModelSpec`, stored in the safetensors header.

A file describes itself; there is no configuration beside it. The header's metadata is a flat map of
strings: ``dfrestore`` (format version), ``task``, ``config`` (JSON, below), ``licence``, ``trained_on``, ``source``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dfrestore import windows
from dfrestore.errors import WeightsError, did_you_mean

FORMAT_VERSION = "1"
Prediction = Literal["epsilon", "sample"]
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "sample")
MAX_STEPS = 1000


@dataclass(frozen=True)
class ModelSpec:
    """A model without its tensors.

    task: what it restores (``derain``, ...). method: ``c2f-dft``. network: the method's own hyper-parameters,
    parsed by the method. prediction: ``epsilon`` (network output is the noise) or ``sample`` (the clean image),
    the names of diffusers. betas: first and last beta of the linear schedule over ``train_timesteps`` steps.
    window: what the attention's statistics are taken from, see :mod:`dfrestore.windows`. patch: side of the training
    patches. timesteps: the model's own evaluation points for some step counts, each from high to low.
    """

    task: str
    method: str
    network: Mapping[str, Any]
    prediction: Prediction = "epsilon"
    train_timesteps: int = 1000
    betas: tuple[float, float] = (1e-4, 2e-2)
    window: windows.Words = windows.GLOBAL
    patch: int = 0
    timesteps: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    default_steps: int = 4
    licence: str = ""
    trained_on: str = ""
    source: str = ""

    def to_metadata(self) -> dict[str, str]:
        """The safetensors metadata that :meth:`from_metadata` reads back to an equal spec."""
        config = {
            "method": self.method,
            **self.network,
            "prediction": self.prediction,
            "schedule": {"timesteps": self.train_timesteps, "betas": list(self.betas)},
            "window": self.window,
            "patch": self.patch,
            "timesteps": {str(n): list(ts) for n, ts in self.timesteps.items()},
            "default_steps": self.default_steps,
        }
        return {
            "dfrestore": FORMAT_VERSION,
            "task": self.task,
            "config": json.dumps(config, sort_keys=True),
            "licence": self.licence,
            "trained_on": self.trained_on,
            "source": self.source,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, name: str) -> ModelSpec:
        """Parse and check a header's metadata; ``name`` is the file named in errors.

        Raises :class:`WeightsError` when the file is not one of ours, is newer, or holds impossible values.
        """
        if not metadata or "dfrestore" not in metadata:
            raise WeightsError(
                f"{name}: no dfrestore metadata in this file; convert it with 'dfrestore weights convert'"
            )
        if metadata["dfrestore"] != FORMAT_VERSION:
            raise WeightsError(
                f"{name}: checkpoint format {metadata['dfrestore']}, this version reads {FORMAT_VERSION}; "
                "upgrade dfrestore"
            )
        try:
            config = json.loads(metadata.get("config", ""))
            if not isinstance(config, dict):
                raise ValueError("config is not a JSON object")
            return cls._from_config(config, metadata)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
            raise WeightsError(f"{name}: damaged configuration in the header ({_cause(error)})") from error

    @classmethod
    def _from_config(cls, config: dict[str, Any], metadata: Mapping[str, str]) -> ModelSpec:
        method = _string(config.pop("method"), "method")
        prediction = config.pop("prediction")
        if prediction not in PREDICTIONS:
            known = ", ".join(PREDICTIONS)
            raise ValueError(
                f"prediction '{prediction}' is not one of {known}{did_you_mean(str(prediction), PREDICTIONS)}"
            )
        schedule = config.pop("schedule")
        train_timesteps = _integer(schedule["timesteps"], "schedule.timesteps", 2, 100_000)
        first, last = (float(b) for b in schedule["betas"])
        if not 0 < first <= last < 1:
            raise ValueError(f"betas {first}, {last} are not 0 < first <= last < 1")
        window = windows.normalised(config.pop("window"))
        lists = {
            _integer(int(n), "timesteps", 1, MAX_STEPS): tuple(
                _integer(t, "timestep", 0, train_timesteps - 1) for t in ts
            )
            for n, ts in config.pop("timesteps").items()
        }
        for n, ts in lists.items():
            if len(ts) != n or sorted(ts, reverse=True) != list(ts) or len(set(ts)) != n:
                raise ValueError(f"timestep list for {n} steps is not {n} falling values: {list(ts)}")
        patch = _integer(config.pop("patch"), "patch", 0, 1 << 20)
        default_steps = _integer(config.pop("default_steps"), "default_steps", 1, MAX_STEPS)
        return cls(
            task=_string(metadata["task"], "task"),
            method=method,
            network=config,
            prediction=prediction,
            train_timesteps=train_timesteps,
            betas=(first, last),
            window=window,
            patch=patch,
            timesteps=lists,
            default_steps=default_steps,
            licence=metadata.get("licence", ""),
            trained_on=metadata.get("trained_on", ""),
            source=metadata.get("source", ""),
        )


def _string(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} is not a non-empty string")
    return value


def _integer(value: object, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} {value!r} is not a whole number from {low} to {high}")
    return value


def _cause(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
