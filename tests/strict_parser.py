"""A parser of JSON as RFC 8259 has it: no NaN, no Infinity, no key twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def parsed(text: str) -> Any:
    """The value of a text. ValueError for what Python's parser takes beyond the standard."""
    return json.loads(text, parse_constant=_refused, object_pairs_hook=_once)


def lines(text: str) -> list[Any]:
    """The value of each line."""
    return [parsed(line) for line in text.splitlines()]


def in_file(path: Path) -> list[Any]:
    """The value of each line of a ``.jsonl`` file, or the one of a ``.json`` file."""
    text = path.read_text("utf-8")
    return lines(text) if path.suffix == ".jsonl" else [parsed(text)]


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)
