"""What a checkpoint says about itself: :class:`ModelSpec`, stored in the safetensors header.

There is no configuration file beside a checkpoint. The header's metadata is a flat map of strings:
``dfrestore`` (format version), ``task``, ``config`` (JSON, below), ``licence``, ``trained_on``, ``source``.

Version 2 is written: ``config`` holds ``method``, ``network``, ``sampling``, ``window``, ``patch``, ``default_steps``,
and where they apply ``stage`` and ``base``. ``network`` and ``sampling`` are objects of their own, so that a method's
settings cannot collide with these. Version 1 is still read: it had one flat map that also held the settings of the
network, and ``prediction``, ``schedule`` and ``timesteps`` of the sampling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dfrestore import windows
from dfrestore.errors import WeightsError, did_you_mean

FORMAT_VERSION = "2"
READ_VERSIONS = ("1", "2")
MAX_STEPS = 1000
_KEYS = ("method", "network", "sampling", "window", "patch", "default_steps", "stage", "base")
_SAMPLING_OF_VERSION_1 = ("prediction", "schedule", "timesteps")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Base:
    """The file whose tensors a model needs beside its own: how it is called, and its sha256 (64 hex digits)."""

    name: str
    sha256: str


@dataclass(frozen=True)
class ModelSpec:
    """A model without its tensors.

    task: what it restores (``derain``, ...). method: the paper (``c2f-dft``). network, sampling: the method's own
    settings as plain JSON values, which only the method checks. window: where the attention takes its statistics from,
    see :mod:`dfrestore.windows`. patch: side of the largest training patches of the clean pictures, 0 if unknown; a
    network that enlarges saw so many times less. It is told to people, and nothing is computed from it. stage: the
    training stage that made the file, if that stage makes no model to restore with. base: the file that holds the rest
    of the tensors.
    """

    task: str
    method: str
    network: Mapping[str, Any]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    default_steps: int = 4
    window: windows.WindowSetting = windows.GLOBAL
    patch: int = 0
    stage: str = ""
    base: Base | None = None
    licence: str = ""
    trained_on: str = ""
    source: str = ""

    def to_metadata(self) -> dict[str, str]:
        """The safetensors metadata that :meth:`from_metadata` reads back to an equal spec.

        ValueError for numbers that are not finite, which JSON does not have.
        """
        config: dict[str, Any] = {
            "method": self.method,
            "network": dict(self.network),
            "sampling": dict(self.sampling),
            "window": self.window,
            "patch": self.patch,
            "default_steps": self.default_steps,
        }
        if self.stage:
            config["stage"] = self.stage
        if self.base is not None:
            config["base"] = {"name": self.base.name, "sha256": self.base.sha256}
        return {
            "dfrestore": FORMAT_VERSION,
            "task": self.task,
            "config": json.dumps(config, sort_keys=True, allow_nan=False),
            "licence": self.licence,
            "trained_on": self.trained_on,
            "source": self.source,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, name: str) -> ModelSpec:
        """Parse and check a header's metadata; ``name`` is the file named in errors.

        The values inside ``network`` and ``sampling`` are not checked. Raises :class:`WeightsError` if the file is not
        one of ours, is newer, or holds impossible values.
        """
        if not metadata or "dfrestore" not in metadata:
            raise WeightsError(
                f"{name}: no dfrestore metadata in this file; convert it with 'dfrestore weights convert'"
            )
        version = metadata["dfrestore"]
        if version not in READ_VERSIONS:
            raise WeightsError(
                f"{name}: checkpoint format {version}, this version reads {' and '.join(READ_VERSIONS)}; "
                "upgrade dfrestore"
            )
        try:
            config = json.loads(metadata.get("config", ""), parse_constant=_no_number)
            if not isinstance(config, dict):
                raise ValueError("config is not a JSON object")
            return cls._from_config(_as_version_2(config) if version == "1" else config, metadata)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
            raise WeightsError(f"{name}: damaged configuration in the header ({_cause(error)})") from error

    @classmethod
    def _from_config(cls, config: Mapping[str, Any], metadata: Mapping[str, str]) -> ModelSpec:
        for key in config:
            if key not in _KEYS:
                raise ValueError(f"unknown key '{key[:80]}'{did_you_mean(key, _KEYS)}")
        return cls(
            task=_string(metadata["task"], "task"),
            method=_string(config["method"], "method"),
            network=_object(config["network"], "network"),
            sampling=_object(config["sampling"], "sampling"),
            default_steps=_integer(config["default_steps"], "default_steps", 1, MAX_STEPS),
            window=windows.normalised(config["window"]),
            patch=_integer(config["patch"], "patch", 0, 1 << 20),
            stage=_string(config["stage"], "stage") if "stage" in config else "",
            base=_base(config["base"]) if "base" in config else None,
            licence=metadata.get("licence", ""),
            trained_on=metadata.get("trained_on", ""),
            source=metadata.get("source", ""),
        )


def _as_version_2(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a version-1 header as version 2 has it. Raises KeyError for what is missing."""
    own = {key: flat[key] for key in ("method", "window", "patch", "default_steps")}
    sampling = {key: flat[key] for key in _SAMPLING_OF_VERSION_1}
    network = {key: value for key, value in flat.items() if key not in own and key not in sampling}
    return {**own, "network": network, "sampling": sampling}


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _base(value: object) -> Base:
    table = _object(value, "base")
    if set(table) != {"name", "sha256"}:
        raise ValueError("base does not hold a name and a sha256, and these alone")
    digest = _string(table["sha256"], "base.sha256")
    if not _SHA256.fullmatch(digest):
        raise ValueError("base.sha256 is not 64 hexadecimal digits in small letters")
    return Base(_string(table["name"], "base.name"), digest)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


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
