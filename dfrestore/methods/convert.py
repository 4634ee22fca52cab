"""From an authors' file to a checkpoint of ours: found, recognised, loaded strictly, proved, then written."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfrestore.errors import FileFailure, UsageError, WeightsError
from dfrestore.methods.build import Network, build_network
from dfrestore.methods.c2f_dft.config import Sampling
from dfrestore.methods.c2f_dft.convert import recognise
from dfrestore.weights.checkpoint import read_bytes, save_checkpoint
from dfrestore.weights.containers import file_label, find_state_dict
from dfrestore.weights.header import header_of
from dfrestore.weights.spec import ModelSpec
from dfrestore.weights.unpickle import read_pth

LICENCE = "unknown (the authors state none)"
PROJECT = "https://github.com/wlydlut/C2F-DFT"


def convert_file(
    path: str | Path, out: str | Path, task: str, key: str | None = None, *, overwrite: bool = False
) -> ModelSpec:
    """Convert the PyTorch (or foreign safetensors) file ``path`` to the checkpoint ``out``; returns its spec.

    key: which weights of the file (``params``), None for the averaged ones where there are some. Nothing is written
    unless the weights fit a network strictly and that network computes. Raises :class:`WeightsError`,
    :class:`FileFailure` when ``out`` exists (without ``overwrite``), :class:`UsageError` for impossible names.
    """
    path, out = Path(path), Path(out)
    _check_output(path, out, overwrite)
    state = find_state_dict(_read(path), str(path), key)
    tensors = _as_float32(state.tensors, str(path))
    config = recognise({name: tuple(tensor.shape) for name, tensor in tensors.items()}, str(path))
    spec = ModelSpec(
        task=task,
        method="c2f-dft",
        network=config.to_mapping(),
        sampling=Sampling(prediction="epsilon").to_mapping(),
        default_steps=4,
        licence=LICENCE,
        source=f"{file_label(path, state.key)}, sha256 {_digest(path)}; C2F-DFT, {PROJECT}",
    )
    _prove(build_network(spec), tensors, str(path))
    save_checkpoint(out, tensors, spec)
    return spec


def _check_output(path: Path, out: Path, overwrite: bool) -> None:
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
    import safetensors.torch

    data = read_bytes(path)
    if "dfrestore" in header_of(io.BytesIO(data), len(data), str(path)).metadata:
        raise UsageError(f"{path}: is a checkpoint of dfrestore already")
    return safetensors.torch.load(data)


def _digest(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _as_float32(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Float32 copies; the file's own storages may be shared or of another type."""
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsError(f"{name}: tensor '{key}' is {tensor.dtype}, not floating point")
    return {key: tensor.detach().to(torch.float32).contiguous().clone() for key, tensor in tensors.items()}


def _prove(network: Network, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load strictly and run once on a small picture: finite, and not the same value everywhere."""
    try:
        network.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{name}: the weights do not load: {' '.join(str(error).split())}") from error
    side = 2 * network.multiple
    noise = torch.randn((2, 1, 3, side, side), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = network.eval()(noise[0].clamp(-1, 1), noise[1], torch.tensor([500.0]))
    if not bool(torch.isfinite(output).all()) or float(output.std()) == 0:
        raise WeightsError(f"{name}: the network computes nothing usable with these weights; nothing was written")
