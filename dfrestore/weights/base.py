"""The file that a checkpoint builds on: found by its sha256, wherever it lies on this machine.

A small file may hold a task's own tensors and name the file that holds the rest (``base`` in its header). A base is
never taken by its name alone: another file under the same name would give another picture, in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.errors import UsageError, WeightsError
from dfrestore.weights.checkpoint import load_checkpoint, sha256_of
from dfrestore.weights.entries import ModelEntry, Registry
from dfrestore.weights.fetch import cached_blobs, fetch
from dfrestore.weights.header import read_spec
from dfrestore.weights.hub import parse_address
from dfrestore.weights.registry import load_registry
from dfrestore.weights.resolve import Resolved
from dfrestore.weights.spec import Base, ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


def find_base(
    spec: ModelSpec,
    file: Path,
    *,
    base_file: Path | None = None,
    registry: Registry | None = None,
    offline: bool = False,
) -> Path:
    """The base of the checkpoint ``file``; its content has the sha256 that the header, ``spec``, names.

    With ``base_file``, only that file is looked at. Else the search goes through the registry's files on this machine,
    the cache of downloads, the folder of ``file``, and the registry's downloads unless ``offline``. Raises
    :class:`WeightsError` for a wrong ``base_file``, or when none is found; the message then names a file of the same
    name that is another one; :class:`UsageError` for a ``base_file`` that does not exist.
    """
    base = spec.base
    if base is None:
        raise ValueError(f"{file} builds on no other file")
    if base_file is not None:
        if not base_file.exists():
            raise UsageError(f"{base_file}: no such file")
        if (digest := sha256_of(base_file)) != base.sha256:
            raise WeightsError(
                f"{base_file}: is not the base of {file} (its sha256 is {digest[:16]}..., needed is {_named(base)})"
            )
        return base_file
    registry = load_registry() if registry is None else registry
    same = registry.of_content(base.sha256)
    for path in _on_this_machine(spec, base, file, same):
        if sha256_of(path) == base.sha256:
            return path
    for entry in same:
        if entry.local_path is None:
            return fetch(parse_address(entry.source), sha256=base.sha256, size=entry.size, offline=offline).path
    raise WeightsError(
        f"{file}: builds on {_named(base)}, which is not on this machine{_other(base, file, registry)}; "
        f"put that file into {file.parent} or give --base FILE"
    )


def on_base(model: Resolved, base_file: Path | None = None, *, offline: bool = False) -> Resolved:
    """``model`` with its base (see :func:`find_base`), where it builds on one.

    Raises :class:`UsageError` for the ``base_file`` of a model that builds on none.
    """
    spec = read_spec(model.path)
    if spec.base is not None:
        return replace(model, base=find_base(spec, model.path, base_file=base_file, offline=offline))
    if base_file is not None:
        raise UsageError(f"{model.label} builds on no other file; leave out --base")
    return model


def check_entry(entry: ModelEntry, spec: ModelSpec, registry: Registry) -> None:
    """Raise :class:`WeightsError` where the registry names another base for a model than its header, ``spec``."""
    if not entry.base:
        return
    if spec.base is None or registry.models[entry.base].sha256 not in (None, spec.base.sha256):
        needed = _named(spec.base) if spec.base else "no other file"
        raise WeightsError(f"{entry.registry}: says that '{entry.name}' builds on '{entry.base}', its file: {needed}")


def with_base(
    tensors: Mapping[str, Tensor], spec: ModelSpec, file: Path, *, base_file: Path | None = None, offline: bool = False
) -> dict[str, Tensor]:
    """``tensors`` of the checkpoint ``file`` and those of its base (see :func:`find_base`), in one map.

    A tensor of the file replaces the base's of the same name: a part that was trained on. Raises :class:`WeightsError`
    where the base is missing, or of another method.
    """
    assert spec.base is not None
    path = find_base(spec, file, base_file=base_file, offline=offline)
    below, below_spec = load_checkpoint(path, sha256=spec.base.sha256)
    if below_spec.method != spec.method:
        raise WeightsError(f"{path}: is a {below_spec.method} file, but {file}, which builds on it, is {spec.method}")
    return {**below, **tensors}


def _on_this_machine(spec: ModelSpec, base: Base, file: Path, entries: list[ModelEntry]) -> Iterator[Path]:
    """Files that may be the base."""
    yield from (path for entry in entries if (path := entry.local_path) is not None and path.is_file())
    yield from cached_blobs(base.sha256)
    yield from (path for path in _checkpoints_beside(file) if _could_be_base(path, spec))


def _checkpoints_beside(file: Path) -> list[Path]:
    """The other checkpoints in the folder of ``file``."""
    return [path for path in sorted(file.parent.glob("*.safetensors")) if path.is_file() and path.name != file.name]


def _could_be_base(path: Path, spec: ModelSpec) -> bool:
    """Whether it is worth the time to read the whole file for its sha256."""
    try:
        found = read_spec(path)
    except WeightsError:
        return False
    return found.method == spec.method and found.base is None


def _other(base: Base, file: Path, registry: Registry) -> str:
    """A remark on a file that has the name of the base but other content; empty if there is none."""
    entry = registry.models.get(base.name)
    if entry is not None and entry.sha256 is not None:
        return f" ('{base.name}' of {entry.registry} is another file, sha256 {entry.sha256[:16]}...)"
    name = base.name.replace("/", "-")
    for path in _checkpoints_beside(file):
        if path.stem in (name, base.name.rpartition("/")[2]):
            return f" ({path} is another file, sha256 {sha256_of(path)[:16]}...)"
    return ""


def _named(base: Base) -> str:
    return f"'{base.name}', sha256 {base.sha256[:16]}..."
