"""Reading a registry's file, ``weights.toml``: an unknown key, a wrong type or a path with '..' is an error that names
the file and the line. Nothing is fetched or opened here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfrestore.errors import UsageError, WeightsError, did_you_mean
from dfrestore.weights.entries import ModelEntry, Original, Registry, Scores
from dfrestore.weights.hub import parse_address

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9._-]*")
_SHORT = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TASK = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse_registry(path: Path, *, packaged: bool = False, folder: Path | None = None) -> Registry:
    """Read and check one registry file. ``folder``: for bundled files and relative paths (the file's own if None).

    Raises :class:`WeightsError` that names the file and, where it can be told, the line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path}: not UTF-8 text; correct or delete it") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    return parse_text(text, path, packaged=packaged, folder=folder)


def parse_text(text: str, path: Path, *, packaged: bool = False, folder: Path | None = None) -> Registry:
    """:func:`parse_registry` for text that is (or will be) the content of ``path``."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also of numbers with thousands of digits
        raise WeightsError(f"{path}: not valid TOML: {error}; correct or delete it") from error
    try:
        _check_keys(document, ("models", "defaults", "originals", "aliases"), ())
        context = _Context(path, packaged, folder or path.parent)
        models = {
            name: _entry(name, table, context) for name, table in _table(document.get("models", {}), "models").items()
        }
        defaults = {
            task: _default(task, name) for task, name in _table(document.get("defaults", {}), "defaults").items()
        }
        originals = {
            name: _original(name, table) for name, table in _table(document.get("originals", {}), "originals").items()
        }
        aliases = {alias: _alias(alias, name) for alias, name in _table(document.get("aliases", {}), "aliases").items()}
    except _BadKey as error:
        line = _line_of(text, error.keys)
        where = f", line {line}" if line else ""
        raise WeightsError(f"{path}{where}: {error}") from error
    return Registry(models, defaults, originals, aliases)


@dataclass(frozen=True)
class _Context:
    path: Path
    packaged: bool
    folder: Path


class _BadKey(Exception):
    """A key that is wrong; ``keys`` is its place in the document, for the line in the message."""

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


def _entry(name: str, value: object, context: _Context) -> ModelEntry:
    place = ("models", name)
    if not _NAME.fullmatch(name):
        raise _BadKey(f"model name '{name}' is not TASK/NAME in small letters", *place)
    table = _table(value, f"model '{name}'", *place)
    _check_keys(table, tuple(_FIELDS), place)
    for key in ("task", "method", "source"):
        if key not in table:
            raise _BadKey(f"model '{name}' lacks '{key}'", *place)
    fields = {key: _FIELDS[key](item, key, (*place, key)) for key, item in table.items()}
    if fields["task"] != name.partition("/")[0]:
        raise _BadKey(f"model '{name}' has the task '{fields['task']}'", *place, "task")
    _check_source(name, fields, context)
    return ModelEntry(name=name, folder=context.folder, registry=context.path, packaged=context.packaged, **fields)


def _check_source(name: str, fields: Mapping[str, Any], context: _Context) -> None:
    source: str = fields["source"]
    place = ("models", name, "source")
    if source.startswith("hf://"):
        try:
            address = parse_address(source)
        except UsageError as error:
            raise _BadKey(str(error), *place) from error
        if address.revision is None or "sha256" not in fields:
            raise _BadKey(f"model '{name}' is a download: it needs '@REVISION' in its source and a sha256", *place)
    elif source.startswith("bundled:"):
        file = source.removeprefix("bundled:")
        if not _is_plain_file_name(file):
            raise _BadKey(f"model '{name}': bundled file '{file}' is not a plain file name", *place)
        if context.packaged and "sha256" not in fields:
            raise _BadKey(f"model '{name}' is bundled: it needs a sha256", *place)
        if not context.packaged:
            raise _BadKey(f"model '{name}': 'bundled:' is for the package's own registry; give a path", *place)
    elif context.packaged:
        raise _BadKey(f"model '{name}': source '{source}' is neither bundled:FILE nor hf://...", *place)
    elif "\0" in source or ".." in re.split(r"[/\\]", source):
        raise _BadKey(f"model '{name}': path '{source}' holds '..', give it without", *place)


def _is_plain_file_name(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors", name))


def _default(task: str, value: object) -> str:
    if not _TASK.fullmatch(task) or not isinstance(value, str):
        raise _BadKey(f"default of '{task}' is not the name of a model", "defaults", task)
    name = value if "/" in value else f"{task}/{value}"
    if not _NAME.fullmatch(name) or name.partition("/")[0] != task:
        raise _BadKey(f"default of '{task}' is '{value}', not the name of a model for {task}", "defaults", task)
    return name


def _original(name: str, value: object) -> Original:
    place = ("originals", name)
    if not _NAME.fullmatch(name):
        raise _BadKey(f"original '{name}' is not TASK/METHOD in small letters", *place)
    table = _table(value, f"original '{name}'", *place)
    keys = ("file", "url", "project", "licence")
    _check_keys(table, keys, place)
    for key in keys:
        if not isinstance(table.get(key), str) or not table[key].strip():
            raise _BadKey(f"original '{name}' lacks '{key}', or it is not text", *place, key)
    for key in ("url", "project"):
        if not table[key].startswith("https://"):
            raise _BadKey(f"original '{name}': {key} '{table[key]}' is not an https:// address", *place, key)
    return Original(name=name, **table)


def _alias(alias: str, name: object) -> str:
    if not _SHORT.fullmatch(alias) or not isinstance(name, str) or not _SHORT.fullmatch(name):
        raise _BadKey(f"alias '{alias}' is not one short name for another", "aliases", alias)
    return name


def _string(value: object, key: str, place: tuple[str, ...]) -> str:
    if not isinstance(value, str) or (key in ("task", "method", "source") and not value):
        raise _BadKey(f"'{key}' is not text", *place)
    return value


def _digest(value: object, key: str, place: tuple[str, ...]) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value.lower()):
        raise _BadKey(f"'{key}' is not 64 hexadecimal digits", *place)
    return value.lower()


def _bytes(value: object, key: str, place: tuple[str, ...]) -> int:
    if type(value) is not int or value <= 0:
        raise _BadKey(f"'{key}' is not a number of bytes", *place)
    return value


def _number(value: object, key: str, place: tuple[str, ...]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise _BadKey(f"'{key}' is not a number", *place)
    return value


def _base(value: object, key: str, place: tuple[str, ...]) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _BadKey(f"'{key}' is not the full name of a model, like texture/compact", *place)
    return value


def _scale(value: object, key: str, place: tuple[str, ...]) -> int:
    if type(value) is not int or not 1 <= value <= 8:
        raise _BadKey(f"'{key}' is not a whole number from 1 to 8", *place)
    return value


def _scores(value: object, key: str, place: tuple[str, ...]) -> Scores:
    return {name: _rows(rows, name, (*place, name)) for name, rows in _table(value, f"'{key}'", *place).items()}


def _rows(value: object, name: str, place: tuple[str, ...]) -> tuple[Mapping[str, Any], ...]:
    rows = value if isinstance(value, list) else [value]
    for row in rows:
        if not isinstance(row, dict) or not all(isinstance(item, str | int | float) for item in row.values()):
            raise _BadKey(f"scores '{name}' are not a table of numbers and texts", *place)
        if not isinstance(row.get("command"), str):
            raise _BadKey(f"scores '{name}' lack the command that made them", *place)
    return tuple(rows)


_FIELDS: dict[str, Callable[[object, str, tuple[str, ...]], Any]] = {
    "task": _string,
    "method": _string,
    "source": _string,
    "size": _bytes,
    "sha256": _digest,
    "licence": _string,
    "data": _string,
    "scores": _scores,
    "note": _string,
    "minutes": _number,
    "command": _string,
    "scale": _scale,
    "base": _base,
}


def _table(value: object, what: str, *place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _BadKey(f"{what} is not a table", *(place or (what,)))
    return value


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], place: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            where = f" in {place[0].removesuffix('s')} '{place[1]}'" if place else ""
            raise _BadKey(f"unknown key '{key}'{where}{did_you_mean(key, known)}", *place, key)


def _line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """The line (from 1) where the deepest of ``keys`` that can be found is written; None when none can.

    tomllib keeps no positions, so this looks for the headers and keys as people write them.
    """
    found, start = None, 0
    lines = text.splitlines()
    for key in keys:
        pattern = re.compile(rf"""(^|[\[.\s{{,])["']?{re.escape(key)}["']?\s*([=.\]])""")
        for number in range(start, len(lines)):
            if not lines[number].lstrip().startswith("#") and pattern.search(lines[number]):
                found, start = number + 1, number
                break
        else:
            break
    return found
