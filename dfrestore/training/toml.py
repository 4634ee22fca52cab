"""The codec of a run's settings: from plain values to a checked configuration, and to TOML.

Types are checked here, strictly: a number is no boolean, and text is no number. Ranges are checked by the dataclasses
of :mod:`.config`.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Literal, TypeVar

import torch

from dfrestore.errors import UsageError, WeightsError, did_you_mean
from dfrestore.methods import build_for_training
from dfrestore.training.config import (
    ModelConfig,
    StageConfig,
    TrainConfig,
    require_stage,
    spec_of,
    stage_kinds,
)

T = TypeVar("T")


def from_mapping(values: Mapping[str, Any], where: str) -> TrainConfig:
    """A checked configuration from plain values; ``where`` is named in errors. Raises :class:`UsageError`."""
    model = _table(ModelConfig, _mapping(values.get("model", {}), f"{where}: model"), f"{where}: model.")
    stages = _mapping(values.get("stages", {}), f"{where}: stages")
    built: dict[str, Any] = {
        "model": model,
        "stages": {
            name: _stage(name, table, model.method, f"{where}: stages.{name}") for name, table in stages.items()
        },
    }
    rest = {key: value for key, value in values.items() if key not in built}
    config = TrainConfig(**_values(TrainConfig, rest, f"{where}: "), **built)
    try:
        with torch.device("meta"):  # without memory, only to check that the method accepts these settings
            build_for_training(spec_of(config))
    except WeightsError as error:
        raise UsageError(f"{where}: model: {error}") from error
    return config


def to_toml(config: TrainConfig) -> str:
    """The resolved configuration as TOML that :func:`from_mapping` reads back to an equal one."""
    table = asdict(config)
    for stage in table["stages"].values():
        stage.update(stage.pop("own"))  # in one table, as they are read
    lines: list[str] = []
    _write_table(table, "", lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``, table by table."""
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out


# -- reading ------------------------------------------------------------------------------------------------------


def _stage(name: str, table: object, method: str, where: str) -> StageConfig:
    require_stage(name, method)
    values = _mapping(table, where)
    kind = stage_kinds(method)[name]
    own = [f.name for f in fields(typing.cast(Any, kind))]
    common = [f.name for f in fields(StageConfig) if f.name != "own"]
    _require_known(values, [*common, *own], where)
    try:
        settings = _table(kind, {key: value for key, value in values.items() if key in own}, f"{where}.")
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
    shared = {key: value for key, value in values.items() if key in common}
    return StageConfig(**_values(StageConfig, shared, f"{where}."), own=settings)


def _table(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    return cls(**_values(cls, values, where))


def _values(cls: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of ``cls`` that ``values`` holds, each as its type; ``where`` goes before a field's name."""
    hints = typing.get_type_hints(cls)
    _require_known(values, [f.name for f in fields(cls)], where.rstrip(" .:"))
    return {key: _convert(hints[key], value, f"{where}{key}") for key, value in values.items()}


def _require_known(values: Mapping[str, Any], known: list[str], where: str) -> None:
    for key in values:
        if key not in known:
            raise UsageError(f"{where}: unknown key '{key}'{did_you_mean(key, known)} (known: {', '.join(known)})")


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the field's type."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _table(typing.cast(type[Any], hint), _mapping(value, where), f"{where}.")
    if origin is Literal:
        if value not in choices:
            raise UsageError(f"{where}: {value!r} is not one of {', '.join(map(repr, choices))}")
        return value
    if origin is tuple:
        return _tuple(choices, value, where)
    if origin is dict:
        return {key: _plain(item, f"{where}.{key}") for key, item in _mapping(value, where).items()}
    kinds: tuple[type, ...] = choices if isinstance(hint, types.UnionType) else (hint,)
    kind = next((kind for kind in kinds if _is(value, kind)), None)
    if kind is None:
        raise UsageError(f"{where}: {value!r} is not of type {' or '.join(kind.__name__ for kind in kinds)}")
    return kind(_number_in_range(value, where))


def _tuple(choices: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    """A list, or one value for a list of one."""
    items = value if isinstance(value, list | tuple) else [value]
    if choices[-1] is not Ellipsis and len(items) != len(choices):
        raise UsageError(f"{where}: {list(items)} is not a list of {len(choices)}")
    return tuple(_convert(choices[0], item, where) for item in items)


def _plain(value: Any, where: str) -> Any:
    """A method's own setting, which the method checks: numbers, text, and lists and tables of them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    if not isinstance(value, bool | int | float | str):
        raise UsageError(f"{where}: {value} is neither a number nor text, nor a list or table of them")
    return _number_in_range(value, where)


def _number_in_range(value: Any, where: str) -> Any:
    if isinstance(value, int | float) and not abs(value) < 2**63:  # nor NaN
        raise UsageError(f"{where}: {value!r} is too large, or not a number")
    return value


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} is a table, not {value!r}")
    return value


def _is(value: object, kind: type) -> bool:
    accepted = (int, float) if kind is float else kind
    return isinstance(value, bool) == (kind is bool) and isinstance(value, accepted)


# -- writing ------------------------------------------------------------------------------------------------------


def _write_table(table: Mapping[str, Any], prefix: str, lines: list[str]) -> None:
    for key, value in table.items():
        if not isinstance(value, Mapping):
            lines.append(f"{_toml_key(key)} = {_toml_value(value)}")
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{prefix}{_toml_key(key)}"
            if not value or not all(isinstance(item, Mapping) for item in value.values()):
                lines.append(f"\n[{name}]")
            _write_table(value, f"{name}.", lines)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else str(_toml_value(key))


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):  # JSON's escapes are TOML's, except that TOML also escapes DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):  # inside a list
        return "{" + ", ".join(f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    return repr(value)
