"""The names of devices and precisions as users write them, checked without torch: what is here is another question."""

from __future__ import annotations

import re

from dfrestore.errors import UsageError, did_you_mean

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def parse_device(name: str) -> tuple[str, int]:
    """``cuda:1`` -> (``cuda``, 1); the kind is one of :data:`DEVICES`. Raises :class:`UsageError`."""
    match = re.fullmatch(r"(auto|cpu|mps|cuda)(?::(\d{1,4}))?", name)
    if match is None or (match[2] is not None and match[1] != "cuda"):
        # one letter from 'cpu', but not what is meant
        near = ": did you mean 'cuda'?" if name.lower().startswith("gpu") else did_you_mean(name, DEVICES)
        raise UsageError(f"unknown device '{name}'{near} (known: auto, cpu, cuda, cuda:N, mps)")
    return match[1], int(match[2] or 0)


def check_precision(name: str) -> None:
    """Raises :class:`UsageError` unless it is one of :data:`PRECISIONS`."""
    if name not in PRECISIONS:
        near = did_you_mean(name, PRECISIONS)
        raise UsageError(f"unknown precision '{name}'{near} (known: {', '.join(PRECISIONS)})")
