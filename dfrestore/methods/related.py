"""Networks that are related to ours and often taken for them: named in an error, so that one knows what the file is."""

from __future__ import annotations

from dfrestore.methods.method import Shapes


def related_network(shapes: Shapes) -> str | None:
    """The name of the network that these tensors belong to, None when it is none that we know but do not build."""
    if any(".attn.kernel." in key or ".ffn.kernel." in key for key in shapes):
        return "DiffIR"
    if any(key.startswith("refinement.") for key in shapes):
        return "Restormer"
    if any(key.endswith("ffn.dwconv.weight") for key in shapes):
        return "a network with gated feed-forwards (Restormer's family)"
    return None
