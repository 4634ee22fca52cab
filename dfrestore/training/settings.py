"""Where a run's settings come from: a preset, a start model, a run's file, options; later ones win."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import reduce
from importlib import resources
from typing import Any

from dfrestore.errors import UsageError, did_you_mean
from dfrestore.methods import METHODS
from dfrestore.training import old_config
from dfrestore.training.config import ModelConfig, TrainConfig
from dfrestore.training.toml import from_mapping, merge
from dfrestore.weights.spec import ModelSpec

LAST = "last"  # ``[stages.last]``: the stage that trains a finished model on, whichever that is


def list_presets() -> dict[str, str]:
    """Preset name -> its first comment line."""
    folder = resources.files("dfrestore.training") / "presets"
    found = {}
    for item in sorted(folder.iterdir(), key=lambda i: i.name):
        if item.name.endswith(".toml"):
            found[item.name.removesuffix(".toml")] = item.read_text("utf-8").splitlines()[0].lstrip("# ")
    return found


def load_preset(
    name: str, task: str | None = None, overrides: Mapping[str, Any] | None = None, start: ModelSpec | None = None
) -> TrainConfig:
    """The named preset for a task, with ``overrides`` (nested plain values) on top. Raises :class:`UsageError`.

    Without a task: the preset's own, else ``derain``. start: the model that the run goes on from; its network takes
    the place of the preset's, but for the mask of a preset for holes, and what the preset builds on stays.
    """
    values = preset_values(name, task)
    if start is not None:
        preset = values.get("model", {})
        values["model"] = {"base": preset.get("base", ""), **model_values(start)}
        if preset.get("network", {}).get("mask") and preset.get("method", start.method) == start.method:
            values["model"]["network"]["mask"] = True
    return configure(f"preset {name}", values, overrides or {})


def preset_values(name: str, task: str | None = None) -> dict[str, Any]:
    """What the named preset says, as plain values, on top of its ``base``, if it has one. Raises UsageError."""
    known = list_presets()
    if name not in known:
        raise UsageError(f"unknown preset '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")
    text = (resources.files("dfrestore.training") / "presets" / f"{name}.toml").read_text("utf-8")
    values = tomllib.loads(text)
    if "base" in values:
        values = merge(preset_values(values.pop("base")), values)
    if task and values.setdefault("task", task) != task:
        raise UsageError(f"preset {name} is for {values['task']}, not {task}")
    return values


def model_values(spec: ModelSpec) -> dict[str, Any]:
    """The ``[model]`` table of a run on the network of a trained model."""
    return {
        "method": spec.method,
        "default_steps": spec.default_steps,
        "window": spec.window,
        "network": dict(spec.network),
        "sampling": dict(spec.sampling),
    }


def configure(where: str, *layers: Mapping[str, Any]) -> TrainConfig:
    """A checked configuration from nested plain values; ``where`` is named in errors. Raises :class:`UsageError`."""
    return from_mapping(reduce(merge, named_stages(*layers)), where)


def named_stages(*layers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The layers under today's names, with ``stages.last`` under the name of the stage that it stands for."""
    modern = [old_config.modern(layer) for layer in layers]
    last = last_stage(*modern)
    return [{**layer, "stages": _renamed(layer["stages"], last)} if "stages" in layer else layer for layer in modern]


def last_stage(*layers: Mapping[str, Any]) -> str:
    """The stage that trains a finished model on, of the method that these settings name."""
    model = reduce(merge, layers).get("model")
    method = model.get("method") if isinstance(model, Mapping) else None
    known = ModelConfig(method) if isinstance(method, str) else ModelConfig()
    return METHODS[known.method].finetunes


def _renamed(stages: object, last: str) -> Any:
    if not isinstance(stages, Mapping) or LAST not in stages:
        return stages
    rest = {name: table for name, table in stages.items() if name != LAST}
    return merge({last: stages[LAST]}, rest)
