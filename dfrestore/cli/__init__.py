"""The command line: commands, their options, what is printed, exit codes.

No image, tensor or file logic lives here, and nothing heavy is imported before a command really starts.
"""

from __future__ import annotations

from typing import Any

from dfrestore.cli.entry import main

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    if name == "app":
        from dfrestore.cli.commands import build

        return build()
    raise AttributeError(f"module 'dfrestore.cli' has no attribute '{name}'")
