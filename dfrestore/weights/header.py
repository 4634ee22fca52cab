"""The safetensors header, read and checked without torch: eight bytes of length, JSON, then the tensors' bytes.

Everything is checked before a tensor is made: the safetensors library is strict about offsets, but knows nothing of
our metadata, and its messages do not name the file. Errors are one line with the way out.
"""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dfrestore.errors import WeightsError
from dfrestore.weights.spec import ModelSpec

MAX_HEADER_BYTES = 16 << 20
MAX_FILE_BYTES = 8 << 30
MAX_DIMENSIONS = 8
# The types of parameters, and those of buffers too; sizes in bytes.
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
DTYPES = {**FLOATS, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_PROTOCOLS = (2, 3, 4, 5)


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies: ``start`` and ``end`` are bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """A checked header: its metadata, its tensors by name, and where their bytes begin in the file."""

    metadata: dict[str, str]
    tensors: dict[str, TensorInfo]
    data_start: int


def read_spec(path: str | Path) -> ModelSpec:
    """What the checkpoint at ``path`` says of itself; reads the header alone and needs no torch."""
    return ModelSpec.from_metadata(read_header(path).metadata, str(path))


def read_header(path: str | Path) -> Header:
    """The checked header of the safetensors file at ``path``. Raises :class:`WeightsError`."""
    with open_weights(path) as file:
        return header_of(file, os.fstat(file.fileno()).st_size, str(path))


def open_weights(path: str | Path) -> io.BufferedReader:
    """The file, open for reading; a :class:`WeightsError` says why it cannot be (missing, a folder, a device)."""
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            inside = path / "model.safetensors"
            hint = f"give {inside}" if inside.is_file() else "name the file in it"
            raise WeightsError(f"{path}: is a folder; {hint}")
        if not stat.S_ISREG(status.st_mode):
            raise WeightsError(f"{path}: is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise WeightsError(f"{path}: {status.st_size} bytes, larger than any checkpoint that is read")
        return path.open("rb")
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise WeightsError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def header_of(file: BinaryIO, size: int, name: str) -> Header:
    """The checked header of an open safetensors file of ``size`` bytes; ``name`` is the file named in errors."""
    try:
        prefix = file.read(8)
        _refuse_other_formats(prefix, size, name)
        length = int.from_bytes(prefix, "little")
        if length > MAX_HEADER_BYTES:
            raise WeightsError(f"{name}: not a safetensors file, or damaged (a header of {length} bytes)")
        text = file.read(length)
    except OSError as error:
        raise WeightsError(f"{name}: cannot be read ({error.strerror or error})") from error
    if len(text) != length:
        raise WeightsError(f"{name}: truncated in its header ({size} of at least {8 + length} bytes); get it again")
    try:
        metadata, tensors = _parse(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"{name}: damaged header ({error}); get the file again") from error
    wanted = 8 + length + max((info.end for info in tensors.values()), default=0)
    if size < wanted:
        raise WeightsError(f"{name}: truncated ({size} of {wanted} bytes); get it again")
    if size > wanted:
        raise WeightsError(f"{name}: damaged ({size - wanted} bytes too many after its tensors); get it again")
    return Header(metadata, tensors, 8 + length)


def with_metadata(data: bytes, changes: Mapping[str, str]) -> bytes:
    """A safetensors file's bytes with these fields of its metadata replaced; the tensors stay as they are.

    ``data`` is a file that :func:`header_of` accepts.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted({**header.get("__metadata__", {}), **changes}.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors stay aligned
    return len(text).to_bytes(8, "little") + text + data[start:]


def _refuse_other_formats(prefix: bytes, size: int, name: str) -> None:
    if size == 0:
        raise WeightsError(f"{name}: the file is empty; get it again")
    is_pickle = len(prefix) > 1 and prefix[0] == 0x80 and prefix[1] in _PICKLE_PROTOCOLS
    # A safetensors header of 128 bytes also begins with 0x80, but then six zero bytes follow the second.
    if prefix.startswith(_ZIP_MAGIC) or (is_pickle and any(prefix[2:8])):
        raise WeightsError(
            f"{name}: a PyTorch file (.pth), not safetensors; convert it with 'dfrestore weights convert'"
        )
    if size < 8:
        raise WeightsError(f"{name}: truncated ({size} bytes); get it again")


def _parse(text: bytes) -> tuple[dict[str, str], dict[str, TensorInfo]]:
    header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    if not isinstance(header, dict):
        raise ValueError("not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not a map of strings")
    if not header:
        raise ValueError("no tensors")
    tensors = {name: _tensor_info(name, fields) for name, fields in header.items()}
    _check_layout(tensors)
    return metadata, tensors


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name appears twice")
    return result


def _tensor_info(name: str, fields: object) -> TensorInfo:
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor '{_short(name)}' lacks dtype, shape or data_offsets, or has more")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"tensor '{_short(name)}' has type {_short(dtype)}, not one of {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"tensor '{_short(name)}' has an impossible shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor '{_short(name)}' has impossible offsets")
    count = 1
    for side in shape:
        count *= side
    if offsets[1] - offsets[0] != count * DTYPES[dtype]:
        raise ValueError(f"tensor '{_short(name)}' has another size than its shape says")
    return TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= MAX_FILE_BYTES for n in value)


def _check_layout(tensors: dict[str, TensorInfo]) -> None:
    """Tensors lie one after the other: no overlap, no hole that could hide something."""
    position = 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start != position:
            raise ValueError(f"tensor '{_short(name)}' overlaps another or leaves a hole")
        position = info.end


def _short(text: object) -> str:
    shown = str(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
