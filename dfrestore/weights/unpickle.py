"""The authors' ``.pth`` files, opened without running anything that is written in them.

Two layers. First the pickle is read as a list of instructions, never executed, and every class or function that it
names is compared with a short list: tensors, their storages, ordered dicts. Then ``torch.load(weights_only=True)``,
which has its own interpreter with its own list, builds the tensors. A refused file has executed nothing.
"""

from __future__ import annotations

import io
import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dfrestore.errors import WeightsError
from dfrestore.weights.checkpoint import read_bytes

if TYPE_CHECKING:
    from torch import Tensor

MAX_PICKLE_BYTES = 32 << 20
MAX_OBJECTS = 1_000_000
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
ALLOWED_GLOBALS = frozenset(
    {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor",  # of files from 2017 and before
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch.Size",
        "builtins.set",
        *(f"torch.{name}Storage" for name in _STORAGES),
    }
)
# The plain instructions that torch.save writes; none of them names or calls anything but GLOBAL and REDUCE.
_PLAIN_OPCODES = frozenset(
    {"PROTO", "STOP", "MARK", "POP", "REDUCE", "BUILD", "BINPERSID", "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT"}
    | {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
    | {"BINUNICODE", "SHORT_BINSTRING", "BINSTRING", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_SET"}
    | {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS"}
)
_STRING_OPCODES = frozenset({"UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE"})


def read_pth(path: str | Path) -> Any:
    """The content of a PyTorch file (zip format, or the one before PyTorch 1.6): dicts, lists, CPU tensors.

    Raises :class:`WeightsError` in one line: not such a file, truncated, or unsafe (the global is named).
    """
    name = str(path)
    data = read_bytes(path)
    if not data:
        raise WeightsError(f"{name}: the file is empty; download it again")
    if data.startswith(b"PK\x03\x04"):
        odd = _scan(io.BytesIO(_pickle_of_zip(data, name)), name)
    elif data[0] == 0x80:
        odd = _scan_legacy(io.BytesIO(data), name)
    else:
        raise WeightsError(f"{name}: not a PyTorch file (.pth); nothing was loaded")
    if odd:
        raise WeightsError(
            f"{name}: unsafe pickle (the instruction {odd}, which torch.save does not write by itself); "
            "nothing in it was executed"
        )
    content = _load(data, name)
    for tensor in _tensors(content, name):
        _check_tensor(tensor, name)
    return content


def _load(data: bytes, name: str) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols: what is read decides, not what is claimed
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip, memory and torch errors; all mean that the file is not usable
        raise WeightsError(f"{name}: damaged or truncated, cannot be read; download it again") from error


def _pickle_of_zip(data: bytes, name: str) -> bytes:
    """``data.pkl`` of an archive as torch.save writes it: entries stored one beside the other, never compressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(set(names)) != len(names) or any(entry.compress_type for entry in entries):
                raise WeightsError(f"{name}: a zip archive that torch.save did not write; refused")
            if sum(entry.file_size for entry in entries) > len(data):
                raise WeightsError(f"{name}: a zip archive whose entries overlap; refused")
            pickles = [entry for entry in entries if entry.filename.split("/")[1:] == ["data.pkl"]]
            if len(pickles) != 1:
                raise WeightsError(f"{name}: a zip archive without one data.pkl, not a PyTorch file")
            if any(entry.filename.split("/")[1:2] == ["constants.pkl"] for entry in entries):
                raise WeightsError(f"{name}: a TorchScript program, not a file of weights; refused")
            if pickles[0].file_size > MAX_PICKLE_BYTES:
                raise WeightsError(f"{name}: its pickle has {pickles[0].file_size} bytes, more than weights need")
            return archive.read(pickles[0])
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise WeightsError(f"{name}: truncated or damaged zip archive; download it again") from error


def _scan_legacy(file: BinaryIO, name: str) -> str:
    """Five pickles in a row, then raw storages: magic number, protocol, system, the object, the storages' keys."""
    magic = [arg for opcode, arg in _opcodes(file, name) if opcode == "LONG1"]
    if magic != [_LEGACY_MAGIC]:
        raise WeightsError(f"{name}: a pickle that torch.save did not write; refused")
    file.seek(0)
    found = [_scan(file, name) for _ in range(5)]
    return next((odd for odd in found if odd), "")


def _scan(file: BinaryIO, name: str) -> str:
    """Refuse a pickle that names anything but :data:`ALLOWED_GLOBALS`; return its first odd instruction, if any.

    The caller refuses odd instructions after everything was looked at: the name of a global says more. What
    STACK_GLOBAL takes from the stack is only guessed at here, so that instruction is odd whatever it names.
    """
    strings: list[str] = []
    odd = ""
    for opcode, arg in _opcodes(file, name):
        if opcode in ("GLOBAL", "INST"):
            _check_global(str(arg).replace(" ", ".", 1), name)
        elif opcode == "STACK_GLOBAL":
            _check_global(".".join(strings[-2:]) or "a hidden name", name)
        if opcode in _STRING_OPCODES:
            strings.append(str(arg))
        if opcode not in _PLAIN_OPCODES and opcode != "GLOBAL":
            odd = odd or opcode
    return odd


def _opcodes(file: BinaryIO, name: str) -> Iterator[tuple[str, Any]]:
    start = file.tell()
    try:
        for opcode, arg, position in pickletools.genops(file):
            if position is not None and position - start > MAX_PICKLE_BYTES:
                raise WeightsError(f"{name}: its pickle is longer than weights need; refused")
            yield opcode.name, arg
    except (ValueError, UnicodeError, IndexError, KeyError, OverflowError) as error:
        raise WeightsError(f"{name}: truncated or damaged pickle; download it again") from error


def _check_global(full_name: str, name: str) -> None:
    plain = full_name.replace("__builtin__.", "builtins.", 1)
    if plain in ALLOWED_GLOBALS:
        return
    hint = "get a file that holds weights alone"
    if not plain.startswith(("posix.", "nt.", "os.", "subprocess.", "builtins.")):
        hint += " (its author can save the state dict alone)"
    raise WeightsError(f"{name}: unsafe pickle: it wants '{plain}', and nothing in it was executed; {hint}")


def _tensors(content: object, name: str) -> Iterator[Tensor]:
    """Every tensor in nested dicts, lists, tuples and sets, each container once (pickles can hold cycles)."""
    import torch

    seen: set[int] = set()
    stack: list[object] = [content]
    while stack:
        item = stack.pop()
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, Mapping | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(item.values() if isinstance(item, Mapping) else item)
            if len(stack) > MAX_OBJECTS:
                raise WeightsError(f"{name}: holds more objects than weights need; refused")


def _check_tensor(tensor: Tensor, name: str) -> None:
    """A small storage can pose as a huge tensor through strides of zero."""
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{name}: a tensor of shape {list(tensor.shape)} is larger than its data; refused")
