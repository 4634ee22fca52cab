"""From an authors' file to a checkpoint: its weights are found, recognised, loaded strictly, run once, then written."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from dfrestore.errors import FileFailure, UsageError, WeightsError
from dfrestore.methods.build import METHODS, build_network
from dfrestore.methods.differences import Shapes, compare_tensors, in_short, shapes_of
from dfrestore.methods.method import Network, Recognised, restored_at_once
from dfrestore.methods.related import related_network
from dfrestore.tasks import TASKS, Task, any_of
from dfrestore.weights.checkpoint import as_float32, read_bytes, save_checkpoint, sha256_of
from dfrestore.weights.containers import StateDict, file_label, find_state_dicts, renamed
from dfrestore.weights.header import header_of
from dfrestore.weights.registry import load_registry
from dfrestore.weights.spec import ModelSpec
from dfrestore.weights.unpickle import read_pth

UNKNOWN_LICENCE = "unknown"


def convert_file(
    path: str | Path, out: str | Path, task: str, key: str | None = None, *, overwrite: bool = False
) -> ModelSpec:
    """Convert the PyTorch (or foreign safetensors) file ``path`` to the checkpoint ``out``; returns its spec.

    :func:`read_original`, then written. Raises as that does, and :class:`FileFailure` when ``out`` exists (without
    ``overwrite``), :class:`UsageError` for impossible names.
    """
    path, out = Path(path), Path(out)
    check_output(path, out, overwrite)
    tensors, spec = read_original(path, task, key)
    save_checkpoint(out, tensors, spec)
    return spec


def read_original(path: Path, task: str, key: str | None = None) -> tuple[dict[str, Tensor], ModelSpec]:
    """The weights in the authors' file ``path``, as a checkpoint of ours holds them, and its spec.

    key: which weights of the file (``params``, ``state_dict.generator``), None for the likeliest that a method knows.
    Floating point becomes float32, other types are kept. Raises :class:`WeightsError` unless the weights fit a network
    strictly and that network computes, :class:`UsageError` for a task that this network cannot be for.
    """
    states = find_state_dicts(_read(path), str(path), key)
    state, method, found = _recognise(states, str(path))
    tensors = _as_float32(renamed(state.tensors, found.rename, str(path)))
    spec = ModelSpec(
        task=task,
        method=method,
        network=found.network,
        sampling=found.sampling,
        default_steps=found.default_steps,
        stage=found.stage,
        licence=_licence(task, method, found.project),
        source=f"{file_label(path, state.key)}, sha256 {sha256_of(path)}; {found.project}",
    )
    network = build_network(spec)
    _check_task(task, network, str(path))
    _prove(network, tensors, str(path))
    return tensors, spec


def _recognise(states: Sequence[StateDict], name: str) -> tuple[StateDict, str, Recognised]:
    """The first of ``states`` that a method knows, the method's name, and what it is.

    Weights that are nearly a method's network end the search: later ones are less likely to be the wanted ones.
    """
    for state in states:
        shapes, nearly = shapes_of(state.tensors), None
        for method in METHODS.values():
            try:
                found = method.read(shapes, name)
            except WeightsError as error:
                nearly = nearly or error
                continue
            if found is not None:
                return state, method.name, found
        if nearly is not None:
            raise _of_related_network(shapes, name) or nearly
    for state in states:
        if other := _of_related_network(shapes_of(state.tensors), name):
            raise other
    begins = ", ".join(f"'{key[:60]}' {list(shape)}" for key, shape in list(shapes_of(states[0].tensors).items())[:3])
    known = ", ".join(key for key, method in METHODS.items() if any(stage.restores for stage in method.stages))
    raise WeightsError(f"{name}: not the weights of a network that is known ({known}); its first tensors are {begins}")


def _of_related_network(shapes: Shapes, name: str) -> WeightsError | None:
    other = related_network(shapes)
    return WeightsError(f"{name}: these are weights of {other}, which is not supported yet") if other else None


def _licence(task: str, method: str, project: str) -> str:
    """The authors' licence as the registry states it for this model, else for another of the same project."""
    originals = load_registry(user=False).originals
    known = [originals[f"{task}/{method}"]] if f"{task}/{method}" in originals else []
    known += [original for original in originals.values() if original.project == project]
    return known[0].licence if known else UNKNOWN_LICENCE


def _check_task(task: str, network: Network, name: str) -> None:
    """Raise :class:`UsageError` where the network takes a mask or enlarges, and the task does not, or the reverse."""

    def fits(known: Task) -> bool:
        return known.mask == network.mask and (known.scale or network.scale == 1)

    if task not in TASKS or fits(TASKS[task]):
        return
    kind = (
        "fills holes" if network.mask else f"enlarges {network.scale} times" if network.scale > 1 else "takes no mask"
    )
    fitting = [known.name for known in TASKS.values() if known.restores and fits(known)]
    way_out = f"; give --task {any_of(fitting)}" if fitting else ""
    raise UsageError(f"{name}: this network {kind}, so it is not for {task}{way_out}")


def check_output(path: Path, out: Path, overwrite: bool) -> None:
    """Raise :class:`UsageError` or :class:`FileFailure` where ``out`` cannot be the result of converting ``path``."""
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: the output of a conversion is a .safetensors file")
    if out.exists():
        if path.exists() and out.samefile(path):
            raise UsageError(f"{out}: input and output are the same file")
        if not overwrite:
            raise FileFailure(f"{out}: exists already; give --overwrite or another name")
    if not out.parent.is_dir():
        raise UsageError(f"{out}: there is no folder {out.parent}")


def _read(path: Path) -> Any:
    """The content of a PyTorch file, or the tensors of a safetensors file without our metadata."""
    if path.suffix.lower() != ".safetensors":
        return read_pth(path)
    data = read_bytes(path)
    if "dfrestore" in header_of(io.BytesIO(data), len(data), str(path)).metadata:
        raise UsageError(f"{path}: is a checkpoint of dfrestore already")
    return safetensors.torch.load(data)


def _as_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies, floating point as float32; the file's own storages may be shared or of another type."""
    own = {key: tensor.detach().contiguous().clone() for key, tensor in tensors.items()}
    return as_float32(own)


def _prove(network: Network, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load strictly and run once on a small picture: finite, and not the same value everywhere."""
    if differences := compare_tensors(tensors, network.state_dict()):
        raise WeightsError(f"{name}: the weights do not fit the network: {in_short(differences)}")
    network.load_state_dict(dict(tensors), strict=True)
    side = 2 * network.multiple
    picture = torch.rand((4 if network.mask else 3, side, side), generator=torch.Generator().manual_seed(0))
    picture[3:].round_()
    with torch.inference_mode():
        output = restored_at_once(network.eval(), picture, network.steps[0])
    if not bool(torch.isfinite(output).all()) or float(output.std()) == 0:
        raise WeightsError(f"{name}: the network computes nothing usable with these weights; nothing was written")
