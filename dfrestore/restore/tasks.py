"""The tasks that have a command. A new task is one more line here, and a model in weights.toml."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "derain": "Take rain out of photos.",
        "denoise": "Take noise out of photos.",
        "deblur": "Take motion blur out of photos.",
    }
)
