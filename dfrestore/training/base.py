"""The file that a run builds on: found, checked, remembered, and left out of what the run writes.

Its tensors are in the network from the start. What no stage trains stays as the base has it, so the run's files hold
the rest alone, and name the base by its sha256.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfrestore.errors import StartError, UsageError, WeightsError
from dfrestore.methods import outline
from dfrestore.methods.differences import compare_tensors, in_short
from dfrestore.training.config import TrainConfig, spec_of
from dfrestore.training.toml import merge
from dfrestore.weights import ModelSpec, load_checkpoint, read_spec, resolve
from dfrestore.weights.base import find_base
from dfrestore.weights.checkpoint import sha256_of
from dfrestore.weights.fetch import fetch
from dfrestore.weights.hub import SCHEME, parse_address
from dfrestore.weights.registry import registered


@dataclass(frozen=True)
class RunBase:
    """A base, read. name: as headers call it. tensors: on the CPU, as stored."""

    name: str
    sha256: str
    path: Path
    spec: ModelSpec
    tensors: Mapping[str, Tensor]
    warnings: tuple[str, ...] = ()

    def is_found_by(self, file: Path) -> bool:
        """Whether the model ``file``, which builds on it, is loaded without being told where it is."""
        try:
            find_base(read_spec(file), file, offline=True)
        except WeightsError:
            return False
        return True


# -- finding it -----------------------------------------------------------------------------------------------------


def named_base(name: str) -> RunBase:
    """The base that ``name`` means: a registered name, a file, or an ``hf://`` address. Raises WeightsError."""
    found = resolve(name, restoring=False)
    digest = found.sha256 or sha256_of(found.path)
    entry = found.entry or registered(digest)
    label = entry.name if entry else found.label if found.label.startswith(SCHEME) else found.path.stem
    return _read(label, digest, found.path, found.warnings)


def base_of_model(spec: ModelSpec, file: Path, base_file: Path | None = None, known: RunBase | None = None) -> RunBase:
    """The base of the model ``file``, whose header, ``spec``, names one; see ``weights.base.find_base``.

    known: taken where it is this base. Raises :class:`WeightsError`.
    """
    assert spec.base is not None
    if known is not None and known.sha256 == spec.base.sha256:
        return replace(known, name=spec.base.name)
    path = find_base(spec, file, base_file=base_file)
    return _read(spec.base.name, spec.base.sha256, path)


def base_of_run(config: TrainConfig, folder: Path, base_file: Path | None = None) -> RunBase | None:
    """The base that the run in ``folder`` was begun on, wherever it is now; None where it has none.

    It is looked for where it was at the start of the run, then like that of a model. base_file: only that file is
    looked at. Raises :class:`WeightsError`, :class:`StartError`, and :class:`UsageError` for a base that does not fit.
    """
    model, file = config.model, folder / "config.toml"
    if not model.base:
        if base_file is not None:
            raise UsageError(f"{folder}: this run builds on no other file; leave out --base")
        return None
    spec = spec_of(config)
    if spec.base is None:
        raise StartError(f"{file}: model.base_sha256 is missing; a run cannot go on without what it was begun on")
    if base_file is None and model.base_file:
        with suppress(WeightsError):
            if sha256_of(model.base_file) == model.base_sha256:
                base_file = Path(model.base_file)
    try:
        path = find_base(spec, file, base_file=base_file)
    except WeightsError:
        if base_file is not None or not model.base.startswith(SCHEME):
            raise
        path = fetch(parse_address(model.base), sha256=model.base_sha256).path
    found = _read(model.base, model.base_sha256, path)
    require_fitting(config, found)
    return found


def _read(name: str, sha256: str, path: Path, warnings: tuple[str, ...] = ()) -> RunBase:
    tensors, spec = load_checkpoint(path, sha256=sha256)
    return RunBase(name, sha256, path, spec, tensors, warnings)


# -- a new run on it ------------------------------------------------------------------------------------------------


def with_base(config: TrainConfig, base: RunBase, kept: Mapping[str, Any] | None) -> TrainConfig:
    """The run on this base, which it remembers; the base's network and sampling take the place of a preset's.

    kept: what stays as it is of these two tables of ``[model]``; None: both, as a start model has them. Raises
    :class:`UsageError` where the base does not fit.
    """
    model, below = config.model, base.spec
    network = model.network if kept is None else kept.get("network", {})
    sampling = model.sampling
    if kept is not None:
        sampling = merge(merge(sampling, below.sampling), kept.get("sampling", {}))
    model = replace(
        model,
        network=merge(merge(model.network, below.network), network),
        sampling=sampling,
        base=base.name,
        base_sha256=base.sha256,
        base_file=str(base.path.absolute()),
    )
    config = replace(config, model=model)
    require_fitting(config, base)
    return config


def without_base(config: TrainConfig) -> TrainConfig:
    """The same run with random weights in its place."""
    return replace(config, model=replace(config.model, base="", base_sha256="", base_file=""))


def require_fitting(config: TrainConfig, base: RunBase) -> None:
    """Raise :class:`UsageError` where method, settings or tensors of the base are not those of the run's network."""
    model, below = config.model, base.spec
    if below.method != model.method:
        raise UsageError(f"{base.path}: is a {below.method} file, so it is no base for {model.method}")
    if below.base is not None:
        raise UsageError(f"{base.path}: builds on another file itself, {below.base.name}, so it is no base")
    for name, value in below.network.items():
        if merge(model.network, {name: value}) != model.network:
            here = model.network.get(name, "not set")
            raise UsageError(f"model.network.{name} is {here}, but {value} in the base, {base.path}")
    try:
        network = outline(spec_of(config)).state_dict()
    except WeightsError as error:
        raise UsageError(f"model: {error}") from error
    there = {name: tensor for name, tensor in network.items() if name in base.tensors}
    if differences := compare_tensors(base.tensors, there):
        raise UsageError(f"{base.path}: as a base it does not fit the configured network: {in_short(differences)}")


# -- what the run writes --------------------------------------------------------------------------------------------


def own_part(state: Mapping[str, Tensor], base: Mapping[str, Tensor], trained: Container[str]) -> dict[str, Tensor]:
    """The tensors of ``state`` that must be stored beside ``base``: those that it does not hold, and the ``trained``.

    Also those that a start model, or a buffer that follows the data, has made different from the base's.
    """
    return {
        name: tensor
        for name, tensor in state.items()
        if name not in base or name in trained or not torch.equal(tensor.cpu(), base[name].to(tensor.dtype))
    }
