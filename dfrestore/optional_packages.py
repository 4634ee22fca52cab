"""The packages that only some work needs, by the extra of our own package that names them in its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "heic": ("pillow-heif",),
        "raw": ("rawpy",),
        "metrics": ("torchmetrics",),
        "tensorboard": ("tensorboard",),
    }
)
"""Extra -> its packages."""


def pip_install(*extras: str) -> str:
    """``pip install pillow-heif rawpy``: what a user types to get these extras, wherever this program came from."""
    return f"pip install {' '.join(_packages(extras))}"


def _packages(extras: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(package for extra in extras for package in PACKAGES[extra]))
