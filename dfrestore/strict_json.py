"""JSON that every parser reads: numbers that JSON does not have become null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(value: Any, *, indent: int | None = None, ascii: bool = True) -> str:
    """``value`` as JSON text. ascii: escape all other characters; else only names that are not Unicode are escaped.

    NaN and infinities become null, wherever they stand.
    """
    finite = _finite(value)
    text = json.dumps(finite, indent=indent, ensure_ascii=ascii, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, from the name of a file
        return json.dumps(finite, indent=indent, allow_nan=False)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
