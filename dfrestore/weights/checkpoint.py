"""Loading and saving of checkpoints: safetensors files that describe themselves (see :mod:`.spec`).

torch is imported inside the functions, so that names, registry and headers stay cheap for the command line.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.errors import WeightsError
from dfrestore.files import atomic_file
from dfrestore.weights.header import DTYPES, header_of, open_weights
from dfrestore.weights.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


def load_checkpoint(path: str | Path, *, sha256: str | None = None) -> tuple[dict[str, Tensor], ModelSpec]:
    """The tensors (CPU, as stored) and the spec of the safetensors file at ``path``.

    sha256: hex digest that the file must have. The file is read once, as a whole, so that the checked bytes are the
    ones that are used. Raises :class:`WeightsError`: not safetensors, damaged, not one of ours, another digest, or
    values that are not finite (which safetensors itself does not check).
    """
    import safetensors.torch

    name = str(path)
    data = read_bytes(path)
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256.lower():
        raise WeightsError(f"{name}: its sha256 is {found[:16]}..., expected {sha256[:16].lower()}...; get it again")
    header = header_of(io.BytesIO(data), len(data), name)
    spec = ModelSpec.from_metadata(header.metadata, name)
    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:  # the library's own error type, and what torch raises for memory
        raise WeightsError(f"{name}: cannot be loaded ({error})") from error
    _check_finite(tensors, name)
    return tensors, spec


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], spec: ModelSpec) -> str:
    """Write ``tensors`` and ``spec`` to ``path`` (safetensors, atomic, replaces) and return the file's sha256.

    The same tensors and spec give the same bytes; whole numbers and truth values (buffers) are kept as they are.
    Raises :class:`WeightsError` for values that are not finite, for other types (complex numbers), for a spec that
    could not be read back, and when the disk refuses; the previous file under ``path`` is then intact.
    """
    name = str(path)
    _check_finite(tensors, name)
    chunks = list(_encode(tensors, spec.to_metadata(), name))
    size = sum(len(chunk) for chunk in chunks)
    # Never write what we would refuse to read.
    ModelSpec.from_metadata(header_of(io.BytesIO(chunks[0]), size, name).metadata, name)
    write_replacing(Path(path), chunks)
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def write_replacing(path: Path, chunks: Iterable[bytes]) -> None:
    """Write ``chunks`` under ``path`` whole or not at all. Raises :class:`WeightsError`."""
    try:
        with atomic_file(path, overwrite=True) as file:
            for chunk in chunks:
                file.write(chunk)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise WeightsError(
            f"{path}: cannot be written ({cause}); the file that was there before is unchanged"
        ) from error


def as_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, those of floating point as float32."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def read_bytes(path: str | Path) -> bytes:
    """All bytes of a regular file. Raises :class:`WeightsError`."""
    with open_weights(path) as file:
        try:
            return file.read(os.fstat(file.fileno()).st_size)  # not to the end of a file that keeps growing
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error


def sha256_of(path: str | Path) -> str:
    """Hex sha256 of a regular file, read in pieces. Raises :class:`WeightsError`."""
    with open_weights(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error


def _check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    import torch

    if not tensors:
        raise WeightsError(f"{name}: no tensors")
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{name}: tensor '{key}' holds values that are not finite (NaN or infinity)")


def _encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], name: str) -> Iterator[bytes]:
    """The file in pieces, the header first.

    Written here because the library lays out the metadata in a random order, so its files differ from run to run.
    Order of the library: wide types first (each tensor stays aligned), then by name.
    """
    import torch

    codes = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
    codes |= {torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8"}
    codes[torch.bool] = "BOOL"
    for key, tensor in tensors.items():
        if tensor.dtype not in codes:
            raise WeightsError(f"{name}: tensor '{key}' is {tensor.dtype}, not one of {', '.join(DTYPES)}")
    order = sorted(tensors, key=lambda key: (-DTYPES[codes[tensors[key].dtype]], codes[tensors[key].dtype], key))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    position = 0
    for key in order:
        end = position + tensors[key].numel() * tensors[key].element_size()
        header[key] = {
            "dtype": codes[tensors[key].dtype],
            "shape": list(tensors[key].shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for key in order:
        # Bytes through uint8: numpy has no bfloat16. Little-endian machines only, as torch's own wheels.
        flat = tensors[key].detach().to("cpu").contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
