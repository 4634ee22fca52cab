"""Checkpoints: their headers, reading and writing them, the registry of names, fetching, unpickling.

Networks are built in ``methods/``, which alone knows the authors' tensor names.
"""

from dfrestore.weights.base import on_base
from dfrestore.weights.checkpoint import load_checkpoint, save_checkpoint
from dfrestore.weights.entries import ModelEntry, Registry
from dfrestore.weights.header import Header, read_header, read_spec
from dfrestore.weights.registry import load_registry
from dfrestore.weights.resolve import Resolved, resolve
from dfrestore.weights.spec import Base, ModelSpec

__all__ = [
    "Base",
    "Header",
    "ModelEntry",
    "ModelSpec",
    "Registry",
    "Resolved",
    "load_checkpoint",
    "load_registry",
    "on_base",
    "read_header",
    "read_spec",
    "resolve",
    "save_checkpoint",
]
