"""Writing entries into the user's ``weights.toml``, leaving everything else in it as it was written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from dfrestore.errors import WeightsError
from dfrestore.weights.checkpoint import write_replacing
from dfrestore.weights.entries import ModelEntry
from dfrestore.weights.registry import config_folder, user_file
from dfrestore.weights.registry_file import parse_text

Value = str | int | float


def register(name: str, fields: Mapping[str, Value]) -> ModelEntry:
    """Add (or replace) the model ``name`` in the user's registry and return its entry as the registry reads it.

    The new text is parsed and checked before it replaces the old, atomically. Raises :class:`WeightsError`; a broken
    user file is not touched.
    """
    path = user_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_bytes().decode("utf-8-sig") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error
    before = parse_text(old, path).models
    new = _without(old, name)
    new = f"{new.rstrip()}\n\n" if new.strip() else ""
    new += table(name, fields)
    try:
        after = parse_text(new, path).models
    except WeightsError as error:
        raise WeightsError(f"{path}: '{name}' could not be added ({error}); add it by hand") from error
    others = {key: entry for key, entry in before.items() if key != name}
    if {key: entry for key, entry in after.items() if key != name} != others:
        raise WeightsError(
            f"{path}: its entries are not written one table each, so '{name}' could not be added; add it by hand"
        )
    try:
        data = new.encode("utf-8")
    except UnicodeEncodeError as error:
        raise WeightsError(f"{path}: the file name of '{name}' is not Unicode text") from error
    write_replacing(path, [data])
    return after[name]


def source_for(file: Path) -> str:
    """How ``file`` is written in the user's registry: relative if it lies below it, else absolute."""
    folder = config_folder().resolve()
    resolved = file.resolve()
    return resolved.relative_to(folder).as_posix() if resolved.is_relative_to(folder) else str(resolved)


def table(name: str, fields: Mapping[str, Value]) -> str:
    """A model's table as it stands in a ``weights.toml``."""
    lines = [f"[models.{_text(name)}]"]
    lines += [f"{key} = {_text(value) if isinstance(value, str) else value}" for key, value in fields.items()]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, except that TOML also escapes DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _without(text: str, name: str) -> str:
    """``text`` less the tables of the model ``name`` (its own and those below it)."""
    own = re.compile(rf"""\s*\[+\s*["']?models["']?\s*\.\s*["']{re.escape(name)}["']\s*[.\]]""")
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            inside = own.match(line) is not None
        if not inside:
            kept.append(line)
    return "".join(kept)
