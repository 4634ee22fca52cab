"""What a folder's record says of the files in it, before anything is planned."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

NAME = ".dfrestore.jsonl"
"""Of the record."""


def results_beside(folder: Path, pictures: Iterable[Path]) -> frozenset[Path]:
    """Those of the pictures of a folder that its record lists as made from another one of them, beside it.

    So a result is known whatever ``--name`` called it.
    """
    places = {os.path.abspath(path): path for path in pictures}  # noqa: PTH100 (keeps links)
    found = set()
    for line in _lines(folder / NAME):
        try:
            item = json.loads(line)
            source, result = str(item["input"]), os.path.abspath(folder / str(item["output"]))  # noqa: PTH100
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if source != result and {source, result} <= places.keys() and Path(source).parent == Path(result).parent:
            found.add(places[result])
    return frozenset(found)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines() if path.is_file() else []  # a pipe of that name would never end
    except OSError:
        return []
