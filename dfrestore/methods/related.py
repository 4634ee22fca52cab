"""Related networks that are not supported: errors name them, so that users know what their file is."""

from __future__ import annotations

from dfrestore.methods.differences import Shapes


def related_network(shapes: Shapes) -> str | None:
    """The network that these tensors belong to, if it is one of these; else None."""
    if any(".kernel." in key for key in shapes):
        return None  # DiffIR's modulation: a network that is known
    if any(key.startswith("refinement.") for key in shapes):
        return "Restormer"
    if any(key.endswith("ffn.dwconv.weight") for key in shapes):
        return "a network with gated feed-forwards (Restormer's family)"
    return None
