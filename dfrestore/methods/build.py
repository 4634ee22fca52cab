"""From a spec or a checkpoint to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dfrestore.errors import WeightsError, did_you_mean
from dfrestore.methods import c2f_dft, detector, diffir, dtpm
from dfrestore.methods.differences import compare_tensors, in_short
from dfrestore.methods.method import Method, Network
from dfrestore.weights import load_checkpoint, resolve
from dfrestore.weights.base import with_base
from dfrestore.weights.checkpoint import as_float32
from dfrestore.weights.spec import ModelSpec

METHODS: dict[str, Method] = {
    method.name: method for method in (c2f_dft.METHOD, diffir.METHOD, dtpm.METHOD, detector.METHOD)
}


def build_network(spec: ModelSpec) -> Network:
    """An untrained network of the shape that ``spec`` describes. Raises :class:`WeightsError`."""
    return _built(spec, lambda method: method.build(spec))


def build_for_training(spec: ModelSpec) -> Network:
    """The network that training holds: also what only training needs. Raises :class:`WeightsError`."""
    return _built(spec, lambda method: method.for_training(spec))


def outline(spec: ModelSpec) -> Network:
    """The network without memory for its parameters: what it takes and makes. Raises :class:`WeightsError`."""
    with torch.device("meta"):
        return build_network(spec)


def stored_names(spec: ModelSpec) -> list[str]:
    """The names of the tensors in a file of ``spec``. Raises :class:`WeightsError`."""
    return list(outline(spec).state_dict())


def _built(spec: ModelSpec, build: Callable[[Method], Network]) -> Network:
    if spec.method not in METHODS:
        raise WeightsError(
            f"unknown method '{spec.method}'{did_you_mean(spec.method, METHODS)} (known: {', '.join(METHODS)})"
        )
    try:
        return build(METHODS[spec.method])
    except (ValueError, TypeError, OverflowError) as error:
        raise WeightsError(f"impossible network configuration: {error}") from error


def load_network(
    name_or_file: str | Path | None, *, task: str | None = None, base: str | Path | None = None
) -> tuple[Network, ModelSpec]:
    """A model by name (``derain/compact``; None: the default of ``task``), ``hf://`` address or file, in eval mode.

    Returns (network, spec). A C2F-DFT ``network(y, x_t, t)`` takes y and x_t (B, 3, H, W) in [-1, 1] and t (B,), and
    returns the prediction that ``spec.sampling["prediction"]`` names. A DiffIR ``network(lq, z_T)`` takes lq (B, 3 or
    4, H, W) in [0, 1] and z_T (B, ``network.config.code``), and returns the picture (B, 3, sH, sW), unclamped. A DTPM
    ``network(y, x_t, t, y_eps)`` takes pictures (B, 3, H, W) in [-1, 1], the noised residual x_t and t (B,); y_eps is
    ``network.predictor(y)``, and it returns the prediction of the residual y_clean - y_eps. A detector
    ``network(*network.look(pictures))`` takes pictures (B, 3, H, W) in [0, 1] and returns severities (B, kinds) in
    [0, 1].
    Parameters are float32; buffers of whole numbers keep their type. base: the file that the model builds on; None: it
    is searched by its sha256. Raises :class:`UsageError` for what does not exist, :class:`WeightsError` for what is not
    to be had here.
    """
    resolved = resolve(name_or_file, task=task, restoring=False)
    tensors, spec = load_checkpoint(resolved.path, sha256=resolved.entry.sha256 if resolved.entry else None)
    if spec.base is not None:
        tensors = with_base(tensors, spec, resolved.path, base_file=None if base is None else Path(base))
    network = empty_network(spec, tensors, str(resolved.path))
    widened = as_float32(tensors)
    network.load_state_dict(widened, strict=True, assign=True)
    if any(buffer.is_meta for buffer in network.buffers()):  # not stored: computed when the network is built
        with torch.random.fork_rng(devices=[]):
            network = build_network(spec)
        network.load_state_dict(widened, strict=True, assign=True)
    return network.requires_grad_().eval(), spec


def empty_network(spec: ModelSpec, tensors: Mapping[str, Tensor], name: str) -> Network:
    """The network of ``spec``, its parameters without memory, once they are known to match ``tensors``.

    A small file can claim a network of any size: so memory is taken only for the tensors that it holds. Raises
    :class:`WeightsError` that names the file ``name`` and the first tensors that differ.
    """
    try:
        network = outline(spec)
    except WeightsError as error:
        raise WeightsError(f"{name}: {error}") from error
    if differences := compare_tensors(tensors, network.state_dict()):
        raise WeightsError(f"{name}: tensors do not fit the configuration in the header: {in_short(differences)}")
    return network
