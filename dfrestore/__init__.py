"""Takes rain, noise, blur and JPEG artefacts out of photos with few-step diffusion Transformers.

``Restorer`` is for pictures, ``Chain`` for several tasks in turn, ``Auto`` finds out which, ``load_network`` is for
research; all are imported on first use, so that ``import dfrestore`` stays instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfrestore.version import __version__

if TYPE_CHECKING:
    from dfrestore.methods import load_network
    from dfrestore.restore import Auto, Chain, Restorer

__all__ = ["Auto", "Chain", "Restorer", "__version__", "load_network"]


def __getattr__(name: str) -> Any:
    if name in ("Auto", "Chain", "Restorer"):
        from dfrestore import restore

        return getattr(restore, name)
    if name == "load_network":
        from dfrestore.methods import load_network

        return load_network
    raise AttributeError(f"module 'dfrestore' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
