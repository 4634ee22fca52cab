"""Which device computes and in which precision, each with the reason that the start line gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dfrestore.devices import check_precision, parse_device
from dfrestore.errors import DeviceError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Device:
    """name: ``cpu``, ``cuda:0``, ``mps``. reason: why this one, or what it is, in a few words."""

    torch_device: torch.device
    name: str
    reason: str


@dataclass(frozen=True)
class Precision:
    """name: ``fp32``, ``bf16``, ``fp16``. reason: in a few words. warning: one line where the choice is a bad one."""

    name: str
    dtype: torch.dtype
    reason: str
    warning: str | None = None


def choose_device(name: str = "auto") -> Device:
    """``auto`` takes the first CUDA GPU, else Apple's, else the CPU; ``cuda:N`` takes that GPU.

    Raises :class:`UsageError` for an unknown name, and :class:`DeviceError` naming what this machine has.
    """
    kind, index = parse_device(name)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if kind == "auto":
        kind = "cuda" if gpus else "mps" if mps else "cpu"
    if (kind == "cuda" and index >= gpus) or (kind == "mps" and not mps):
        raise DeviceError(f"no device '{name}' here{_why_no_cuda(kind, gpus)}; there is: {_present(gpus, mps)}")
    if kind == "cuda":
        return Device(torch.device("cuda", index), f"cuda:{index}", torch.cuda.get_device_name(index))
    if kind == "mps":
        return Device(torch.device("mps"), "mps", "Apple GPU")
    threads = torch.get_num_threads()
    reason = f"{threads} thread{'s' if threads > 1 else ''}" + (", no GPU found" if name == "auto" else "")
    return Device(torch.device("cpu"), "cpu", reason)


def choose_precision(name: str, device: Device) -> Precision:
    """``auto``: bf16 where the device has it natively, else fp32.

    Raises :class:`UsageError` for an unknown name, and :class:`DeviceError` for one that the device does not have.
    """
    return decide_precision(name, device.torch_device.type, _has_bf16(device.torch_device))


def decide_precision(name: str, kind: str, native_bf16: bool) -> Precision:
    """:func:`choose_precision` from plain facts. kind: ``cpu``, ``cuda`` or ``mps``. Raises the same."""
    check_precision(name)
    where = {"cpu": "this CPU", "cuda": "this GPU", "mps": "an Apple GPU"}[kind]
    if name == "auto":
        if native_bf16:
            return _precision("bf16", f"native on {where}")
        return _precision("fp32", f"no native bf16 on {where}" if kind != "mps" else f"the precision for {where}")
    if name == "fp32":
        return _precision("fp32", "as requested")
    if kind == "mps":
        raise DeviceError(f"{name} is not offered on {where}, where its results are not checked; use --precision fp32")
    if name == "bf16" and native_bf16:
        return _precision("bf16", "as requested")
    if name == "bf16" and kind == "cpu":
        # Emulated bf16 convolutions: measured on an AVX2-only CPU.
        warning = "bf16 is not native on this CPU and about 25 times slower than fp32 here"
        return _precision("bf16", "as requested", warning)
    if name == "bf16":
        raise DeviceError(f"{where} has no bf16 (compute capability below 8.0); use --precision fp32 or fp16")
    if kind == "cpu":
        raise DeviceError("fp16 is for GPUs and overflows sooner than bf16; on a CPU use --precision fp32 or bf16")
    return _precision("fp16", "as requested")


def _precision(name: str, reason: str, warning: str | None = None) -> Precision:
    return Precision(name, _DTYPES[name], reason, warning)


def _present(gpus: int, mps: bool) -> str:
    names = [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(gpus)]
    return ", ".join(["cpu", *(["mps"] if mps else []), *names])


def _why_no_cuda(kind: str, gpus: int) -> str:
    built_without = torch.version.cuda is None and torch.version.hip is None
    return " (this PyTorch is built without CUDA)" if kind == "cuda" and not gpus and built_without else ""


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        # Private names of torch: where one is gone, the answer is no and fp32 is taken.
        probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return any(probe is not None and bool(probe()) for probe in probes)
    return False
