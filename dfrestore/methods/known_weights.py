"""Weights of well-known networks from the user's files: whatever their container and prefix, checked against shapes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from dfrestore.errors import WeightsError
from dfrestore.methods.differences import Shapes, compare_tensors, in_short
from dfrestore.weights.checkpoint import read_bytes
from dfrestore.weights.containers import find_state_dicts
from dfrestore.weights.fetch import fetch
from dfrestore.weights.header import header_of
from dfrestore.weights.hub import SCHEME, parse_address
from dfrestore.weights.unpickle import read_pth

# What batch norms store besides what they compute with: counters, and sums of training on several GPUs.
_BOOKKEEPING = ("num_batches_tracked", "_tmp_running_mean", "_tmp_running_var", "_running_iter")
_CLASSIFIER = "fc."


def local_file(name: str) -> Path:
    """The file of this name; one on a hub (``hf://``) is fetched. Raises :class:`WeightsError`."""
    return fetch(parse_address(name)).path if name.startswith(SCHEME) else Path(name)


def known_weights(path: str | Path, shapes: Shapes, what: str, file: str) -> dict[str, Tensor]:
    """The float32 tensors of ``shapes`` in a ``.pth`` or ``.safetensors`` file, on the CPU.

    Names may have a prefix, and other networks may be in the file; a classifier is left out. what, file: the network
    and the usual name of its file, for errors. Raises :class:`WeightsError`.
    """
    tensors, differences = _nearest(_read(Path(path)), str(path), shapes)
    if differences:
        alike = 2 * len(tensors) > len(shapes)
        cause = in_short(differences) if alike else "its tensors have other names"
        raise WeightsError(f"{path}: not the weights of {what} ({cause}); give {file}")
    if not all(_usable(name, tensor) for name, tensor in tensors.items()):
        raise WeightsError(f"{path}: its weights of {what} are not finite (NaN or infinity); get {file} again")
    return tensors


def _usable(name: str, tensor: Tensor) -> bool:
    """Finite, and where it is the variance of a batch norm, its root as well."""
    least = 0 if name.endswith("running_var") else -torch.inf
    return bool(torch.isfinite(tensor).all()) and bool((tensor >= least).all())


def _read(path: Path) -> Any:
    if path.suffix.lower() != ".safetensors":
        return read_pth(path)
    data = read_bytes(path)
    header_of(io.BytesIO(data), len(data), str(path))  # whose errors name the file
    return safetensors.torch.load(data)


def _nearest(content: object, name: str, shapes: Shapes) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that differ least from ``shapes``, float32 and without the prefix of their names; the differences."""
    best: tuple[dict[str, Tensor], list[str]] | None = None
    for state in find_state_dicts(content, name):
        for prefix in _prefixes(state.tensors, next(iter(shapes))):
            found = {key: tensor for key, tensor in state.tensors.items() if _belongs(key, prefix)}
            expected = {f"{prefix}{key}": torch.empty(shape, device="meta") for key, shape in shapes.items()}
            differences = compare_tensors(found, expected)
            if best is None or len(differences) < len(best[1]):
                best = {key.removeprefix(prefix): tensor for key, tensor in found.items()}, differences
    assert best is not None  # there is a state dict, and it has a prefix
    tensors, differences = best
    return {key: tensor.detach().float().clone() for key, tensor in tensors.items() if key in shapes}, differences


def _prefixes(tensors: Mapping[str, Tensor], first: str) -> list[str]:
    """All that can stand before the name of the first tensor; nothing, where it does not occur."""
    starts = [name.removesuffix(first) for name in tensors if name.endswith(first)]
    return [start for start in starts if not start or start.endswith(".")] or [""]


def _belongs(name: str, prefix: str) -> bool:
    inner = name.removeprefix(prefix)
    bookkeeping = inner.rpartition(".")[2] in _BOOKKEEPING
    return name.startswith(prefix) and not bookkeeping and not inner.startswith(_CLASSIFIER)
